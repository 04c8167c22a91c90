"""An output of a live stream that keeps what it gets, beside others: written by a thread of its
own, so that a slow or hung disk holds up no other output."""

import threading
from collections import deque
from dataclasses import replace
from types import TracebackType
from typing import Self

from pipeline.control import Change, Figures
from pipeline.errors import SinkError
from pipeline.frame import Frame, Heard
from pipeline.outlet import Outlet
from pipeline.sinks import Sink, check_order

QUEUE_BYTES = 64 << 20
MOST_PIECES = 1000
"""Of sound, kept for the next frame while the queue is full."""
ENDING_S = 5.0
"""For what waits to be written when the stream ends."""


class Queued:
    """A sink with a bounded queue before it. Frames that find it full are left out, and those that
    are written get numbers without gaps: their time stamps say when they are shown."""

    keeps = False
    piece = 1

    def __init__(self, sink: Sink, name: str) -> None:
        self.next_index = 0
        self._sink, self._name = sink, name
        self._changed = threading.Condition()
        self._frames: deque[Frame] = deque()
        self._unheard: deque[tuple[float, Heard]] = deque(maxlen=MOST_PIECES)
        self._dropped = self._room = 0
        self._ended = False
        self._error: SinkError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="queued")

    def __enter__(self) -> Self:
        self._sink.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abandon()

    @property
    def notices(self) -> list[str]:
        """Those of the output, and how many frames it lacks."""
        said = [f"{self._name}: {self._dropped} frames came too fast for it"]
        return [*self._sink.notices, *(said if self._dropped else [])]

    @property
    def outlets(self) -> list[Outlet]:
        """What its queue holds, and what it had no room for."""
        return [
            Outlet(
                up=self._error is None,
                dropped=self._dropped,
                waiting=len(self._frames),
                room=self._room,
            )
        ]

    def take_asked(self) -> list[Change]:
        """Nobody asks where frames are kept."""
        return []

    def tell(self, figures: Figures) -> None:
        """Nobody watches there."""

    def write(self, frame: Frame) -> None:
        """Queues `frame`, or leaves it out; never waits. SinkError: the output has failed."""
        if not check_order(frame, self.next_index):
            return
        with self._changed:
            if self._error is not None:
                raise self._error
            self.next_index += 1
            self._room = max(2, QUEUE_BYTES // frame.pixels.nbytes)
            if len(self._frames) < self._room:
                own = replace(frame, pixels=frame.pixels.copy(), before=None)
                self._frames.append(self._hearing(own))
                self._changed.notify_all()
            else:
                self._dropped += 1
                self._unheard.extend((frame.time_s, piece) for piece in frame.heard)

    def _hearing(self, frame: Frame) -> Frame:
        """With the sound of those left out before it."""
        before = [piece.beside(frame.time_s - time_s) for time_s, piece in self._unheard]
        self._unheard.clear()
        return replace(frame, heard=(*before, *frame.heard))

    def finish(self, cut: bool = False) -> None:
        """Completes the output with what waits. SinkError: it takes nothing any more, or failed."""
        if not self._drained():
            raise SinkError(
                f"{self._name} takes nothing any more (does its disk hang?); what was written "
                "stays as .part"
            )
        if self._error is not None:
            raise self._error
        self._sink.finish(cut)

    def abandon(self) -> None:
        """Closes the output with what waits; what hangs is left to hang."""
        if self._drained():
            self._sink.abandon()

    def _drained(self) -> bool:
        """Whether the thread has ended, in the time that it has for it."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(ENDING_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (frame := self._next()) is not None:
                self._sink.write(replace(frame, index=self._sink.next_index))
        except SinkError as error:
            with self._changed:
                self._error = error

    def _next(self) -> Frame | None:
        """The oldest frame that waits; None: it was the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._ended)
            return self._frames.popleft() if self._frames else None
