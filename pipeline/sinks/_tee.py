"""Several outputs of one stream: each takes every frame, and one that fails stops no other."""

from contextlib import suppress
from dataclasses import replace
from math import gcd
from types import TracebackType
from typing import Self

from pipeline.control import Change, Figures
from pipeline.errors import SinkError
from pipeline.frame import Frame
from pipeline.outlet import COMPLETE, FAILED, Outlet
from pipeline.sinks import Sink


class Tee:
    """A sink made of sinks."""

    def __init__(self, sinks: list[Sink]) -> None:
        self.keeps = any(sink.keeps for sink in sinks)
        self.piece = gcd(*(sink.piece for sink in sinks if sink.keeps)) or 1
        self._sinks, self._lost = sinks, list[SinkError]()
        self._said: list[str] = []
        self._all, self._ended = list(sinks), dict[int, Outlet]()  # by their place
        self.next_index = self._first_wanted()

    def __enter__(self) -> Self:
        for sink in self._sinks:
            sink.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for sink in self._sinks:
            sink.__exit__(kind, error, trace)

    @property
    def notices(self) -> list[str]:
        """Those of all outputs."""
        return [*self._said, *(text for sink in self._sinks for text in sink.notices)]

    @property
    def outlets(self) -> list[Outlet]:
        """Those of all outputs, also of those that have ended."""
        return [
            outlet
            for place, sink in enumerate(self._all)
            for outlet in ([self._ended[place]] if place in self._ended else sink.outlets)
        ]

    def take_asked(self) -> list[Change]:
        """What was asked at any of them."""
        return [change for sink in self._sinks for change in sink.take_asked()]

    def tell(self, figures: Figures) -> None:
        """Tells all."""
        for sink in self._sinks:
            sink.tell(figures)

    def write(self, frame: Frame) -> None:
        """Gives `frame` to those that have not had it. SinkError: the last one failed."""
        for sink in list(self._sinks):
            if frame.index >= sink.next_index:
                try:
                    sink.write(frame)
                except SinkError as error:
                    self._lose(sink, error)
        if not self._sinks:
            raise self._lost[-1]
        self.next_index = self._first_wanted()

    def finish(self, cut: bool = False) -> None:
        """Completes all that are left. SinkError: what failed on the way."""
        for sink in list(self._sinks):
            try:
                sink.finish(cut)
                self._end(sink, COMPLETE)
            except SinkError as error:
                self._lose(sink, error)
        if self._lost:
            raise SinkError("; ".join(map(str, self._lost)))

    def abandon(self) -> None:
        """Closes all."""
        for sink in self._sinks:
            sink.abandon()

    def _first_wanted(self) -> int:
        return min(sink.next_index for sink in self._sinks)

    def _lose(self, sink: Sink, error: SinkError) -> None:
        self._sinks.remove(sink)
        self._end(sink, FAILED)
        self._lost.append(error)
        self._said += [*sink.notices, f"went on without an output: {error}"]
        with suppress(SinkError):
            sink.abandon()

    def _end(self, sink: Sink, how: str) -> None:
        (last,) = sink.outlets
        self._ended[self._all.index(sink)] = replace(last, up=False, ended=how)
