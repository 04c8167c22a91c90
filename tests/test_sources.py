"""Sources through their public door: times, rotation, damage, refusals, repeatability."""

import os
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from pipeline import sources
from pipeline.address import shown
from pipeline.errors import SourceError, SourceInvalid
from pipeline.frame import Frame
from pipeline.opening import open_media
from pipeline.sources import Drawn, SourceOptions, open_source
from pipeline.sources.test import motion, read_index
from tests import media


def read(path: Path | str, **options: object) -> tuple[list[Frame], sources.Source]:
    """All frames of a source."""
    with open_source(str(path), SourceOptions(**options)) as source:
        return list(source.frames()), source


def mark(frame: Frame) -> int:
    """The index that media.picture drew."""
    return round((float(frame.pixels[8:16, 8:32].mean()) - 30) / 2)


def test_frames_keep_their_times(tmp_path: Path) -> None:
    frames, source = read(media.video(tmp_path / "a.mp4"))
    assert [mark(f) for f in frames] == [f.index for f in frames] == list(range(12))
    assert [f.time_s for f in frames] == pytest.approx([n / 25 for n in range(12)])
    assert (source.info.rate, source.info.frames, source.damage) == (25, 12, None)


def test_variable_rate_stays_variable(tmp_path: Path) -> None:
    times = [0, 40, 50, 200, 210, 900]
    clip = media.video(tmp_path / "a.mkv", 6, pts=times, time_base=Fraction(1, 1000))
    frames, _source = read(clip)
    assert [f.pts for f in frames] == times
    even, _ = read(clip, fps=Fraction(10))
    assert [f.pts for f in even] == list(range(len(even)))
    assert [mark(f) for f in even[:3]] == [0, 2, 3]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied_once(tmp_path: Path, degrees: int) -> None:
    frames, source = read(media.video(tmp_path / "a.mp4", 2, rotation=degrees))
    plain, _ = read(media.video(tmp_path / "b.mp4", 2))
    expected = np.rot90(plain[0].pixels, degrees // 90)
    assert frames[0].pixels.shape == expected.shape == (source.info.height, source.info.width, 3)
    assert np.abs(frames[0].pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("axis", "sides"), [(1, (-1, 1)), (0, (1, -1))])
def test_a_mirrored_film_is_turned_back(tmp_path: Path, axis: int, sides: tuple[int, int]) -> None:
    def matrix(across: int, down: int) -> bytes:
        one = 1 << 16
        return struct.pack(">9i", across * one, 0, 0, 0, down * one, 0, 0, 0, 1 << 30)

    plain = media.video(tmp_path / "plain.mp4", 2)
    before, _, after = plain.read_bytes().rpartition(matrix(1, 1))  # the track's, after the film's
    (tmp_path / "mirrored.mp4").write_bytes(before + matrix(*sides) + after)
    frames, _ = read(tmp_path / "mirrored.mp4")
    expected = np.flip(read(plain)[0][0].pixels, axis)
    assert np.abs(frames[0].pixels.astype(int) - expected).max() <= 1


def test_late_sound_keeps_the_clock_of_the_container(tmp_path: Path) -> None:
    _, source = read(media.video(tmp_path / "a.mp4", 50, sound_at_s=0.5))
    assert source.info.media_start_s == 0


@pytest.mark.parametrize("options", [{}, {"start_s": 1.1}, {"fps": Fraction(50)}])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
def test_sound_longer_than_the_video_counts_no_frames(
    tmp_path: Path, suffix: str, options: dict[str, object]
) -> None:
    late = [25 + n for n in range(12)]
    frames, source = read(media.video(tmp_path / f"a.{suffix}", pts=late, sound_at_s=0), **options)
    assert (source.info.frames, source.damage) == (len(frames), None)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "avi", "ts", "flv", "mpg", "nut"])
def test_every_container_gives_every_frame(tmp_path: Path, suffix: str) -> None:
    codec = "mpeg2video" if suffix == "mpg" else "libx264"
    clip = media.video(tmp_path / f"a.{suffix}", codec=codec)
    frames, _ = read(clip)
    assert [mark(f) for f in frames] == pytest.approx(list(range(12)), abs=suffix == "mpg")
    assert frames[0].pts == 0 or suffix in ("mpg", "flv", "avi")


def test_size_option_gives_even_sides(tmp_path: Path) -> None:
    clip = media.video(tmp_path / "a.mkv", 1, (853, 481), pix_fmt="yuv444p")
    assert read(clip)[0][0].pixels.shape == (481, 853, 3)
    assert read(clip, size=240)[0][0].pixels.shape == (240, 426, 3)
    with pytest.raises(SourceInvalid, match="at least 16"):
        read(clip, size=8)


