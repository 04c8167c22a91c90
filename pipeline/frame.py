"""What travels through the stream: frames, and what is known about the stream as a whole."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""RGB uint8, height x width x 3."""


SOUND_HZ = 48_000


@dataclass(frozen=True, slots=True)
class Heard:
    """A piece of the sound of a live source, that came before or with a frame."""

    offset_s: float
    """From the time of that frame to the first sample."""
    samples: bytes = field(repr=False)
    """Stereo at SOUND_HZ, 16 bits, interleaved."""

    def beside(self, later_s: float) -> "Heard":
        """The same, as heard with a frame that is so much later."""
        return replace(self, offset_s=self.offset_s - later_s)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture with its identity and its time.

    `index` counts from 0 without gaps, orders frames and removes duplicates; `epoch` counts
    reconnects of a live source; the time is `pts * time_base` seconds.
    """

    index: int
    pts: int
    time_base: Fraction
    pixels: Pixels = field(repr=False)
    epoch: int = 0
    arrived_s: float | None = None
    """Of a live source: when the picture was there, by `time.monotonic`."""
    before: Pixels | None = field(default=None, repr=False)
    """What it was painted from, where an output shows it."""
    heard: tuple[Heard, ...] = field(default=(), repr=False)
    """Of a live source: its sound since the frame before."""
    lasts_s: float | None = None
    """How long it is shown if none comes after it, where the source says so."""

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    def __repr__(self) -> str:
        h, w = self.pixels.shape[:2]
        return f"Frame({self.epoch}:{self.index} at {self.time_s:.3f} s, {w}x{h})"


@dataclass(frozen=True, slots=True)
class ColorTags:
    """How YUV relates to RGB, in FFmpeg's names ("bt709", "smpte170m", "tv", "pc")."""

    matrix: str
    range: str
    primaries: str | None = None
    transfer: str | None = None
    kept: bool = False
    """HDR that is written as HDR again."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The first packets of a video, by which decoders can be tried."""

    codec: str
    """The name of FFmpeg's decoder."""
    extradata: bytes | None
    """What it has to know before the first packet."""
    size: tuple[int, int]
    """Width and height in px, as the container says."""
    packets: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What is known of a source before its first frame. Sizes are those of the frames handed out:
    upright and scaled."""

    width: int
    height: int
    time_base: Fraction
    rate: Fraction | None
    """Average frames a second; None when unknown."""
    tags: ColorTags
    frames: int | None = None
    """Expected number of frames; an estimate, unless they are `counted`."""
    aspect: Fraction = Fraction(1)
    """Sample (pixel) aspect ratio."""
    media: Path | None = None
    """File whose sound, subtitles, chapters and metadata belong to these frames."""
    media_start_s: float = 0.0
    """Time in `media` that is time 0 of the frames."""
    media_end_s: float | None = None
    """Time in `media` where the frames end, when cut short."""
    live: bool = False
    """Goes on whether its frames are taken or not, without a known end."""
    sounds: bool = False
    """Live, and its sound comes with its frames."""
    sample: Sample | None = None
    """Of a film or a network stream, where it was asked for."""
    counted: bool = False
    """So many `frames` there are, unless some are damaged."""
