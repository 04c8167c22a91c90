"""The driver's ledger: which frame is in whose hands, which slots are free, how far the output is.

It knows nothing of actors. Work of a generation that is over is void: only its slots come back.
"""

from collections.abc import Sequence

from pipeline.queues import Queue, Slots, Ticket


class Ledger:
    """Every slot of the pool is free, in a queue, or in the hands of one call; half of them are for
    frames as they were read, half for painted ones."""

    def __init__(self, each: int, live: bool) -> None:
        """`each`: slots in one half."""
        self.raw, self.done = Slots(range(each)), Slots(range(each, 2 * each))
        self.frames, self.painted = Queue(each), Queue(each)
        self._live = live
        self._at_writer: dict[int, Ticket] = {}
        # Grows by one whenever the writer falls back.
        self.generation = 0
        self.asked = 0  # the next frame to ask the reader for
        self.received = 0  # frames that came from the reader
        self.handed = 0  # frames that were handed to a stylizer
        self.handed_s = 0.0  # time of the last one
        self.written = 0  # frames that the sink has taken
        self.total: int | None = None
        self._last: tuple[int, int] = (0, 0)  # a frame that is known, and its time stamp

    @property
    def complete(self) -> bool:
        """Whether every frame that there will be is written."""
        return self.total is not None and self.written >= self.total

    def ask(self, count: int) -> tuple[int, list[int], int | None]:
        """Index of the next frame to read, free slots for `count` of them, and where it is known
        the time stamp of the frame before."""
        start, slots = self.asked, self.raw.take(count)
        self.asked += count
        index, pts = self._last
        return start, slots, pts if start and index == start - 1 else None

    def arrive(self, slots: Sequence[int], tickets: Sequence[Ticket]) -> None:
        """Frames came from the reader, perhaps fewer than asked for."""
        self.raw.give(slots[len(tickets) :])
        self.frames.put(tickets)
        if tickets:
            self.received = tickets[-1].index + 1
            self._last = tickets[-1].index, tickets[-1].pts
        if self._live:  # what was asked for and not there is asked for again
            self.asked = self.received

    def reread(self) -> None:
        """The reader died: what it was asked for is asked for again."""
        self.asked = self.received

    def hand_out(self, most: int) -> tuple[list[Ticket], list[int]]:
        """The oldest frames that wait, for a stylizer, and slots to paint them into."""
        count = min(most, len(self.done), len(self.frames))
        tickets, slots = self.frames.take(count), self.done.take(count)
        self.handed = max(self.handed, tickets[-1].index + 1)
        self.handed_s = tickets[-1].time_s
        return tickets, slots

    def take_painted(
        self, generation: int, given: tuple[list[Ticket], list[int]], painted: Sequence[Ticket]
    ) -> tuple[list[Ticket], list[int]]:
        """A stylizer has painted what it was given, or the first part of it -> the rest, which it
        is to go on with."""
        tickets, slots = given
        if generation != self.generation:
            self.raw.give([t.slot for t in tickets])
            self.done.give(slots)
            return [], []
        count = len(painted)
        self.raw.give([t.slot for t in tickets[:count]])
        self.painted.put(painted)
        return tickets[count:], slots[count:]

    def leave_out(self, ticket: Ticket) -> bool:
        """Forget the live frame that was painted last, whose number the next one gets; False where
        a later one is on its way, or none will come."""
        if not (self.received == self.asked == ticket.index + 1 and self.total is None):
            return False
        self.painted.remove(ticket)
        self.done.give([ticket.slot])
        self.asked = self.received = self.handed = ticket.index
        return True

    def give_up(self, given: tuple[list[Ticket], list[int]]) -> None:
        """The user does not wait for these, which one stylizer has not painted: they are the
        first that will not be."""
        tickets, slots = given
        self.raw.give([t.slot for t in tickets])
        self.done.give(slots)
        self.total = tickets[0].index

    def take_back(self, generation: int, given: tuple[list[Ticket], list[int]]) -> None:
        """A stylizer died with what it was given: others paint it."""
        tickets, slots = given
        self.done.give(slots)
        if generation == self.generation:
            self.frames.put_back(tickets)
        else:
            self.raw.give([t.slot for t in tickets])

    def deliver(self, most: int) -> list[Ticket]:
        """Painted frames for the writer."""
        tickets = self.painted.take(most)
        self._at_writer |= {t.index: t for t in tickets}
        return tickets

    def take_written(self, tickets: Sequence[Ticket], next_index: int) -> None:
        """The writer has taken these and needs their slots no more."""
        for ticket in tickets:
            del self._at_writer[ticket.index]
        self.done.give([t.slot for t in tickets])
        self.written = next_index

    def fall_back(self, index: int, after: int | None, interrupted: bool) -> None:
        """A new writer wants frames from `index` on: everything after it is done again. `after`:
        time stamp of the frame before, where it is known."""
        if not self._at_writer and index == self.written:
            return
        self.generation += 1
        if after is not None:
            self._last = index - 1, after
        self.done.give([t.slot for t in self._at_writer.values()])
        self._at_writer.clear()
        self.done.give([t.slot for t in self.painted.clear()])
        self.raw.give([t.slot for t in self.frames.clear()])
        self.asked = self.received = self.handed = self.written = index
        if self.total != index:
            self.total = index if interrupted else None

    def cut(self) -> None:
        """Forget frames that no stylizer has begun; those under way are the last."""
        self.raw.give([t.slot for t in self.frames.clear()])
        self.total = self.handed

    def cut_now(self) -> None:
        """What the writer does not have yet is not waited for either."""
        self.done.give([t.slot for t in self.painted.clear()])
        self.total = self.written
        while self.total in self._at_writer:
            self.total += 1
