"""Keeps what is seen as a file, beside the page, by the same sink that writes films.

The file is called `NAME.part.mp4` until it is complete and plays at any moment, also after a kill.
"""

import queue
import threading
import time
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.errors import SinkError
from pipeline.frame import ColorTags, Frame, Pixels, StreamInfo
from pipeline.sinks import SinkOptions, open_sink, prepare
from pipeline.sinks._relay import TIME_BASE

MOST_WAITING = 16
TAGS = ColorTags("bt709", "tv", "bt709", "bt709")


class Recording:
    """One file. Frames wait for nobody: those that come too fast for the encoder are left out."""

    def __init__(self, folder: Path, size: tuple[int, int], rate: float) -> None:
        """Starts. SinkError: the folder cannot be written to."""
        stamp = datetime.now().strftime("%Y-%m-%d %H.%M.%S")
        self.path = folder / f"stylestream {stamp}.mp4"
        self.error: str | None = None
        self.left_out = 0
        prepare(str(self.path), SinkOptions())
        self._info = StreamInfo(*size, TIME_BASE, Fraction(rate).limit_denominator(1001), TAGS)
        self._began = time.monotonic()
        self._frames: queue.Queue[tuple[int, Pixels] | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="recording")
        self._thread.start()

    def add(self, pts: int, pixels: Pixels) -> None:
        """The next frame, at its time in ticks of TIME_BASE."""
        try:
            self._frames.put_nowait((pts, pixels))
        except queue.Full:
            self.left_out += 1

    def stop(self) -> None:
        """Completes the file."""
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
                for index, (pts, pixels) in enumerate(iter(self._frames.get, None)):
                    first = pts if first is None else first
                    last = pts - first if last is None else max(pts - first, last + 1)
                    sink.write(Frame(index, last, TIME_BASE, pixels))
                if last is not None:
                    sink.finish()
        except SinkError as error:
            self.error = str(error)
            self._drain(lambda: self._frames.get() is not None)

    @staticmethod
    def _drain(more: Callable[[], bool]) -> None:
        """So that nobody waits who has something to add."""
        while more():
            pass
