"""Sinks through their public door: exact times, sound, kills, refusals."""

import os
import resource
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import sinks
from pipeline.errors import SinkError
from pipeline.frame import ColorTags, Frame, StreamInfo
from pipeline.sinks import SinkOptions, open_sink, prepare
from pipeline.sources import open_source
from tests import media

SCENE = "test:size=160x96,rate=20,frames=100"


def copy(text: str, out: Path, stop: int | None = None, **options: object) -> list[str]:
    """Source to sink; kills its own process after `stop` frames. Returns the notices."""
    chosen = SinkOptions(**options)
    with open_source(text) as source, open_sink(str(out), source.info, chosen) as sink:
        for frame in source.frames(sink.next_index):
            sink.write(frame)
            if sink.next_index == stop:
                os.kill(os.getpid(), signal.SIGKILL)
        sink.finish()
        return sink.notices


def killed(text: str, out: Path, stop: int) -> None:
    """Runs `copy` in a child that is killed after `stop` frames."""
    code = (
        "from pathlib import Path; from tests.test_sinks import copy; "
        f"copy({text!r}, Path({str(out)!r}), {stop})"
    )
    child = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False)
    assert child.returncode == -signal.SIGKILL


def packets(path: Path) -> list[tuple[object, ...]]:
    """(stream, pts, dts, duration, bytes) of every packet, by stream."""
    with av.open(str(path)) as container:
        found = [
            (p.stream_index, p.pts, p.dts, p.duration, bytes(p))
            for p in container.demux()
            if p.size
        ]
    return sorted(found, key=lambda p: p[0])


