"""Wires a source, the stages and a sink, and drives frames through them.

The driver owns all state that must outlive a stage: which frames are where, which slots are free,
how far the output is. So any stage can be killed at any moment, and the indices that reach the
output are still 0..n-1, once each, in order.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from types import TracebackType

from pipeline.account import Account
from pipeline.control import Change
from pipeline.errors import SourceInvalid
from pipeline.frame import StreamInfo
from pipeline.latency import Governor, sizes_for
from pipeline.opening import shown
from pipeline.pool import FramePool
from pipeline.queues import Queue, Slots, Ticket
from pipeline.report import Progress, Report
from pipeline.sinks import SinkOptions, shows_input
from pipeline.sources import SourceOptions
from pipeline.stages import Look, Reader, Stylizer, Work, Writer
from pipeline.supervision import (
    CALL_BUDGET_S,
    LONG_BUDGET_S,
    Call,
    StageDied,
    Supervised,
    start_ray,
    stop_ray,
    wait,
)

POOL_BYTES = 256 << 20
MOST_IN_CALL = 8
CALL_S = 0.1
ENDING_S = 3.0
SKIP_S = 0.02
AHEAD = 2
POLL_S = 0.2


@dataclass(frozen=True)
class Plan:
    """Everything a run needs, checked: see pipeline.plan."""

    source: str
    source_options: SourceOptions
    info: StreamInfo
    look: Look
    sinks: list[str]
    sink_options: SinkOptions
    wanted: Change
    """The look in words, for outputs that show it."""
    stylizers: int = 1
    max_latency_s: float = inf
    """Of live frames, from arrival to output."""
    notices: list[str] = field(default_factory=list)


class Pipeline:
    """One run of one plan, as a context. `stop()` may be called from a signal handler."""

    def __init__(self, plan: Plan, on_progress: Callable[[Progress], None]) -> None:
        self._plan, self._on_progress = plan, on_progress
        outputs = ", ".join(map(shown, plan.sinks))
        self._report = Report(shown(plan.source), outputs, notices=list(plan.notices))
        self._account = Account(self._report, plan.info.rate)
        self._stopping = False
        # Grows by one whenever the writer falls back; work of earlier generations is void.
        self._generation = 0
        self._asked = 0  # the next frame to ask the reader for
        self._received = 0  # frames that came from the reader
        self._handed = 0  # frames that were handed to a stylizer
        self._written = 0  # frames that the sink has taken
        self._total: int | None = None
        self._at_writer: dict[int, Ticket] = {}
        self._live = plan.info.live
        sizes = sizes_for(plan.info.width, plan.info.height)
        self._left_out: list[Ticket] = []  # live frames that came too late, since the last taken
        self._governor = Governor(plan.max_latency_s, sizes)
        self._zero: int | None = None  # of a live source: the time stamp that counts as 0
        self._epoch = 0
        self._change: Change | None = None  # the latest, with all pictures that ever came
        self._now_s = 0.0  # time of the frame that was handed to a stylizer last
        self._polled_s = 0.0
        self._finished = False

    def __enter__(self) -> "Pipeline":
        """Start Ray, the pool and the stages."""
        start_ray()
        try:
            self._make_pool()
            self._start_stages()
        except BaseException:
            stop_ray()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all processes. After an error, what was written stays under its temporary name."""
        if not self._finished:
            self._writer.ask("abandon", ENDING_S)
        self._account.close()
        stop_ray()
        self._pool.close()

    def stop(self) -> None:
        """Take no new frames, complete the output with what is under way, end."""
        self._stopping = True

    @property
    def report(self) -> Report:
        """The account so far; complete after the context has been left."""
        return self._report

    # -- building ------------------------------------------------------------------------------

    def _make_pool(self) -> None:
        info, n = self._plan.info, self._plan.stylizers
        least = 2 * (n + 1)
        frame_bytes = info.width * info.height * 3
        each = max(least, min(POOL_BYTES // (2 * frame_bytes), MOST_IN_CALL * (AHEAD * n + 4)))
        if self._live:  # what lies in queues is late
            each = least
        beside = each if any(map(shows_input, self._plan.sinks)) else 0
        self._pool = FramePool.create(2 * each + beside, info.height, info.width, beside)
        self._raw, self._done = Slots(range(each)), Slots(range(each, 2 * each))
        self._batch = max(1, min(MOST_IN_CALL, each // least))
        self._frames, self._painted = Queue(each), Queue(each)

    def _start_stages(self) -> None:
        plan, pool = self._plan, self._pool.handle
        self._stylizers = [
            Supervised(Stylizer, lambda: (pool, plan.look)) for _ in range(plan.stylizers)
        ]
        self._reader = Supervised(Reader, lambda: (pool, plan.source, plan.source_options))
        self._writer = Supervised(
            Writer, lambda: (pool, plan.sinks, plan.info, self._sink_options(), self._written)
        )
        self._stages = [self._reader, *self._stylizers, self._writer]

    def _sink_options(self) -> SinkOptions:
        """With what is wanted now."""
        wanted = self._plan.wanted
        if self._change:
            regions = self._change.regions or wanted.regions
            wanted = replace(self._change, regions=regions, pictures={})
        return replace(self._plan.sink_options, wanted=wanted)

    # -- the loop ------------------------------------------------------------------------------

    def run(self) -> None:
        """Until the output is complete. Raises a StreamError when it cannot be."""
        while not self._finished:
            if self._stopping:
                self._cut_short()
            self._feed_reader()
            self._feed_stylizers()
            self._feed_writer()
            ready = wait(self._stages, 0.25)
            for stage in self._stages:
                try:
                    for call, work in stage.collect(ready):
                        self._take(stage, call, work)
                except StageDied as death:
                    self._revive(stage, death.lost)
                stage.check_silence()
            self._tell()

    def _feed_reader(self) -> None:
        while self._total is None and len(self._raw) >= self._batch and self._wants_frames():
            slots = self._raw.take(self._batch)
            # A fresh reader may have to decode its way to the frame.
            budget = CALL_BUDGET_S + self._asked * SKIP_S
            self._reader.submit(
                "read",
                self._asked,
                slots,
                generation=self._generation,
                context=slots,
                budget_s=budget,
            )
            self._asked += len(slots)

    def _wants_frames(self) -> bool:
        """Files are read ahead; a live frame is fetched when a stylizer is free to paint it and
        the writer has at most one to take before, so that it is the newest."""
        reading = self._reader.outstanding("read")
        if not self._live:
            return reading < AHEAD
        free = sum(not s.calls for s in self._stylizers)
        behind = len(self._painted) + max(0, self._writer.outstanding("write") - 1)
        return reading + len(self._frames) + behind < min(1, free)

    def _feed_stylizers(self) -> None:
        most = 1 if self._live else AHEAD
        while len(self._frames) and len(self._done):
            stylizer = min(self._stylizers, key=lambda s: s.outstanding("stylize"))
            if stylizer.outstanding("stylize") >= most:
                return
            count = min(self._stylizer_batch(), len(self._done), len(self._frames))
            now_s, size = time.monotonic(), self._governor.size
            tickets = [replace(t, handed_s=now_s, size=size) for t in self._frames.take(count)]
            slots = self._done.take(count)
            self._handed = max(self._handed, tickets[-1].index + 1)
            self._now_s = tickets[-1].time_s
            stylizer.submit(
                "stylize", tickets, slots, generation=self._generation, context=(tickets, slots)
            )

    def _stylizer_batch(self) -> int:
        """As many frames a call as take about CALL_S, so that ending and falling back are quick."""
        timings = self._report.stages["Stylizer"]
        if not timings.count:
            return 1
        return max(1, min(self._batch, int(CALL_S / (timings.total_s / timings.count))))

    def _feed_writer(self) -> None:
        if self._writer.outstanding("open"):
            return
        while self._writer.outstanding("write") < AHEAD and len(self._painted):
            tickets = self._painted.take(self._batch)
            self._at_writer |= {t.index: t for t in tickets}
            self._writer.submit("write", tickets, generation=self._generation)
        now = time.monotonic()
        if now - self._polled_s > POLL_S and not self._writer.outstanding("poll"):
            self._polled_s = now
            self._writer.submit("poll", self._report.figures(), generation=self._generation)
        done = self._total is not None and self._written >= self._total
        if done and not self._writer.calls:
            # An interrupted run that wrote nothing has nothing to complete.
            ending = "finish" if self._total else "abandon"
            self._writer.submit(ending, generation=self._generation, budget_s=LONG_BUDGET_S)

    # -- results -------------------------------------------------------------------------------

    def _take(self, stage: Supervised, call: Call, work: Work) -> None:
        self._note(stage, work)
        if call.method == "open" and stage is self._writer:
            self._fall_back(work.next_index)
        elif call.method == "read":
            self._take_read(call, work)
        elif call.method == "stylize":
            self._take_painted(call, work)
        elif call.method == "write" and call.generation == self._generation:
            self._take_written(work)
        elif call.method in ("finish", "abandon"):
            self._finished = True

    def _take_read(self, call: Call, work: Work) -> None:
        slots: list[int] = call.context
        if call.generation != self._generation or self._stopping:
            self._raw.give(slots)
            return
        tickets = work.tickets
        if self._live:
            in_time = self._in_time(tickets)
            self._account.dropped("late", len(tickets) - len(in_time))
            tickets = self._counted(in_time)
        self._raw.give(slots[len(tickets) :])
        self._frames.put(tickets)
        if tickets:
            self._received = tickets[-1].index + 1
            self._account.read(self._received)
        if self._live:
            # What was asked for and not there is asked for again.
            self._asked = self._received
        if work.ended and self._total is None:
            self._total = self._received if self._live else work.next_index
            self._report.error = work.damage
            if not self._total:
                raise SourceInvalid(f"{shown(self._plan.source)} has no frame that can be decoded")

    def _in_time(self, tickets: list[Ticket]) -> list[Ticket]:
        """Those worth painting; the sound of the others goes on with the next one."""
        taken = []
        for ticket in tickets:
            if self._governor.takes(ticket):
                taken.append(ticket.hearing(self._left_out))
                self._left_out.clear()
            else:
                self._left_out.append(ticket)
        return taken

    def _counted(self, tickets: list[Ticket]) -> list[Ticket]:
        """Live tickets with times from the first one; none from the asked-for end on."""
        end = self._plan.source_options.end_s
        counted = []
        for ticket in tickets:
            if self._zero is None:
                self._zero = ticket.pts
            if ticket.epoch > self._epoch:
                self._report.reconnects += 1
            self._epoch = ticket.epoch
            moved = replace(ticket, pts=ticket.pts - self._zero)
            if end is not None and moved.time_s >= end:
                self._total = ticket.index
                break
            counted.append(moved)
        return counted

    def _take_painted(self, call: Call, work: Work) -> None:
        tickets, slots = call.context
        self._raw.give([t.slot for t in tickets])
        if call.generation == self._generation:
            self._painted.put(work.tickets)
        else:
            self._done.give(slots)

    def _take_written(self, work: Work) -> None:
        for ticket in work.tickets:
            del self._at_writer[ticket.index]
            self._governor.wrote(ticket)
        self._report.max_latency = self._governor.as_dict()
        self._done.give([t.slot for t in work.tickets])
        self._written = work.next_index
        self._account.written(work.tickets, self._written)

    def _note(self, stage: Supervised, work: Work) -> None:
        place = self._stages.index(stage)
        name = f"{stage.name} {place}" if stage in self._stylizers[1:] else stage.name
        self._account.heard(stage.name, name, work)
        for change in work.asked:
            asked = replace(change, at_s=self._now_s)
            for stylizer in self._stylizers:
                stylizer.submit("adjust", asked)
            before = self._change or asked
            self._change = replace(
                asked,
                regions=asked.regions or before.regions,
                pictures=before.pictures | asked.pictures,
            )

    # -- when something dies ---------------------------------------------------------------------

    def _revive(self, stage: Supervised, lost: list[Call]) -> None:
        self._account.restarted(stage.name)
        for call in lost:
            if call.method == "read":
                self._raw.give(call.context)
            elif call.method == "stylize":
                self._return_unpainted(call)
        if stage is self._reader:
            self._asked = self._received
        stage.start()
        if self._change and stage in self._stylizers:
            stage.submit("adjust", self._change)

    def _return_unpainted(self, call: Call) -> None:
        tickets, slots = call.context
        self._done.give(slots)
        if call.generation == self._generation:
            self._frames.put_back(tickets)
        else:
            self._raw.give([t.slot for t in tickets])

    def _fall_back(self, index: int) -> None:
        """A new writer wants frames from `index` on: everything after it is done again."""
        if not self._at_writer and index == self._written:
            return
        self._generation += 1
        self._done.give([t.slot for t in self._at_writer.values()])
        self._at_writer.clear()
        self._done.give([t.slot for t in self._painted.take(self._painted.capacity)])
        self._raw.give([t.slot for t in self._frames.take(self._frames.capacity)])
        self._asked = self._received = self._handed = self._written = index
        if self._total != index:
            self._total = index if self._report.interrupted else None

    def _cut_short(self) -> None:
        """The user wants to end: forget frames that no stylizer has begun."""
        if self._report.interrupted:
            return
        self._report.interrupted = True
        self._raw.give([t.slot for t in self._frames.take(self._frames.capacity)])
        self._total = self._handed

    def _tell(self) -> None:
        total = self._total if self._total is not None else self._plan.info.frames
        queues = {"frames": self._frames, "painted": self._painted}
        waiting = {name: (len(queue), queue.capacity) for name, queue in queues.items()}
        times = self._report.media_s, self._account.elapsed_s
        self._on_progress(Progress(self._written, total, *times, self._report, waiting))
