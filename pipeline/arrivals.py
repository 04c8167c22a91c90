"""Frames of a live source as they arrive: timed from the first, cut at the asked-for end."""

from collections.abc import Iterable
from dataclasses import replace

from pipeline.queues import Ticket


class Arrivals:
    """Counts from the first frame that comes out; `end` is the index that is wanted no more."""

    def __init__(self, end_s: float | None) -> None:
        self._end_s = end_s
        self._zero = 0
        self._epoch = 0
        self.reconnects = 0
        self.end: int | None = None

    def timed(self, tickets: Iterable[Ticket]) -> list[Ticket]:
        """The tickets with times from the first one; none from the end on."""
        counted = []
        for ticket in tickets:
            if ticket.index == 0:  # again when the one before it was left out
                self._zero = ticket.pts
            self.reconnects += ticket.epoch > self._epoch
            self._epoch = ticket.epoch
            moved = replace(ticket, pts=ticket.pts - self._zero)
            if self._end_s is not None and moved.time_s >= self._end_s:
                self.end = ticket.index
                break
            counted.append(moved)
        return counted