def test_start_and_end_cut_by_time(tmp_path: Path) -> None:
    frames, source = read(media.video(tmp_path / "a.mp4", 25), start_s=0.4, end_s=0.6)
    assert [mark(f) for f in frames] == [10, 11, 12, 13, 14]
    assert frames[0].pts == 0
    assert (source.info.media_start_s, source.info.media_end_s) == (0.4, 0.6)


@pytest.mark.parametrize("start", [0, 1, 7, 11, 12])
def test_restart_gives_the_same_frames(tmp_path: Path, start: int) -> None:
    clip = media.video(tmp_path / "a.mp4")
    with open_source(str(clip)) as source:
        calm = list(source.frames())
        again = list(source.frames(start))
    assert [f.index for f in again] == list(range(start, 12))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(calm[start:], again, strict=True))


def test_truncated_file_says_so_and_gives_what_is_there(tmp_path: Path) -> None:
    whole = media.video(tmp_path / "a.mkv", 80)
    frames, source = read(media.truncated(whole, tmp_path / "b.mkv", 0.5))
    assert 10 < len(frames) < 80
    assert source.damage
    assert "breaks off" in source.damage
    assert f"{len(frames)} frames" in source.damage


def test_garbage_inside_is_survived_and_repeatable(tmp_path: Path) -> None:
    clip = media.garbled(media.video(tmp_path / "a.mp4", 80), tmp_path / "b.mp4", 0.4)
    frames, source = read(clip)
    assert len(frames) > 40
    assert source.damage
    again, _ = read(clip)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(frames, again, strict=True))


def _cover_only(path: Path) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic
        sound = media._sound(out, 0.0)
        frame = av.VideoFrame(64, 64, "yuvj420p")
        for packet in [*stream.encode(frame), *stream.encode(None), *sound]:
            out.mux(packet)
    return path


def test_each_refusal_has_its_own_line(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    text = tmp_path / "text.mp4"
    text.write_text("ffconcat version 1.0\nfile a.mp4\n")
    unknown = media.video(tmp_path / "unknown.mkv")
    unknown.write_bytes(unknown.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ"))
    cases = {
        unknown: "a codec this FFmpeg cannot decode",
        tmp_path / "none.mp4": "does not exist",
        empty: "is empty",
        text: "not a video",
        media.sound_only(tmp_path / "s.m4a"): "holds sound but no video",
        _cover_only(tmp_path / "c.mp4"): "no video",
    }
    for path, line in cases.items():
        with pytest.raises(SourceInvalid, match=line) as caught:
            open_source(str(path))
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind root")
def test_unreadable_file(tmp_path: Path) -> None:
    clip = media.video(tmp_path / "a.mp4")
    clip.chmod(0)
    with pytest.raises(SourceInvalid, match="permissions"):
        open_source(str(clip))


@pytest.mark.parametrize("text", ["concat:a|b", "lavfi:testsrc", "data:xx", "nosuch://host/x"])
def test_foreign_schemes_are_refused(text: str) -> None:
    with pytest.raises(SourceInvalid):
        open_source(text)


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://admin:s3cret@127.0.0.1:1/live",
        "rtsp://admin:p@ss:s3cret@127.0.0.1:1/live",
        "rtsp://admin:s3cret/x@127.0.0.1:1/live",
        "rtsp://admin:s3cret?x#y@127.0.0.1:1/live",
        "http://127.0.0.1:1/a.mp4?token=s3cret",
        "rtmp://127.0.0.1:1/app/s3cret",
    ],
)
def test_credentials_are_never_shown(url: str) -> None:
    assert "s3cret" not in shown(url)
    assert "127.0.0.1" in shown(url)
    with pytest.raises(SourceError) as caught:
        open_media(url, timeout_s=1)
    assert "s3cret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_picture_bomb_is_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    head = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(12_000 * 3 + 1) * 100)
    chunks = [(b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(SourceInvalid, match=r"bomb\.png"):
        open_source(str(bomb))


def test_folder_of_pictures(tmp_path: Path) -> None:
    for number in (2, 10, 1):
        media.video(tmp_path / f"{number}.png", 1, codec="png", pix_fmt="rgb24", tags=media.BT709)
    (tmp_path / "11.png").write_bytes(b"broken")
    frames, source = read(tmp_path)
    assert len(frames) == 4
    assert source.info.rate == 25
    assert source.damage is not None
    assert "11.png" in source.damage
    assert np.abs(frames[0].pixels.astype(int) - media.picture(0)).max() == 0
    assert len(read(tmp_path / "*.png")[0]) == 4
    assert len(read(str(tmp_path / "%d.png"), fps=Fraction(5))[0]) == 4


def test_scene_has_the_motion_that_it_says() -> None:
    frames, source = read("test:size=320x180,rate=30,frames=60")
    assert [read_index(f.pixels) for f in frames] == list(range(60))
    dx, dy = motion(40)
    before, after = frames[40].pixels[120:150, 40:90], frames[41].pixels
    assert np.array_equal(before, after[120 + dy : 150 + dy, 40 + dx : 90 + dx])
    assert source.info.media is not None


def test_every_source_file_keeps_the_contract() -> None:
    for kind in sources.kinds():
        module = __import__(f"pipeline.sources.{kind}", fromlist=["create"])
        assert callable(module.create)
        assert module.__doc__


def test_a_scene_of_days_has_an_end() -> None:
    with pytest.raises(SourceInvalid, match="three days at most"):
        open_source("test:size=64x48,rate=25,frames=10000000")


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "told"),
    [
        ("film.mov", "qtrle", "argb", True),
        ("film.webm", "libvpx-vp9", "yuva420p", True),
        ("film.mov", "qtrle", "rgb24", False),
        ("film.webm", "libvpx-vp9", "yuv420p", False),
    ],
)
def test_transparency_is_told(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, told: bool
) -> None:
    film = media.video(tmp_path / name, 3, codec=codec, pix_fmt=pix_fmt)
    with open_source(str(film)) as source:
        assert ("the video has transparency, which is ignored" in source.notices) == told


