"""Videos of masks keep pace with the frames that they mark, to the tick."""

from fractions import Fraction
from pathlib import Path

import pytest
from media import video

from pipeline.confined import streamed
from pipeline.errors import ConfigError
from pipeline.mask import Mask
from pipeline.sources import SourceOptions, frames_of


def number(pixels: object) -> int:
    """Which of the pictures of `video` this is."""
    return round((int(pixels[10, 10].mean()) - 30) / 2)  # type: ignore[index]


@pytest.mark.parametrize("name", ["mask.mp4", "mask.mkv"])
@pytest.mark.parametrize("film", ["film.mp4", "film.mkv"])
@pytest.mark.parametrize(
    "along",
    [
        SourceOptions(),
        SourceOptions(start_s=0.5),
        SourceOptions(fps=Fraction(7)),
        SourceOptions(start_s=0.3, fps=Fraction(50)),
    ],
    ids=["whole", "start", "fps", "both"],
)
def test_a_copy_of_the_film_as_its_mask_shows_the_same_picture(
    tmp_path: Path, film: str, name: str, along: SourceOptions
) -> None:
    """What an .mkv notes is rounded to milliseconds, what an .mp4 notes is not."""
    for made in {film, name}:
        video(tmp_path / made, frames=30, rate=Fraction(30))
    mask = Mask(str(tmp_path / name), along)
    frames = list(frames_of(str(tmp_path / film), along))
    assert len(frames) > 5
    for frame in frames:
        assert number(mask.picture(frame.time_s)) == number(frame.pixels)
    assert mask.notices() == []


def test_a_mask_that_ends_before_the_film_is_told(tmp_path: Path) -> None:
    path = str(video(tmp_path / "mask.mp4"))
    mask = Mask(path)
    assert number(mask.picture(0.5)) == 11  # a frame more or less is no matter
    assert mask.notices() == []
    assert number(mask.picture(0.56)) == 11
    assert mask.notices() == [f"mask {path} ends at 0.48 s: its last picture stays"]
    later = Mask(path, SourceOptions(start_s=0.2))
    later.picture(1.0)
    assert later.notices() == [f"mask {path} ends at 0.48 s: its last picture stays"]
    with pytest.raises(ConfigError, match="has no frames in the part asked for"):
        Mask(path, SourceOptions(start_s=2.0))


def test_a_mask_that_begins_late_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = video(tmp_path / "late.mkv", 4, pts=[25, 50, 75, 100], time_base=Fraction(1, 25))
    opened: list[str] = []

    def counted(name: str, *about: object) -> object:
        opened.append(name)
        return streamed(name, *about)  # type: ignore[arg-type]

    monkeypatch.setattr("pipeline.mask.streamed", counted)
    mask = Mask(str(late), SourceOptions(start_s=0.5))
    assert {number(mask.picture(n / 25)) for n in range(12)} == {0}
    assert len(opened) == 1


@pytest.mark.parametrize(("pix_fmt", "told"), [("argb", 1), ("rgb24", 0)])
def test_transparency_of_a_video_is_told(tmp_path: Path, pix_fmt: str, told: int) -> None:
    path = str(video(tmp_path / "mask.mov", 3, codec="qtrle", pix_fmt=pix_fmt))
    said = [f"mask {path} has transparency, which is ignored in a video"]
    assert Mask(path).shape_notices(160, 96) == said * told


def test_a_video_of_one_picture_is_a_still(tmp_path: Path) -> None:
    mask = Mask(str(video(tmp_path / "mask.mp4", frames=1)))
    mask.picture(60.0)
    assert mask.notices() == []
