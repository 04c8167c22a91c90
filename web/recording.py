"""Keeps what is seen as a file, beside the page, by the same sink that writes films.

The file is called `NAME.part.mp4` until it is complete and plays at any moment, also after a kill.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.errors import SinkError
from pipeline.frame import ColorTags, Frame, Heard, Pixels, StreamInfo
from pipeline.sinks import SinkOptions, open_sink, prepare
from pipeline.sinks._relay import MOST_PIECES, TIME_BASE

MOST_WAITING = 16
TAGS = ColorTags("bt709", "tv", "bt709", "bt709")

Seen = tuple[int, Pixels, list[tuple[int, Heard]]]
"""A frame: its time, its pixels, and sound with the time that it counts from."""


class Recording:
    """One file. Frames wait for nobody: those that come too fast for the encoder are left out."""

    def __init__(
        self, folder: Path, size: tuple[int, int], aspect: Fraction, rate: float, sounds: bool
    ) -> None:
        """Starts. `aspect`: of a pixel. SinkError: the folder cannot be written to."""
        stamp = datetime.now().strftime("%Y-%m-%d %H.%M.%S")
        self.path = folder / f"stylestream {stamp}.mp4"
        self.error: str | None = None
        self.left_out = 0
        prepare(str(self.path), SinkOptions())
        nominal = Fraction(rate).limit_denominator(1001)
        about = *size, TIME_BASE, nominal, TAGS
        self._info = StreamInfo(*about, aspect=aspect, sounds=sounds, live=True)
        self._began = time.monotonic()
        self._frames: queue.Queue[Seen | None] = queue.Queue(MOST_WAITING)
        self._unheard: list[tuple[int, Heard]] = []  # sound, and the time that it counts from
        self._hurry = False
        self._thread = threading.Thread(target=self._run, name="recording")
        self._thread.start()

    def add(self, pts: int, pixels: Pixels, heard: list[Heard]) -> None:
        """The next frame, at its time in ticks of TIME_BASE, and the sound since the one before."""
        self._unheard = [*self._unheard, *((pts, piece) for piece in heard)][-MOST_PIECES:]
        try:
            self._frames.put_nowait((pts, pixels, self._unheard))
            self._unheard = []
        except queue.Full:
            self.left_out += 1

    def stop(self, hurry: bool = False) -> None:
        """Completes the file; in a `hurry` its index stays at its end where it is long."""
        self._hurry = hurry
        self._frames.put(None)
        self._thread.join()

    def state(self) -> dict[str, Any]:
        """What the page shows of it."""
        return {
            "file": self.path.name,
            "seconds": round(time.monotonic() - self._began, 1),
            "left_out": self.left_out,
            "error": self.error,
        }

    def _run(self) -> None:
        try:
            with open_sink(str(self.path), self._info) as sink:
                first = last = None
                for index, (pts, pixels, sound) in enumerate(iter(self._frames.get, None)):
                    first = pts if first is None else first
                    last = pts - first if last is None else max(pts - first, last + 1)
                    heard = tuple(
                        replace(piece, offset_s=piece.offset_s + float((at - pts) * TIME_BASE))
                        for at, piece in sound
                    )
                    sink.write(Frame(index, last, TIME_BASE, pixels, heard=heard))
                if last is not None:
                    sink.finish(cut=self._hurry)
        except SinkError as error:
            self.error = str(error)
            self._drain(lambda: self._frames.get() is not None)

    @staticmethod
    def _drain(more: Callable[[], bool]) -> None:
        """So that nobody waits who has something to add."""
        while more():
            pass
