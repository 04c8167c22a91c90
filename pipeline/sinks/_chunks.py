"""Encoding in chunks that stand alone: each chunk of one GOP gets a fresh encoder, so its bytes
depend on its own frames only, and a chunk encoded again after a crash is the same."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import Any

from av.codec.context import CodecContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from pipeline import color
from pipeline.frame import ColorTags, StreamInfo
from pipeline.sinks._codecs import Coding, Container

_THREADS = 4
"""Fixed, because x264's bits depend on the number of its threads."""
_DEFAULT_RATE = Fraction(25)
_LIVE_RATE = Fraction(100)
"""Of a container that counts frames: finer than what comes, whatever the source says."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that the bytes of a chunk depend on besides its frames."""

    coding: Coding
    quality: int | None
    pix_fmt: str
    tags: ColorTags
    width: int
    height: int
    time_base: Fraction
    """What is written; not always that of the frames."""
    rate: Fraction
    aspect: Fraction
    restarts: bool

    @property
    def gop(self) -> int:
        """Frames between key frames: two seconds."""
        return max(1, round(2 * self.rate))

    @property
    def chunk(self) -> int:
        """Frames in a chunk; containers that cannot go on after a kill need only one."""
        return self.gop if self.restarts else sys.maxsize

    @property
    def step(self) -> int:
        """Ticks of one frame at the average rate, at least 1."""
        return max(1, round(1 / self.rate / self.time_base))


def _time_base(info: StreamInfo, rate: Fraction, coding: Coding, container: Container) -> Fraction:
    """That of the frames, or the nearest one that can be written."""
    base = info.time_base
    if container.counts:
        base = 1 / (_LIVE_RATE if info.live else rate)
    if not coding.most_ticks or base.denominator <= coding.most_ticks:
        return base
    coarser = base * ceil(base.denominator / coding.most_ticks)
    if coarser.denominator <= coding.most_ticks:
        return coarser
    return max(base.limit_denominator(coding.most_ticks), Fraction(1, coding.most_ticks))


def recipe_for(
    info: StreamInfo, coding: Coding, quality: int | None, container: Container
) -> Recipe:
    """How the frames that `info` describes are encoded."""
    odd = info.width % 2 or info.height % 2
    pix_fmt = coding.odd_pix_fmt if odd and coding.odd_pix_fmt else coding.pix_fmt
    tags = color.output_tags(info.tags)
    rate = info.rate or _DEFAULT_RATE
    if info.live:  # what an encoder holds dies with it
        coding = replace(coding, settings=coding.settings | coding.live)
    return Recipe(
        coding=coding,
        quality=quality,
        pix_fmt=pix_fmt,
        tags=tags,
        width=info.width,
        height=info.height,
        time_base=_time_base(info, rate, coding, container),
        rate=rate,
        aspect=info.aspect,
        restarts=container.restarts,
    )


def set_up(context: VideoCodecContext, recipe: Recipe) -> None:
    """Makes `context` encode by `recipe`."""
    context.width, context.height = recipe.width, recipe.height
    context.pix_fmt = recipe.pix_fmt
    context.time_base = recipe.time_base
    context.framerate = recipe.rate
    context.sample_aspect_ratio = recipe.aspect
    context.gop_size = recipe.gop
    context.thread_count = _THREADS
    context.options = recipe.coding.options(recipe.quality)
    if recipe.coding.quality_key == "qscale":
        quality = recipe.coding.quality if recipe.quality is None else recipe.quality
        context.options = dict(recipe.coding.settings)
        context.qscale = True
        context.global_quality = quality
    if not recipe.pix_fmt.startswith(("rgb", "bgr", "gbr")):
        color.tag(context, recipe.tags)


class ChunkEncoder:
    """Frames in, packets out; a new encoder at each multiple of the chunk length."""

    def __init__(self, recipe: Recipe, flags: int) -> None:
        self._recipe = recipe
        self._flags = flags
        self._context: VideoCodecContext | None = None
        self._count = 0

    def encode(self, picture: VideoFrame) -> Iterator[Packet[Any]]:
        """The packets that are ready once `picture` is taken; all of them at a chunk's end."""
        if self._context is None:
            self._context = self._fresh()
        yield from self._context.encode(picture)
        self._count += 1
        if self._count == self._recipe.chunk:
            yield from self.flush()

    def flush(self) -> Iterator[Packet[Any]]:
        """The rest of the chunk."""
        context, self._context, self._count = self._context, None, 0
        if context is not None:
            yield from context.encode(None)

    def _fresh(self) -> VideoCodecContext:
        context = CodecContext.create(self._recipe.coding.encoder, "w")
        assert isinstance(context, VideoCodecContext)
        set_up(context, self._recipe)
        context.flags |= self._flags
        return context


class DecodeOrder:
    """Decoding times across chunk seams: packet j of the stream is due when frame j - depth is
    shown. So they always increase and never pass the showing time, whatever each encoder says."""

    def __init__(self, depth: int, step: int) -> None:
        self._depth = depth
        self._step = step
        self._times: deque[int] = deque()
        self._started = False
        self._end = 0

    def shown(self, pts: int, lasts: int) -> None:
        """Notes the showing time of the next frame in showing order, and how long it is shown if it
        is the last."""
        self._end = pts + lasts
        if not self._started:
            self._times.extend(pts - back * self._step for back in range(self._depth, 0, -1))
            self._started = True
        self._times.append(pts)

    def stamp(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        """The packets in decoding order, stamped."""
        for packet in packets:
            packet.dts = self._times.popleft()
            assert packet.pts is not None
            packet.dts = min(packet.dts, packet.pts)
            packet.duration = self._step
            yield packet

    def end(self, last: Packet[Any]) -> None:
        """Lets the last packet last until the last frame has been shown. MP4 hides frames beyond
        its length, which it counts in decoding times, and written in fragments in the showing times
        of the last one, in which there may be no later frame."""
        assert last.dts is not None
        assert last.pts is not None
        decoded = self._end - last.dts - self._depth * self._step
        last.duration = max(1, decoded, self._end - last.pts)
