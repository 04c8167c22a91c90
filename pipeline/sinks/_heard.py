"""The sound of a live source into an output: one unbroken track, made of pieces that have their
times. Gaps become silence, what overlaps is cut, and a clock that runs slower or faster than that
of the pictures is followed by stretching a little."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from numpy.typing import NDArray

from pipeline.frame import SOUND_HZ, Heard
from pipeline.opening import open_media

STEADY = SOUND_HZ // 200
"""Samples by which a piece may be off without being touched: time stamps are rounded."""
GAP = SOUND_HZ // 20
"""Beyond this nothing is stretched any more: something is missing, or there twice."""
SLOPE = 200
"""At most one sample in so many is added or left out: not heard as a change of pitch."""
LONG = 60 * SOUND_HZ
"""More silence than that is left out but for its end: players wait for the time of what comes next.
Hours of it, after a camera was away, would take minutes to encode."""
LATE_S = 1.0
"""Sound that is so far behind the picture is not coming: there is silence."""
_CODECS = {"webm": "libopus", "avi": "libmp3lame"}
_FROM_PICTURES = {"flv"}
"""Formats that take no sound from before the first picture, as encoders begin it, once that is
written: sound may come long after."""

Samples = NDArray[np.int16]
"""n x 2."""


class Track:
    """The sound track of an output, written as far as the pictures are."""

    def __init__(self, out: OutputContainer) -> None:
        stream = out.add_stream(_CODECS.get(out.format.name, "aac"), rate=SOUND_HZ)
        assert isinstance(stream, AudioStream)
        stream.codec_context.layout = "stereo"
        stream.codec_context.bit_rate = 128_000
        self._out, self._stream = out, stream
        self._at: int | None = None  # the next sample, counted from time 0
        self._least = -inf  # the first that the output takes
        self._silent = True  # so far: what comes now is put exactly where it belongs
        self._ready: deque[Packet[Any]] = deque()

    def hear(self, pieces: Iterable[Heard], time_s: float) -> None:
        """Takes what came with the picture of `time_s`; the first picture is where it begins."""
        if self._at is None:
            self._at = round(time_s * SOUND_HZ)
            if self._out.format.name in _FROM_PICTURES:
                self._least = self._at
        for piece in pieces:
            samples: Samples = np.frombuffer(piece.samples, np.int16).reshape(-1, 2)
            self._put(round((time_s + piece.offset_s) * SOUND_HZ), samples)
        self._fill(round((time_s - LATE_S) * SOUND_HZ))

    def _put(self, at: int, samples: Samples) -> None:
        assert self._at is not None
        off = at - self._at
        if off > (0 if self._silent else GAP):
            self._fill(at)
        elif off < (0 if self._silent else -GAP):
            samples = samples[-off:]
        elif abs(off) > STEADY:
            most = len(samples) // SLOPE
            samples = stretched(samples, len(samples) + max(-most, min(most, off)))
        self._silent = self._silent and not len(samples)
        self._encode(samples)

    def _fill(self, until: int) -> None:
        assert self._at is not None
        if until - self._at > LONG:
            self._at = until - SOUND_HZ
        while self._at < until:
            self._silent = True
            self._encode(np.zeros((min(until - self._at, SOUND_HZ), 2), np.int16))

    def _encode(self, samples: Samples) -> None:
        if not len(samples) or self._at is None:
            return
        frame = AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "stereo")
        frame.sample_rate, frame.time_base = SOUND_HZ, Fraction(1, SOUND_HZ)
        frame.pts = self._at
        self._at += len(samples)
        packets = self._stream.encode(frame)
        self._ready.extend(packet for packet in packets if (packet.pts or 0) >= self._least)

    def until(self, time_s: Fraction | float) -> None:
        """Writes everything that is due by `time_s`."""
        while self._ready and (self._ready[0].pts or 0) * self._ready[0].time_base <= time_s:
            self._out.mux(self._ready.popleft())

    def rest(self, end_s: Fraction | None) -> None:
        """Writes all that is left, which was heard with the pictures and so ends with them."""
        if self._at is not None:
            self._ready.extend(self._stream.encode(None))
        while self._ready:
            self._out.mux(self._ready.popleft())

    def close(self) -> None:
        """There is nothing to close."""


def stretched(samples: Samples, count: int) -> Samples:
    """`samples` as `count` samples, by linear interpolation."""
    if count == len(samples) or len(samples) < 2:
        return samples
    before, after = np.arange(len(samples)), np.linspace(0, len(samples) - 1, count)
    sides = [np.interp(after, before, samples[:, side]) for side in (0, 1)]
    result: Samples = np.stack(sides, 1).round().astype(np.int16)
    return result


class JoinedTrack:
    """The tracks of part files, one after another, not encoded again."""

    def __init__(self, out: OutputContainer, parts: Iterable[Path]) -> None:
        self._out, self._open = out, ExitStack()
        self._streams = []
        for path in parts:
            media = self._open.enter_context(open_media(str(path)))
            self._streams += [(media, stream) for stream in media.streams.audio[:1]]
        if self._streams:
            self._target = out.add_stream_from_template(self._streams[0][1], opaque=True)
        self._packets = self._read()
        self._ahead: Packet[Any] | None = None

    def _read(self) -> Iterator[Packet[Any]]:
        last = Fraction(-1)
        for media, stream in self._streams:
            for packet in media.demux(stream):
                if packet.dts is not None and packet.dts * packet.time_base > last:
                    last = packet.dts * packet.time_base
                    packet.stream = self._target
                    yield packet

    def until(self, time_s: Fraction | float) -> None:
        """Writes everything that is due by `time_s`."""
        while True:
            self._ahead = self._ahead or next(self._packets, None)
            packet = self._ahead
            if packet is None or (packet.dts or 0) * packet.time_base > time_s:
                return
            self._ahead = None
            self._out.mux(packet)

    def rest(self, end_s: Fraction | None) -> None:
        """Writes what is left: all of it, or that before `end_s`."""
        self.until(10**9 if end_s is None else end_s)

    def close(self) -> None:
        """Closes the part files."""
        self._open.close()
