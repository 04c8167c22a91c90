"""Bounded queues between stages, and the free slots that bound them."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction

from pipeline.frame import Heard


@dataclass(frozen=True, slots=True)
class Ticket:
    """A frame on its way: its identity and time, and the slot where its pixels lie."""

    index: int
    pts: int
    time_base: Fraction
    slot: int
    epoch: int = 0
    arrived_s: float | None = None
    """Of a live source: when its picture was there, by `time.monotonic` of this machine."""
    handed_s: float = 0.0
    """When it was handed to a stylizer."""
    size: tuple[int, int] | None = None
    """(width, height) at which it is to be painted, where that is not its own."""
    paint_s: float = 0.0
    """How long that took."""
    painted_s: float = 0.0
    """When it came back from the stylizer."""
    look: tuple[float, ...] = ()
    """What it was painted with, as numbers that change as much as the look does."""
    heard: tuple[Heard, ...] = field(default=(), repr=False)
    """Of a live source: its sound since the frame before. It goes the way of the frame, and is so
    as late as the picture."""
    lasts_s: float | None = None
    """As of its frame."""

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    def hearing(self, left_out: Iterable["Ticket"]) -> "Ticket":
        """This one with the sound of frames before it that are not painted."""
        before = [
            piece.beside(self.time_s - ticket.time_s)
            for ticket in left_out
            for piece in ticket.heard
        ]
        return replace(self, heard=(*before, *self.heard)) if before else self


class Queue:
    """A bounded, ordered edge between two stages. Full means that the stage before must wait."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._tickets: deque[Ticket] = deque()

    def __len__(self) -> int:
        return len(self._tickets)

    @property
    def room(self) -> int:
        """How many more tickets fit."""
        return self.capacity - len(self._tickets)

    def put(self, tickets: Iterable[Ticket]) -> None:
        """Append; the caller has asked for room before."""
        self._tickets.extend(tickets)
        if self.room < 0:
            raise ValueError(f"queue over its capacity of {self.capacity}")

    def put_back(self, tickets: Iterable[Ticket]) -> None:
        """Return tickets that were handed out to a stage that died; the oldest go first again."""
        self._tickets = deque(sorted([*tickets, *self._tickets], key=lambda t: t.index))

    def take(self, most: int) -> list[Ticket]:
        """Up to `most` of the oldest tickets."""
        return [self._tickets.popleft() for _ in range(min(most, len(self._tickets)))]

    def remove(self, ticket: Ticket) -> None:
        """Take out one that waits."""
        self._tickets.remove(ticket)

    def clear(self) -> list[Ticket]:
        """All tickets, which leave it empty."""
        return self.take(len(self._tickets))


class Slots:
    """Free slot numbers of one half of the pool."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._free = deque(numbers)

    def __len__(self) -> int:
        return len(self._free)

    def take(self, count: int) -> list[int]:
        """`count` free slots; the caller has checked that there are as many."""
        return [self._free.popleft() for _ in range(count)]

    def give(self, numbers: Iterable[int]) -> None:
        """Make slots free again."""
        self._free.extend(numbers)
