"""The first and the last stage, and what all have in common: plain classes, of which supervision.py
makes Ray actors. stylizer.py has the one between.

A stage keeps nothing that it could not rebuild from what it is handed: killed and started again, it
goes on where the driver says. Their names show in a process list as ray::Reader and so on.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from models.allocation import keep_freed
from pipeline.confined import confine
from pipeline.control import Change, Figures
from pipeline.errors import SinkError
from pipeline.frame import Frame, Pixels, StreamInfo
from pipeline.outlet import COMPLETE, Outlet
from pipeline.pool import FramePool, PoolHandle, SentFrames
from pipeline.queues import Ticket
from pipeline.sinks import SinkOptions, journals, open_sinks
from pipeline.sinks._codecs import HARDWARE
from pipeline.sources import Drawn, SourceOptions, open_source
from pipeline.stabilize import Flicker, Stabilizer
from pipeline.timings import cpu_seconds, helpers_mib, memory_mib, peak_memory_mib

END = object()
HELD = 1000
"""Frames for which there is memory in the writer, beside that for the sound which it copies: what
encoders hold of them is less."""


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
    dropped: dict[str, int] = field(default_factory=dict)
    """Reader: frames of a live source that were left out since the last call, by cause."""
    away: str = ""
    """Reader: why a live source is not there just now."""
    latencies: list[float] = field(default_factory=list)
    """Writer: seconds from the arrival of each live frame until the output had taken it."""
    share: float = 0.0
    """Stylizer: how much is done of a frame that takes many calls."""
    asked: list[Change] = field(default_factory=list)
    """Writer: what someone who watches asked to be changed."""
    memory_mib: float = field(default_factory=memory_mib)
    flicker: Flicker | None = None
    """Writer: measured with one of these frames."""
    sent: list[Pixels] = field(default_factory=list)
    """Stylizer on another node: what it painted, a frame for each ticket."""
    peak_memory_mib: float = field(default_factory=peak_memory_mib)
    cpu_s: float = field(default_factory=cpu_seconds)
    helpers_mib: float = field(default_factory=helpers_mib)
    outlets: list[Outlet] = field(default_factory=list)
    """Writer: how each output is, in their order."""


class Stage:
    """What all stages share: the pool. Work starts with `open`, whose errors reach the driver."""

    def __init__(self, pool: PoolHandle) -> None:
        self._pool: FramePool | SentFrames = FramePool(pool)


class Reader(Stage):
    """Opens the source, decodes, and writes upright RGB frames into slots."""

    def __init__(self, pool: PoolHandle, source: str, options: SourceOptions) -> None:
        super().__init__(pool)
        self._asked = (source, options)
        self._next: int | None = None
        self._end: int | None = None
        self._dropped: dict[str, int] = {}

    def open(self) -> Work:
        """Open the source. A stage is a process of its own: here are its limits."""
        confine(bounded=self._asked[1].hardware is None)
        keep_freed()
        self._source = open_source(*self._asked)
        self._source.__enter__()
        if isinstance(self._source, Drawn):
            self._source.room = lambda: self._room
        return Work()

    def read(self, start: int, slots: Sequence[int], after: int | None = None) -> Work:
        """Frames from index `start` on into the slots; fewer of them when the source ends, or has
        none just now. `after`: the time stamp of the frame before them, where it is known."""
        tickets: list[Ticket] = []
        seconds: list[float] = []
        if self._end is None or start < self._end:
            if start != self._next:
                self._frames = self._source.frames(start, after)
            self._fill(start, slots, tickets, seconds)
        after = start + len(tickets)
        ended = self._end is not None and after >= self._end
        before, self._dropped = self._dropped, self._source.dropped
        return Work(
            tickets,
            seconds,
            after,
            ended,
            list(self._source.notices),
            self._source.damage if ended else None,
            {cause: count - before.get(cause, 0) for cause, count in self._dropped.items()},
            away=self._source.away,
        )

    def _fill(
        self, start: int, slots: Sequence[int], tickets: list[Ticket], seconds: list[float]
    ) -> None:
        for slot in slots:
            began = time.monotonic()
            room = self._room = self._pool[slot]
            frame = next(self._frames, END)
            if frame is END:
                self._end = start + len(tickets)
            if not isinstance(frame, Frame):
                break
            if frame.pixels is not room:
                np.copyto(room, frame.pixels)
            about = frame.index, frame.pts, frame.time_base, slot, frame.epoch, frame.arrived_s
            tickets.append(Ticket(*about, heard=frame.heard, lasts_s=frame.lasts_s))
            # Waiting for a live source is not work.
            seconds.append(time.monotonic() - max(began, frame.arrived_s or began))
        self._next = start + len(tickets)


class Writer(Stage):
    """Restores order, drops what it has seen, encodes, and finishes the output atomically."""

    def __init__(
        self,
        pool: PoolHandle,
        outputs: list[str],
        info: StreamInfo,
        options: SinkOptions,
        taken: int,
        stabilize: bool,
    ) -> None:
        """`taken`: frames below it were handed to a writer of this run before."""
        super().__init__(pool)
        self._stabilizer = Stabilizer() if stabilize else None
        self._asked = (outputs, info, options, taken)
        self._said: list[str] = []
        self._early: dict[int, Ticket] = {}

    def open(self) -> Work:
        """Open the output; `next_index` says from where frames must be delivered (again)."""
        outputs, info, options, _ = self._asked
        beside_bytes = HELD * info.width * info.height * 3
        # Whoever watches the live page takes a handle.
        confine(beside_bytes=beside_bytes, files=None, bounded=options.codec not in HARDWARE)
        self._sink = open_sinks(*self._asked)
        self._sink.__enter__()
        self._journal = next(iter(journals(outputs) if options.job else []), None)
        if self._journal and self._stabilizer and (at := self._sink.next_index):
            if (state := self._journal.kept(at)) is not None:
                self._stabilizer.restore(state)
            else:
                self._said.append(f"stabilizing began anew at frame {at}")
        return self._report()

    def write(self, tickets: Sequence[Ticket]) -> Work:
        """Take frames in any order; the tickets that come back are those whose slots are free."""
        done: list[Ticket] = []
        seconds: list[float] = []
        latencies: list[float] = []
        for ticket in tickets:
            known = ticket.index < self._sink.next_index or ticket.index in self._early
            done.extend([ticket] if known else [])
            self._early.setdefault(ticket.index, ticket)
        while (due := self._early.pop(self._sink.next_index, None)) is not None:
            began = time.perf_counter()
            pixels, beside = self._pool[due.slot], self._pool.handle.beside
            before = self._pool[due.slot + beside] if beside else None
            if self._stabilizer and before is not None:
                # Here they are in order, however many stylizers there are.
                pixels = self._stabilizer(before, pixels, (due.epoch, *due.look))
            about = due.index, due.pts, due.time_base, pixels, due.epoch, due.arrived_s
            frame = Frame(*about, before=before, heard=due.heard, lasts_s=due.lasts_s)
            self._sink.write(frame)
            if self._journal and self._stabilizer and (due.index + 1) % self._sink.piece == 0:
                self._journal.keep(due.index + 1, self._stabilizer.state())
            seconds.append(time.perf_counter() - began)
            if due.arrived_s is not None:
                latencies.append(time.monotonic() - due.arrived_s)
            done.append(due)
        return self._report(done, seconds, latencies)

    def poll(self, figures: Figures) -> Work:
        """Show those who watch how it goes, and hear what they ask."""
        self._sink.tell(figures)
        return self._report()

    def finish(self, cut: bool = False) -> Work:
        """Complete the output under its final name; `cut`: as it was asked to end early. Of several
        those that can be: what is wrong with the others comes back as `damage`."""
        try:
            self._sink.finish(cut)
        except SinkError as error:
            if not any(outlet.ended == COMPLETE for outlet in self._sink.outlets):
                raise
            return replace(self._report(), damage=str(error))
        return self._report()

    def abandon(self) -> Work:
        """Close the output so that what was written stays readable under its temporary name."""
        self._sink.abandon()
        return self._report()

    def _report(
        self, done: Sequence[Ticket] = (), seconds: Sequence[float] = (), late: Sequence[float] = ()
    ) -> Work:
        return Work(
            list(done),
            list(seconds),
            self._sink.next_index,
            latencies=list(late),
            flicker=self._stabilizer.take_flicker() if self._stabilizer else None,
            notices=[*self._said, *self._sink.notices],
            asked=self._sink.take_asked(),
            outlets=self._sink.outlets,
        )
