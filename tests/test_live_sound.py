"""Sound of live sources: it stays with the picture, whatever either of them does."""

import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import rtsp
from media import BT709
from test_outputs import Receiver
from test_page import Served

from pipeline.frame import SOUND_HZ, Frame, Heard, StreamInfo
from pipeline.sinks import open_sink
from pipeline.sources import Source, open_source

BASE = Fraction(1, 25)
INFO = StreamInfo(160, 96, BASE, Fraction(25), BT709, live=True, sounds=True)
FRAME_S = 0.04


def flashes(media: av.container.InputContainer) -> tuple[list[float], list[float]]:
    """When it becomes white, and when a beep begins, in s."""
    seen: list[tuple[float, bool]] = []
    loud = np.zeros(1801 * SOUND_HZ, np.bool_)
    for packet in media.demux():
        for frame in packet.decode():
            if isinstance(frame, av.VideoFrame):
                seen.append((frame.time, frame.to_ndarray(format="gray").mean() > 250))
            else:
                at = max(0, round(frame.time * SOUND_HZ))
                loud[at : at + frame.samples] = np.abs(frame.to_ndarray()[0]) > 0.15
    at = np.flatnonzero(loud)
    beeps = [float(i / SOUND_HZ) for i in at[np.diff(at, prepend=-SOUND_HZ) > SOUND_HZ / 10]]
    white = [b[0] for a, b in pairwise(seen) if b[1] and not a[1]]
    return white, beeps


def offsets(media: av.container.InputContainer) -> list[float]:
    """Of each flash: how much later its beep is, in s."""
    white, beeps = flashes(media)
    return [min((b - w for b in beeps), key=abs) for w in white]


def beeping(seconds: int, ratio: float = 1.0, gap: range = range(0)) -> Iterator[Frame]:
    """A flash and a beep at each second. The clock of the sound says that `ratio` as much time has
    passed for as many samples; `gap`: frames without sound."""
    sample = 0
    for number in range(25 * seconds):
        pixels = np.full((96, 160, 3), 255 if number % 25 == 0 and number else 60, np.uint8)
        pieces = []
        while (at := sample / SOUND_HZ * ratio) < (number + 1) * FRAME_S:
            times = at + np.arange(960) / SOUND_HZ * ratio
            wave = 12_000 * np.sin(2 * np.pi * 880 * (times % 1))
            wave[(times % 1 > 0.1) | (times < 0.9)] = 0
            data = np.repeat(wave.astype(np.int16), 2).tobytes()
            pieces += [] if number in gap else [Heard(at - number * FRAME_S, data)]
            sample += 960
        yield Frame(number, number, BASE, pixels, heard=tuple(pieces))


