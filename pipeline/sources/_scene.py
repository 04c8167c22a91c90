"""`test:live`: the made-up scene as a camera would give it, each picture at its time, with a time
code that tells when that was."""

import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from types import TracebackType
from typing import Protocol, Self

from pipeline import blocks
from pipeline.frame import Frame, Pixels
from pipeline.sources import Source

TIME_BASE = Fraction(1, 90_000)


class Scene(Source, Protocol):
    """Pictures by their number."""

    def draw(self, index: int) -> Pixels:
        """The picture at `index`."""
        ...


class LiveScene:
    """Goes on whether its pictures are taken or not; what nobody takes is not drawn."""

    def __init__(self, scene: Scene, rate: Fraction, frames: int | None) -> None:
        """`frames`: after so many it ends; None: never."""
        self._scene, self._rate, self._count = scene, rate, frames
        self.info = replace(
            scene.info, time_base=TIME_BASE, frames=None, media=None, media_end_s=None, live=True
        )
        self.notices: list[str] = []
        self.damage: str | None = None
        self._dropped = 0
        self.away = ""
        self._began: float | None = None
        self._last = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._scene.__exit__(kind, error, trace)

    @property
    def dropped(self) -> dict[str, int]:
        """Pictures so far that nobody took in time."""
        return {"newer": self._dropped}

    def frames(self, start: int = 0, after: int | None = None) -> Iterator[Frame | None]:
        """The newest picture each time, waiting for the next one where it was taken before."""
        began = self._began = self._began or time.monotonic()
        index = start
        while True:
            number = max(int((time.monotonic() - began) * self._rate), self._last + 1)
            if self._count is not None and number >= self._count:
                return
            due_s = began + float(number / self._rate)
            time.sleep(max(0.0, due_s - time.monotonic()))
            self._dropped += number - self._last - 1
            self._last = number
            picture = self._scene.draw(number)
            blocks.draw_time(picture, time.time() + due_s - time.monotonic())
            # By the clock of the machine, which a reader that was started again shares.
            pts = round(began / TIME_BASE) + round(number / self._rate / TIME_BASE)
            yield Frame(index, pts, TIME_BASE, picture, 0, due_s)
            index += 1
