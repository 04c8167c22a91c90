"""The three stages as plain classes; supervision.py makes Ray actors of them.

A stage keeps nothing that it could not rebuild from what it is handed: killed and started again, it
goes on where the driver says. Their names show in a process list as ray::Reader and so on.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from safetensors import SafetensorError

from engines import Frames, load_engine
from pipeline.errors import EngineError
from pipeline.frame import Frame, StreamInfo
from pipeline.pool import FramePool, PoolHandle
from pipeline.queues import Ticket
from pipeline.sinks import SinkOptions, open_sink
from pipeline.sources import SourceOptions, open_source
from pipeline.timings import cpu_seconds, peak_memory_mib


@dataclass(frozen=True, slots=True)
class Work:
    """What a call of a stage did: tickets, seconds for each of them, and what to tell the user."""

    tickets: list[Ticket] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    next_index: int = 0
    """Reader: the next frame to read. Writer: the first frame that it has not taken."""
    ended: bool = False
    notices: list[str] = field(default_factory=list)
    damage: str | None = None
    peak_memory_mib: float = field(default_factory=peak_memory_mib)
    cpu_s: float = field(default_factory=cpu_seconds)


class Stage:
    """What all stages share: the pool. Work starts with `open`, whose errors reach the driver."""

    def __init__(self, pool: PoolHandle) -> None:
        self._pool = FramePool(pool)


class Reader(Stage):
    """Opens the source, decodes, and writes upright RGB frames into slots."""

    def __init__(self, pool: PoolHandle, source: str, options: SourceOptions) -> None:
        super().__init__(pool)
        self._asked = (source, options)
        self._next: int | None = None
        self._end: int | None = None

    def open(self) -> Work:
        """Open the source."""
        self._source = open_source(*self._asked)
        self._source.__enter__()
        return Work()

    def read(self, start: int, slots: Sequence[int]) -> Work:
        """Frames from index `start` on into the slots; fewer of them when the source ends."""
        tickets: list[Ticket] = []
        seconds: list[float] = []
        if self._end is None or start < self._end:
            self._fill(start, slots, tickets, seconds)
        ended = len(tickets) < len(slots)
        return Work(
            tickets,
            seconds,
            start + len(tickets),
            ended,
            list(self._source.notices),
            self._source.damage if ended else None,
        )

    def _fill(
        self, start: int, slots: Sequence[int], tickets: list[Ticket], seconds: list[float]
    ) -> None:
        if start != self._next:
            self._frames = self._source.frames(start)
        for slot in slots:
            began = time.perf_counter()
            frame = next(self._frames, None)
            if frame is None:
                self._end = start + len(tickets)
                break
            np.copyto(self._pool[slot], frame.pixels)
            tickets.append(Ticket(frame.index, frame.pts, frame.time_base, slot, frame.epoch))
            seconds.append(time.perf_counter() - began)
        self._next = start + len(tickets)


@dataclass(frozen=True, slots=True)
class Look:
    """All that decides how a frame is painted."""

    model: str
    device: str
    pictures: list[Frames]
    weights: list[float]
    strength: float
    keep_color: bool
    threads: int | None


class Stylizer(Stage):
    """Paints frames from one slot into another. Frames do not depend on one another."""

    def __init__(self, pool: PoolHandle, look: Look) -> None:
        super().__init__(pool)
        self._look = look

    def open(self) -> Work:
        """Load the model and encode the style."""
        look = self._look
        try:
            self._engine = load_engine(look.model, look.device, look.threads)
            self._code = self._engine.encode_style(look.pictures, look.weights)
        except (ValueError, OSError, RuntimeError, SafetensorError) as error:
            raise EngineError(f"model {look.model}: {str(error).splitlines()[0]}") from error
        return Work()

    def stylize(self, tickets: Sequence[Ticket], slots: Sequence[int]) -> Work:
        """Paint each ticket's frame into the slot beside it; tickets come back with that slot."""
        look, size = self._look, self._engine.batch
        seconds: list[float] = []
        for i in range(0, len(tickets), size):
            began = time.perf_counter()
            group = tickets[i : i + size]
            frames = self._pool[group[0].slot][None]
            if len(group) > 1:
                frames = np.stack([self._pool[t.slot] for t in group])
            painted = self._engine(frames, self._code, look.strength, look.keep_color)
            for slot, pixels in zip(slots[i:], painted, strict=False):
                np.copyto(self._pool[slot], pixels)
            seconds += [(time.perf_counter() - began) / len(group)] * len(group)
        moved = [replace(t, slot=slot) for t, slot in zip(tickets, slots, strict=True)]
        return Work(moved, seconds)


class Writer(Stage):
    """Restores order, drops what it has seen, encodes, and finishes the output atomically."""

    def __init__(
        self, pool: PoolHandle, output: str, info: StreamInfo, options: SinkOptions, taken: int
    ) -> None:
        """`taken`: frames below it were handed to a writer of this run before."""
        super().__init__(pool)
        self._asked = (output, info, options)
        self._taken = taken
        self._early: dict[int, Ticket] = {}

    def open(self) -> Work:
        """Open the output; `next_index` says from where frames must be delivered (again)."""
        self._sink = open_sink(*self._asked)
        self._sink.__enter__()
        if not self._sink.keeps:
            self._sink.next_index = self._taken
        return self._report([], [])

    def write(self, tickets: Sequence[Ticket]) -> Work:
        """Take frames in any order; the tickets that come back are those whose slots are free."""
        done: list[Ticket] = []
        seconds: list[float] = []
        for ticket in tickets:
            known = ticket.index < self._sink.next_index or ticket.index in self._early
            done.extend([ticket] if known else [])
            self._early.setdefault(ticket.index, ticket)
        while (due := self._early.pop(self._sink.next_index, None)) is not None:
            began = time.perf_counter()
            pixels = self._pool[due.slot]
            self._sink.write(Frame(due.index, due.pts, due.time_base, pixels, due.epoch))
            seconds.append(time.perf_counter() - began)
            done.append(due)
        return self._report(done, seconds)

    def finish(self) -> Work:
        """Complete the output under its final name."""
        self._sink.finish()
        return self._report([], [])

    def abandon(self) -> Work:
        """Close the output so that what was written stays readable under its temporary name."""
        self._sink.abandon()
        return self._report([], [])

    def _report(self, done: list[Ticket], seconds: list[float]) -> Work:
        return Work(done, seconds, self._sink.next_index, notices=list(self._sink.notices))
