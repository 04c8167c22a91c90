"""The sound of a live source, decoded as it comes."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.error import FFmpegError
from av.packet import Packet

from pipeline.frame import SOUND_HZ
from pipeline.limits import hears


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of sound: its time by the source, when it arrived, and what Heard holds."""

    time_s: float
    arrived_s: float
    samples: bytes


class Ear:
    """Decodes the sound of one connection. What cannot be decoded is left out: it is silence then,
    and never stops the picture."""

    def __init__(self, heard: deque[Piece]) -> None:
        self._heard = heard
        self._resampler: AudioResampler | None = None
        self._kind: tuple[object, ...] = ()

    def hear(self, packet: Packet[Any]) -> None:
        """Adds what a packet holds."""
        arrived_s = time.monotonic()
        try:
            for frame in packet.decode():
                if isinstance(frame, AudioFrame) and frame.time is not None:
                    self._add(frame, arrived_s)
        except (FFmpegError, ValueError):
            return

    def _add(self, frame: AudioFrame, arrived_s: float) -> None:
        if not hears(frame.sample_rate, frame.layout.nb_channels):
            return
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if self._resampler is None or kind != self._kind:
            self._kind = kind
            self._resampler = AudioResampler("s16", "stereo", SOUND_HZ)
        for even in self._resampler.resample(frame):
            if even.time is not None:
                samples = even.to_ndarray().tobytes()
                self._heard.append(Piece(even.time, arrived_s, samples))
