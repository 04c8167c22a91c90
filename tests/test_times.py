"""Films whose times or matrices are legal and rare."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.frame import Frame
from pipeline.sinks import open_sink
from pipeline.sources import Source, SourceOptions, open_source
from tests import media


def read(path: Path, **options: object) -> tuple[list[Frame], Source]:
    with open_source(str(path), SourceOptions(**options)) as source:
        return [frame for frame in source.frames() if frame], source


@pytest.mark.parametrize("suffix", ["ts", "mpg"])
def test_recordings_that_were_joined_go_on_where_the_first_ends(
    tmp_path: Path, suffix: str
) -> None:
    codec = "libx264" if suffix == "ts" else "mpeg2video"
    clip = media.video(tmp_path / f"one.{suffix}", 50, codec=codec)
    (tmp_path / f"joined.{suffix}").write_bytes(2 * clip.read_bytes())
    frames, source = read(tmp_path / f"joined.{suffix}")
    assert len(frames) == 100
    seconds = [frame.time_s - frames[0].time_s for frame in frames]
    assert seconds == pytest.approx([n / 25 for n in range(100)], abs=0.002)
    assert source.damage is None
    assert any("repaired" in notice for notice in source.notices)


def test_a_last_picture_that_stays_is_no_film_that_breaks_off(tmp_path: Path) -> None:
    pictures = [Image.fromarray(media.picture(n)) for n in range(5)]
    path = tmp_path / "slow.gif"
    lasting = [40, 40, 40, 40, 4000]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=lasting)
    frames, source = read(path)
    assert len(frames) == 5
    assert source.damage is None
    out = tmp_path / "out.mp4"
    with open_sink(str(out), source.info) as sink:
        for frame in frames:
            sink.write(frame)
        sink.finish()
    with av.open(str(out)) as film:
        stream = film.streams.video[0]
        assert stream.duration * stream.time_base == pytest.approx(4.16, abs=0.02)
        assert sum(1 for _ in film.decode(stream)) == 5
    frames, _ = read(path, end_s=1.0)
    assert frames[-1].time_s + frames[-1].lasts_s == pytest.approx(1)


def test_an_even_rate_ends_where_the_part_asked_for_does(tmp_path: Path) -> None:
    clip = media.video(tmp_path / "slow.mkv", 5, rate=Fraction(1))
    frames, _ = read(clip, fps=Fraction(10), end_s=2.5)
    assert [frame.pts for frame in frames] == list(range(25))


@pytest.mark.parametrize("fps", [None, Fraction(20)])
def test_the_frame_at_the_end_is_no_part(tmp_path: Path, fps: Fraction | None) -> None:
    """As a number 0.2 lies a little above a fifth."""
    clip = media.video(tmp_path / "clip.mkv", 5, rate=Fraction(10))
    frames, _ = read(clip, fps=fps, end_s=0.2)
    assert [frame.index for frame in frames] == list(range(4 if fps else 2))


@pytest.mark.parametrize(
    ("sides", "turned"),
    [
        ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda x: x[::-1, ::-1].swapaxes(0, 1)),
    ],
)
def test_films_mirrored_along_a_diagonal_are_upright(
    tmp_path: Path, sides: tuple[int, ...], turned: object
) -> None:
    def matrix(a: int, b: int, c: int, d: int) -> bytes:
        return struct.pack(">9i", *(x << 16 for x in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)

    plain = media.video(tmp_path / "plain.mp4", 2)
    before, _, after = plain.read_bytes().rpartition(matrix(1, 0, 0, 1))  # the track's own
    (tmp_path / "mirrored.mp4").write_bytes(before + matrix(*sides) + after)
    frames, _ = read(tmp_path / "mirrored.mp4")
    expected = turned(read(plain)[0][0].pixels)  # type: ignore[operator]
    assert np.abs(frames[0].pixels.astype(int) - expected).max() <= 1


def test_the_sound_of_joined_recordings_goes_on_too(tmp_path: Path) -> None:
    clip = media.video(tmp_path / "one.ts", 50, sound_at_s=0.0)
    joined, out = tmp_path / "joined.ts", tmp_path / "out.mp4"
    joined.write_bytes(2 * clip.read_bytes())
    with open_source(str(joined)) as source, open_sink(str(out), source.info) as sink:
        for frame in source.frames():
            assert frame
            sink.write(frame)
        sink.finish()
    with av.open(str(out)) as film:
        picture, sound = film.streams.video[0], film.streams.audio[0]
        assert picture.duration * picture.time_base == pytest.approx(4, abs=0.05)
        assert sound.duration * sound.time_base == pytest.approx(4, abs=0.1)