def test_pictures_of_another_shape_are_told(tmp_path: Path) -> None:
    for name, shape in {"a": (48, 64), "b": (64, 48), "c": (96, 128), "d": (48, 65)}.items():
        Image.new("RGB", shape[::-1]).save(tmp_path / f"{name}.png")
    with open_source(str(tmp_path)) as source:
        assert [frame.pixels.shape for frame in source.frames()] == [(48, 64, 3)] * 4
        assert source.notices == [
            "1 pictures are stretched to the shape of the first (64x48): b.png is the first of them"
        ]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    """As photographs of telephones are, which all have EXIF."""
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    with Image.fromarray(media.picture(0)) as plain:
        plain.save(path, exif=exif, quality=95)
    with Image.open(path) as saved:
        upright = np.asarray(ImageOps.exif_transpose(saved).convert("RGB"))
    frames, source = read(path)
    assert (source.info.height, source.info.width) == upright.shape[:2]
    assert np.abs(frames[0].pixels.astype(int) - upright).mean() < 3


def test_numbers_without_a_picture_are_told(tmp_path: Path) -> None:
    for number in (1, 2, 5, 6, 8):
        Image.new("RGB", (64, 48)).save(tmp_path / f"i_{number:04}.png")
    text = f"{tmp_path}/i_%04d.png"
    with open_source(text) as source:
        assert len(list(source.frames())) == 5
        assert source.notices == [
            f"{text}: 3 numbers have no picture, first 3; what follows moves up"
        ]
    with open_source(f"{tmp_path}/i_*.png") as source:
        assert source.notices == []


@pytest.mark.parametrize(
    "name", ["Film: part 1.mp4", "udp:1.mp4", "./Film: part 1.mp4", "50%d.mp4"]
)
def test_a_file_that_is_there_is_no_address(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    media.video(tmp_path / "a.mp4", 3).rename(tmp_path / name)
    assert len(read(Path(name))[0]) == 3
    assert len(read(Path(tmp_path, name))[0]) == 3


def test_what_lies_between_pictures_is_no_frame(tmp_path: Path) -> None:
    for name in ("\N{SUPERSCRIPT TWO}1.png", "2.png"):
        Image.new("RGB", (64, 48)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    for text in (tmp_path, tmp_path / "*"):
        frames, source = read(text)
        assert (len(frames), source.damage) == (2, None)


def test_a_scene_is_drawn_where_it_is_wanted() -> None:
    asked = ("test:size=96x64,frames=3", SourceOptions())
    with open_source(*asked) as plain, open_source(*asked) as drawn:
        assert isinstance(drawn, Drawn)
        room = np.zeros((64, 96, 3), np.uint8)
        drawn.room = lambda: room
        for frame, other in zip(plain.frames(), drawn.frames(), strict=True):
            assert frame
            assert other
            assert other.pixels is room
            assert (frame.pixels == room).all()
