"""`null:` takes every frame and keeps none; for tests and benchmarks."""

from types import TracebackType
from typing import Self

from pipeline.control import Change, Figures
from pipeline.frame import Frame, StreamInfo
from pipeline.outlet import Outlet
from pipeline.sinks import Sink, SinkOptions, check_order


def prepare(text: str, options: SinkOptions) -> None:
    """Nothing to prepare."""


def create(text: str, info: StreamInfo, options: SinkOptions) -> Sink:
    """A sink that only counts."""
    return NullSink()


class NullSink:
    """Counts frames and keeps the order."""

    keeps = False
    piece = 1

    def __init__(self) -> None:
        self.next_index = 0
        self.notices: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def write(self, frame: Frame) -> None:
        """Counts `frame`."""
        if check_order(frame, self.next_index):
            self.next_index += 1

    @property
    def outlets(self) -> list[Outlet]:
        """Nothing to tell: when it fails the run hears of it."""
        return [Outlet()]

    def take_asked(self) -> list[Change]:
        """Nobody can ask here."""
        return []

    def tell(self, figures: Figures) -> None:
        """Nobody watches here."""

    def finish(self, cut: bool = False) -> None:
        """Nothing to complete."""

    def abandon(self) -> None:
        """Nothing to close."""
