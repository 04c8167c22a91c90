"""What is seen: the newest frame and what it was painted from, as pictures for those who watch."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.heartbeat import Heartbeat
from pipeline.sinks.web import Head

Pixels = NDArray[np.uint8]
Ask = Callable[[dict[str, Any]], None]
"""Tells the stream something."""

QUALITY = 85
STALE_S = 5.0
"""Without a new frame; a model or a source that is slower gets longer."""
MOST_PX = 1920 * 1088
"""Moving pictures with more are sent smaller; a snapshot is not."""
MOST_WATCHERS = 32
STILL_S = 1.0
"""How often a picture is sent that stays: browsers show one only when the next begins."""


class Crowded(Exception):
    """There are MOST_WATCHERS already."""


class Screen:
    """`show` is called by the thread that takes frames, all else by the server's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ask: Ask) -> None:
        """`ask`: tells whoever hands frames over whether the input is wanted with them
        (`with_input`), and that of which frame (`held`, 0: each one's own)."""
        self._loop, self._ask = loop, ask
        self.frames = 0
        self.frozen = False
        self._newest: list[Pixels] = []
        self._number = 0  # of that frame
        self._lock = threading.Lock()
        self._arriving: tuple[Head, list[Pixels]] | None = None
        self._uncounted = 0  # frames that came since the last one was taken from there
        self._came = asyncio.Event()
        self._heart = Heartbeat(STALE_S)
        self._made: dict[bool, tuple[list[Pixels], asyncio.Task[bytes]]] = {}
        self._watchers = self._comparing = 0

    def show(self, head: Head, pictures: list[Pixels]) -> None:
        """The newest frame, RGB; after it, where asked for, what it was painted from, or while it
        is frozen what the frame was that is seen. One that came before does not count."""
        with self._lock:  # while the loop is busy only the newest waits for it
            waited, self._arriving = self._arriving, (head, pictures)
            self._uncounted += not head.again
        if waited is None:
            self._loop.call_soon_threadsafe(self._arrive)

    def _arrive(self) -> None:
        with self._lock:
            assert self._arriving
            (head, pictures), self._arriving = self._arriving, None
            new, self._uncounted = self._uncounted, 0
        if new:
            self.frames += new
            self._heart.beat()
        if self.frozen and self._newest:
            if head.input_of != self._number or self.shows(True):
                return
            self._newest = [self._newest[0], pictures[1]]
        else:
            self._number = head.number
            self._newest = pictures if head.input_of == head.number else pictures[:1]
            if self.frozen:
                self._ask({"held": self._number})
        came, self._came = self._came, asyncio.Event()
        came.set()

    def freeze(self, frozen: bool) -> None:
        """Hold what is seen, or no longer."""
        if frozen != self.frozen:
            self.frozen = frozen
            self._ask({"held": self._number if frozen else 0})

    def shows(self, beside: bool) -> bool:
        """Whether there is a frame; with its input where that is asked for."""
        return len(self._newest) > beside

    @property
    def is_full(self) -> bool:
        """Whether nobody else may watch."""
        return self._watchers >= MOST_WATCHERS

    @contextmanager
    def watched(self, beside: bool) -> Iterator[None]:
        """While someone watches, with the input beside it or without. Crowded: too many do."""
        if self.is_full:
            raise Crowded
        self._watchers += 1
        self._compare(beside)
        try:
            yield
        finally:
            self._watchers -= 1
            self._compare(-beside)

    def _compare(self, more: int) -> None:
        before = self._comparing > 0
        self._comparing += more
        if before != (self._comparing > 0):
            self._ask({"with_input": not before})

    async def next(self, limit_s: float | None = None) -> None:
        """Until another frame is to be seen, or `limit_s` is over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._came.wait(), limit_s)

    def picture(self, beside: bool, most_px: int = 0) -> Pixels:
        """The newest frame; with the input at its left when that is asked for: it `shows` it."""
        return framed(self._newest, beside, most_px)

    async def jpeg(self, beside: bool) -> bytes:
        """The newest frame as JPEG, made once for all who watch."""
        newest = self._newest
        if beside not in self._made or self._made[beside][0] is not newest:
            quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
            work = asyncio.to_thread(
                lambda: encoded(framed(newest, beside, MOST_PX), ".jpg", quality)
            )
            self._made[beside] = newest, asyncio.create_task(work)
        return await asyncio.shield(self._made[beside][1])

    @property
    def still_s(self) -> float:
        """For how long no new frame has come."""
        return self._heart.still_s

    @property
    def healthy(self) -> bool:
        """Whether frames come."""
        return self.frames > 0 and self.still_s < self._heart.limit_s

    def state(self) -> dict[str, Any]:
        """How it goes."""
        return {
            "frozen": self.frozen,
            "frames": self.frames,
            "frames_per_s": round(self._heart.rate, 1),
            "still_s": round(self.still_s, 1),
            "watchers": self._watchers,
        }


def framed(newest: list[Pixels], beside: bool, most_px: int) -> Pixels:
    """A frame, or with `beside` the second picture and the frame at its right; scaled to at most
    `most_px` pixels where that is not 0."""
    pixels = np.hstack([newest[1], newest[0]]) if beside else newest[0]
    scale = (most_px / (pixels.shape[0] * pixels.shape[1])) ** 0.5 if most_px else 1.0
    if scale < 1:
        size = int(pixels.shape[1] * scale), int(pixels.shape[0] * scale)
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return pixels


def encoded(pixels: Pixels, suffix: str, options: list[int]) -> bytes:
    """RGB as a picture file."""
    return bytes(cv2.imencode(suffix, pixels[..., ::-1], options)[1])