def times(path: Path) -> list[Fraction]:
    """Presentation times of the decoded pictures."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "gif"])
def test_every_container_holds_every_frame(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out.{suffix}"
    prepare(str(out))
    copy("test:size=96x64,rate=20,frames=45", out)
    assert times(out) == pytest.approx([n / 20 for n in range(45)], abs=0.0006)
    assert os.listdir(tmp_path) == [out.name]


@pytest.mark.parametrize("codec", ["hevc", "vp9", "av1", "ffv1", "prores", "mpeg4", "mjpeg"])
def test_every_codec_goes_into_matroska(tmp_path: Path, codec: str) -> None:
    out = tmp_path / "out.mkv"
    options = SinkOptions(codec=codec)
    prepare(str(out), options)
    copy("test:size=96x64,rate=10,frames=25", out, codec=codec)
    assert len(times(out)) == 25


@pytest.mark.parametrize("frames", [1, 14, 15, 16, 31, 40, 64])
@pytest.mark.parametrize(("codec", "suffix"), [("h264", "mp4"), ("hevc", "mp4"), ("h264", "mov")])
def test_no_length_hides_the_last_frame(
    tmp_path: Path, codec: str, suffix: str, frames: int
) -> None:
    """MP4 hides what lies beyond the length of its last fragment."""
    out = tmp_path / f"out.{suffix}"
    copy(f"test:size=96x64,rate=25,frames={frames}", out, codec=codec)
    assert len(times(out)) == frames
    with av.open(str(out)) as film:
        stream = film.streams.video[0]
        assert stream.duration * stream.time_base == pytest.approx(frames / 25, abs=0.001)


@pytest.mark.parametrize("ticks", [90_000, 15_360, 1000])
def test_films_of_any_clock_become_avi_and_mpeg4(tmp_path: Path, ticks: int) -> None:
    """MPEG-4 knows no clock as fine as that of a transport stream; AVI counts frames."""
    info = StreamInfo(160, 96, Fraction(1, ticks), Fraction(25), media.BT709)
    for name in ("out.avi", "out.mkv"):
        out = tmp_path / name
        with open_sink(str(out), info, SinkOptions(codec="mpeg4")) as sink:
            for n in range(50):
                pts = round(n * ticks / 25)
                sink.write(Frame(n, pts, info.time_base, media.picture(n, 160, 96)))
            sink.finish()
        assert times(out) == pytest.approx([n / 25 for n in range(50)], abs=0.0006)
        with av.open(str(out)) as film:
            assert film.streams.video[0].average_rate == 25
            assert name.endswith("mkv") or film.streams.video[0].frames == 50


def test_avi_of_uneven_times_keeps_every_frame(tmp_path: Path) -> None:
    ticks = [0, 40, 50, 60, 200, 240, 900]
    clip = media.video(tmp_path / "a.mkv", 7, pts=ticks, time_base=Fraction(1, 1000))
    out = tmp_path / "out.avi"
    copy(str(clip), out)
    found = times(out)
    assert len(found) == len(set(found)) == 7
    assert found == pytest.approx([t / 1000 for t in ticks], abs=0.1)


def test_ffv1_is_lossless(tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    copy("test:size=96x64,frames=5", out, codec="ffv1")
    with open_source("test:size=96x64,frames=5") as first, open_source(str(out)) as second:
        for a, b in zip(first.frames(), second.frames(), strict=True):
            assert np.array_equal(a.pixels, b.pixels)


def test_variable_rate_and_tags_survive(tmp_path: Path) -> None:
    ticks = [0, 40, 50, 200, 210, 900, 1900, 1901]
    tags = ColorTags("smpte170m", "pc", "smpte170m", "smpte170m")
    clip = media.video(tmp_path / "a.mkv", 8, pts=ticks, time_base=Fraction(1, 1000), tags=tags)
    out = tmp_path / "out.mp4"
    copy(str(clip), out)
    assert times(out) == [Fraction(t, 1000) for t in ticks]
    with open_source(str(out)) as source:
        assert source.info.tags == tags


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_sound_is_copied_with_its_offset(tmp_path: Path, suffix: str) -> None:
    clip = media.video(tmp_path / "a.mp4", 50, sound_at_s=0.5)
    out = tmp_path / f"out.{suffix}"
    assert copy(str(clip), out) == []
    starts = []
    for path in (clip, out):
        with av.open(str(path)) as container:
            sound, video = container.streams.audio[0], container.streams.video[0]
            starts.append(float(sound.start_time * sound.time_base))
            starts[-1] -= float(video.start_time * video.time_base)
    assert starts[0] == pytest.approx(starts[1], abs=0.001)
    before = [p[4] for p in packets(clip) if p[0] == 1]
    assert [p[4] for p in packets(out) if p[0] == 1] == before


def test_damaged_sound_never_stops_the_video(tmp_path: Path) -> None:
    clip = media.video(tmp_path / "a.mp4", 50, sound_at_s=0.0)
    for number in range(8):
        media.garbled(clip, clip, 0.1 + number / 12, 60)
    out = tmp_path / "out.mkv"
    copy(str(clip), out)
    with open_source(str(clip)) as source:
        assert len(times(out)) == len(list(source.frames()))


def test_foreign_sound_is_encoded_again_with_a_notice(tmp_path: Path) -> None:
    notices = copy(SCENE, tmp_path / "out.mp4")
    assert any("encoded again" in notice for notice in notices)
    assert not any("sound" in n for n in copy(SCENE, tmp_path / "mute.mp4", sound=False))
    with av.open(str(tmp_path / "mute.mp4")) as container:
        assert not container.streams.audio


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_killed_runs_go_on_exactly(tmp_path: Path, suffix: str) -> None:
    calm, hurt = tmp_path / f"calm.{suffix}", tmp_path / f"hurt.{suffix}"
    copy(SCENE, calm)
    prepare(str(hurt))
    killed(SCENE, hurt, 75)
    part = hurt.with_name(f"hurt.part.{suffix}")
    assert 75 - len(times(part)) <= 40
    killed(SCENE, hurt, 97)
    copy(SCENE, hurt)
    assert packets(hurt) == packets(calm)
    assert sorted(os.listdir(tmp_path)) == [calm.name, hurt.name]


def test_odd_size_is_kept_with_a_notice(tmp_path: Path) -> None:
    clip = media.video(tmp_path / "a.mkv", 2, (853, 481), pix_fmt="yuv444p")
    notices = copy(str(clip), tmp_path / "out.mp4")
    assert any("853x481 is odd" in notice for notice in notices)
    with open_source(str(tmp_path / "out.mp4")) as source:
        assert (source.info.width, source.info.height) == (853, 481)


def _info() -> StreamInfo:
    rate = Fraction(10)
    return StreamInfo(64, 48, 1 / rate, rate, media.BT709)


def _frame(index: int) -> Frame:
    return Frame(index, index, Fraction(1, 10), media.picture(index, 64, 48))


@pytest.mark.parametrize("name", ["null:", "out.mp4", "out.mkv", "out/", "%03d.jpg", "%d.webp"])
def test_seen_frames_are_ignored_and_gaps_refused(tmp_path: Path, name: str) -> None:
    text = name if name == "null:" else str(tmp_path) + "/" + name
    prepare(text)
    with open_sink(text, _info()) as sink:
        for index in (0, 1, 1, 0, 2):
            sink.write(_frame(index))
        assert sink.next_index == 3
        with pytest.raises(SinkError, match="frames are missing"):
            sink.write(_frame(4))
        sink.finish()


def test_pictures_go_on_after_a_kill(tmp_path: Path) -> None:
    text = str(tmp_path / "out") + "/"
    prepare(text)
    sink = open_sink(text, _info())
    for index in range(3):
        sink.write(_frame(index))
    assert open_sink(text, _info()).next_index == 3
    with open_source(text) as source:
        assert np.array_equal(next(iter(source.frames())).pixels, media.picture(0, 64, 48))
    with pytest.raises(SinkError, match="already"):
        prepare(text)
    prepare(text, SinkOptions(overwrite=True))
    assert open_sink(text, _info()).next_index == 0


def test_refusals_name_the_way_out(tmp_path: Path) -> None:
    there = media.video(tmp_path / "there.mp4", 1)
    file = tmp_path / "file"
    file.touch()
    cases = [
        (str(there), SinkOptions(), "", "exists already"),
        (str(there), SinkOptions(overwrite=True), str(there), "the input itself"),
        (str(tmp_path / "a.mp5"), SinkOptions(), "", "did you mean .mp4"),
        (str(tmp_path / "a.mp4"), SinkOptions(codec="h265x"), "", "no encoder"),
        (str(tmp_path / "a.webm"), SinkOptions(codec="h264"), "", "cannot hold"),
        (str(tmp_path / "a.mkv"), SinkOptions(codec="libx264rgb"), "", "cannot be used here"),
        (str(file / "a.mp4"), SinkOptions(), "", "cannot be written to"),
        (str(tmp_path / "one.png"), SinkOptions(), "", "%06d"),
        ("nosuch:x", SinkOptions(), "", "no such kind"),
        ("udp://127.0.0.1", SinkOptions(), "", "is no address"),
        ("udp://127.0.0.1:99999", SinkOptions(), "", "is no address"),
        ("srt://127.0.0.1", SinkOptions(), "", "is no address"),
        ("rtsp://", SinkOptions(), "", "is no address"),
    ]
    for text, options, source, line in cases:
        with pytest.raises(SinkError, match=line):
            prepare(text, options, source)


def test_old_parts_are_replaced_only_when_asked(tmp_path: Path) -> None:
    """Of a live run, which keeps no journal, they are all there is of a recording."""
    for name in ("out.part.mp4", "out.part-000120.mp4", "out.part-join.mp4", "other.part.mp4"):
        (tmp_path / name).touch()
    prepare(str(tmp_path / "new" / "out.mp4"))
    out, every = str(tmp_path / "out.mp4"), sorted(os.listdir(tmp_path))
    with pytest.raises(SinkError, match=r"out\.part\.mp4 is what an interrupted run has written"):
        prepare(out)
    with pytest.raises(SinkError, match="the input itself"):
        prepare(out, SinkOptions(overwrite=True), str(tmp_path / "out.part.mp4"))
    assert sorted(os.listdir(tmp_path)) == every
    prepare(out, SinkOptions(overwrite=True))
    assert sorted(os.listdir(tmp_path)) == ["new", "other.part.mp4"]


def _fill_the_disk(out: str) -> None:
    """Writes noise with at most 200 kB a file allowed; used in a child."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    noise = np.random.default_rng(0)
    with open_sink(out, _info(), SinkOptions()) as sink:
        for index in range(300):
            pixels = noise.integers(0, 255, (48, 64, 3), np.uint8)
            sink.write(Frame(index, index, Fraction(1, 10), pixels))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_full_disk_leaves_a_playable_part(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out.{suffix}"
    code = f"from tests.test_sinks import _fill_the_disk; _fill_the_disk({str(out)!r})"
    child = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "SinkError" in child.stderr
    # Nothing of it is in a journal, as of a live input.
    assert child.stderr.endswith("the disk is full; what was written stays as .part\n")
    assert len(times(out.with_name(f"out.part.{suffix}"))) > 10


def test_every_sink_file_keeps_the_contract() -> None:
    for kind in sinks.kinds():
        module = __import__(f"pipeline.sinks.{kind}", fromlist=["create"])
        assert callable(module.create)
        assert callable(module.prepare)
        assert module.__doc__