@pytest.mark.parametrize("ratio", [1.004, 0.996])
def test_a_clock_that_runs_otherwise_is_followed(tmp_path: Path, ratio: float) -> None:
    path = tmp_path / "out.mp4"
    with open_sink(str(path), INFO) as sink:
        for frame in beeping(20, ratio):
            sink.write(frame)
        sink.finish()
    with av.open(str(path)) as media:
        found = offsets(media)
    assert len(found) == 19
    assert max(map(abs, found)) < FRAME_S


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_half_an_hour_later_they_are_still_together(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    with open_sink(str(path), INFO) as sink:
        for frame in beeping(1800, 1.0005):  # 0.9 s if nobody did anything about it
            sink.write(frame)
        sink.finish()
    with av.open(str(path)) as media:
        found = offsets(media)
    print(f"offset at the start {1000 * found[0]:.1f} ms, at the end {1000 * found[-1]:.1f} ms")
    assert len(found) == 1799
    assert max(map(abs, found)) < FRAME_S


def test_what_is_missing_is_silence_and_moves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    with open_sink(str(path), INFO) as sink:
        for frame in beeping(12, gap=range(80, 170)):
            sink.write(frame)
        sink.finish()
    with av.open(str(path)) as media:
        white, beeps = flashes(media)
    assert len(white) == 11
    assert [round(b) for b in beeps] == [1, 2, 3, 7, 8, 9, 10, 11]
    assert max(abs(b - round(b)) for b in beeps) < FRAME_S


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_of_long_silence_next_to_nothing_is_written(tmp_path: Path, suffix: str) -> None:
    """A camera that was away for hours: what lies between would take minutes to encode."""
    path, away = tmp_path / f"out.{suffix}", 1500
    with open_sink(str(path), INFO) as sink:
        for frame in beeping(8):
            later = 25 * away * (frame.index >= 100)
            sink.write(replace(frame, pts=frame.pts + later))
        sink.finish()
    with av.open(str(path)) as media:
        packets = sum(packet.size > 0 for packet in media.demux(audio=0))
    with av.open(str(path)) as media:
        white, beeps = flashes(media)
    assert packets < 12 * SOUND_HZ / 1024
    assert [round(t) for t in white] == [1, 2, 3, *(away + n for n in (4, 5, 6, 7))]
    assert [round(t) for t in beeps] == [round(t) for t in white]
    assert max(abs(b - w) for b, w in zip(beeps, white, strict=True)) < FRAME_S


def test_parts_of_a_killed_writer_keep_their_sound(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    frames = list(beeping(12))
    first = open_sink(str(path), INFO)
    for frame in frames[:200]:
        first.write(frame)
    first.abandon()
    with open_sink(str(path), INFO) as second:
        for frame in frames[second.next_index :]:
            second.write(frame)
        assert second.next_index == 300
        second.finish()
    with av.open(str(path)) as media:
        found = offsets(media)
    assert len(found) == 11
    assert max(map(abs, found)) < FRAME_S


@rtsp.needed
def test_a_camera_is_heard_with_its_pictures_through_a_restart(tmp_path: Path) -> None:
    path, receiver = tmp_path / "out.mkv", Receiver()
    server = rtsp.Server()
    with open_source(f"rtsp://127.0.0.1:{server.port}/cam") as source, ExitStack() as open_until:
        assert source.info.sounds
        sinks = [
            open_until.enter_context(open_sink(text, source.info))
            for text in (str(path), f"tcp://127.0.0.1:{receiver.port}")
        ]
        for frame in restarting(source, server, open_until):
            for sink in sinks:
                sink.write(frame)
        for sink in sinks:
            sink.finish()
    with av.open(str(path)) as media:
        of_file = offsets(media)
    receiver.frames()
    with av.open(io.BytesIO(receiver.calls[0]), format="mpegts") as media:
        of_stream = offsets(media)
    with av.open(io.BytesIO(receiver.calls[0]), format="mpegts") as media:
        times = [frame.time for frame in media.decode(video=0)]
    assert len(of_file) >= 6
    assert len(of_stream) >= 4
    assert max(map(abs, of_file + of_stream)) < FRAME_S
    # While the camera was away the stream went on.
    assert max(b - a for a, b in pairwise(times)) < 1


def restarting(source: Source, server: rtsp.Server, until: ExitStack) -> Iterator[Frame]:
    """Thirteen seconds of its frames from time 0 on; the server is away for one of them or more."""
    began, again = (
        time.monotonic(),
        threading.Timer(1.2, lambda: until.enter_context(rtsp.Server(server.port))),
    )
    zero: int | None = None
    for frame in source.frames():
        passed = time.monotonic() - began
        if passed > 13:
            return
        if passed > 5 and not again.ident:
            server.kill()
            again.start()
        if frame is not None:
            zero = frame.pts if zero is None else zero
            yield replace(frame, pts=frame.pts - zero)


class Beeping(Served):
    """A page whose stream flashes and beeps at each second."""

    info = INFO

    def _feed(self) -> None:
        began = time.monotonic()
        for frame in beeping(60):
            if self._ended.wait(max(0.0, began + frame.time_s - time.monotonic())):
                return
            self.sink.write(frame)


def test_what_the_live_page_records_is_heard_too(tmp_path: Path) -> None:
    served = Beeping(tmp_path, size=(160, 96))
    try:
        assert served.ask("POST", "/api/recording")[0] == 200
        time.sleep(5)
        done = json.loads(served.ask("DELETE", "/api/recording")[1])
    finally:
        served.close()
    assert done["error"] is None
    with av.open(str(tmp_path / "kept" / done["file"])) as media:
        found = offsets(media)
    assert len(found) >= 3
    assert max(map(abs, found)) < FRAME_S
