"""Wires a source, the stages and a sink, and drives frames through them.

The driver owns all state that must outlive a stage. So any stage can be killed at any moment, and
the indices that reach the output are still 0..n-1, once each, in order.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType

import numpy as np

from pipeline.account import Account
from pipeline.address import shown
from pipeline.arrivals import Arrivals
from pipeline.cluster import start_ray, stop_ray
from pipeline.crew import ENDING_S, Crew
from pipeline.errors import SourceInvalid
from pipeline.latency import Governor, sizes_for
from pipeline.ledger import Ledger
from pipeline.outlet import CLOSED, COMPLETE
from pipeline.plan import Plan
from pipeline.pool import FramePool
from pipeline.queues import Ticket
from pipeline.report import Progress, Report
from pipeline.sinks import journals, paces, shows_input
from pipeline.stages import Work
from pipeline.supervision import (
    CALL_BUDGET_S,
    LONG_BUDGET_S,
    STYLIZE,
    Call,
    Supervised,
)

CALL_PX = 1920 * 1080
"""Larger frames have longer to be painted than CALL_BUDGET_S."""
JOIN_S = 0.005
"""Of each frame of an output, which may have to be copied to complete it."""
POOL_BYTES = 512 << 20
MOST_IN_CALL = 8
CALL_S = 0.1
DRAIN_S = 2.0
"""Frames that are under way may take so long when the user wants to end."""
SKIP_S = 0.02
AHEAD = 2
POLL_S = 0.2
MEASURE_S = 1.0


class Pipeline:
    """One run of one plan, as a context. `stop()` may be called from a signal handler."""

    def __init__(self, plan: Plan, on_progress: Callable[[Progress], None]) -> None:
        self._plan, self._on_progress = plan, on_progress
        outputs = ", ".join(map(shown, plan.sinks))
        self.report = Report(shown(plan.source), outputs, notices=list(plan.notices))
        self._account = Account(self.report, plan.info.rate, plan.sinks)
        self._live = plan.info.live
        sizes = sizes_for(plan.info.width, plan.info.height)
        self._left_out: list[Ticket] = []  # live frames that were too late, since the last taken
        self._governor = Governor(plan.max_latency_s, sizes)
        self._arrivals = Arrivals(plan.source_options.end_s)
        self._polled_s = 0.0
        self._delivered_s: float | None = None  # time of the last frame that the writer was given
        self._share = 0.0  # how much is done of a frame that takes many calls
        self._stops: list[float] = []  # when the user asked to end
        self._closed = False  # by who watched the only output
        self._finished = False
        self._completed: list[str] = []  # of the outputs

    def __enter__(self) -> "Pipeline":
        """Start Ray, the pool and the stages."""
        plan = self._plan
        with ExitStack() as begun:
            begun.callback(stop_ray)
            start_ray(plan.address, plan.shared, plan.stylizers > 1)
            self._make_pool()
            begun.callback(self._pool.close)
            self._crew = Crew(plan, self._pool.handle, self._ledger, self._account)
            begun.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all processes. After an error, what was written stays under its temporary name."""
        try:
            if not self._finished:
                self._crew.writer.ask("abandon", ENDING_S)
            if not self.report.interrupted:
                for journal in journals(self._completed):
                    journal.remove()
            self.report.resumable = any(journals(self._plan.sinks))
            self._account.close()
            self._crew.leave()
        finally:
            stop_ray()
            self._pool.close()

    def stop(self) -> None:
        """Take no new frames, complete the output with what is under way, end. Asked again:
        complete it with what is written."""
        self._stops.append(time.monotonic())

    @property
    def asked_to_end(self) -> bool:
        """Whether `stop` was called."""
        return bool(self._stops)

    # -- building ------------------------------------------------------------------------------

    def _make_pool(self) -> None:
        info, n = self._plan.info, self._plan.stylizers
        least = 2 * (n + 1)
        frame_bytes = info.width * info.height * 3
        each = max(least, min(POOL_BYTES // (2 * frame_bytes), MOST_IN_CALL * (AHEAD * n + 4)))
        if self._live:  # what lies in queues is late
            each = least
        plan = self._plan
        beside = each if plan.stabilize or any(map(shows_input, plan.sinks)) else 0
        self._pool = FramePool.create(2 * each + beside, info.height, info.width, beside)
        self._ledger = Ledger(each, self._live)
        self._batch = max(1, min(MOST_IN_CALL, each // least))
        # Who wants to end waits for a call to end, and that for the times of its frames.
        self._written_batch = 1 if any(map(paces, plan.sinks)) else self._batch

    # -- the loop ------------------------------------------------------------------------------

    def run(self) -> None:
        """Until the output is complete. Raises a StreamError when it cannot be."""
        while not self._finished:
            if self._stops:
                self._cut_short()
            elif self._closed and not self._ledger.complete:
                self._ledger.cut_now()
            self._feed_reader()
            self._feed_stylizers()
            self._feed_writer()
            for stage, call, work in self._crew.results(0.25):
                self._take(stage, call, work)
            self._tell()

    @property
    def _ending(self) -> bool:
        """Whether no more frames are wanted."""
        return bool(self._stops) or self._closed

    def _cut_short(self) -> None:
        ledger = self._ledger
        if self._completing:  # by itself, or since the first time
            return
        if not self.report.interrupted:
            self.report.interrupted = True
            ledger.cut()
        waited_s = time.monotonic() - self._stops[0]
        if not ledger.complete and (len(self._stops) > 1 or waited_s > DRAIN_S):
            ledger.cut_now()

    def _feed_reader(self) -> None:
        ledger = self._ledger
        if self._plan.sink_options.resume and self._crew.writer.outstanding("open"):
            return  # it will say what is there already
        while ledger.total is None and len(ledger.raw) >= self._batch and self._wants_frames():
            start, slots, after = ledger.ask(self._batch)
            # A fresh reader may have to decode its way to the frame.
            budget = CALL_BUDGET_S + start * SKIP_S
            arguments = start, slots, after
            self._submit(self._crew.reader, "read", *arguments, context=slots, budget_s=budget)

    def _wants_frames(self) -> bool:
        """Files are read ahead; a live frame is fetched when a stylizer is free to paint it and
        the writer has at most one to take before, so that it is the newest."""
        reading = self._crew.reader.outstanding("read")
        if not self._live:
            return reading < AHEAD
        free = sum(not s.calls for s in self._crew.stylizers)
        behind = len(self._ledger.painted) + max(0, self._crew.writer.outstanding("write") - 1)
        return reading + len(self._ledger.frames) + behind < min(1, free)

    def _feed_stylizers(self) -> None:
        ledger = self._ledger
        most = 1 if self._live or self._plan.look.film else AHEAD
        # One that starts has no frames in its hands, for which all others would wait.
        ready = [stylizer for stylizer in self._crew.stylizers if stylizer.opened]
        while ready and len(ledger.frames) and len(ledger.done):
            stylizer = min(ready, key=lambda s: len(s.calls))
            if len(stylizer.calls) >= most:
                return
            tickets, slots = ledger.hand_out(self._stylizer_batch())
            now_s, size = time.monotonic(), self._governor.size
            given = [replace(t, handed_s=now_s, size=size) for t in tickets], slots
            if stylizer.far:
                frames = np.stack([self._pool[t.slot] for t in tickets])
                self._paint(stylizer, "stylize_sent", *given, frames, context=given)
            else:
                self._paint(stylizer, "stylize", *given, context=given)

    def _paint(self, stylizer: Supervised, method: str, *given: object, context: object) -> None:
        width, height = self._pool.size
        budget_s = CALL_BUDGET_S * max(1.0, width * height / CALL_PX)
        self._submit(stylizer, method, *given, context=context, budget_s=budget_s)

    def _stylizer_batch(self) -> int:
        """As many frames a call as take about CALL_S, so that ending and falling back are quick."""
        timings = self.report.stages["Stylizer"]
        if not timings.count:
            return 1
        return max(1, min(self._batch, int(CALL_S / (timings.total_s / timings.count))))

    def _feed_writer(self) -> None:
        ledger, writer = self._ledger, self._crew.writer
        # What comes once the output is being completed is left: it would begin another part.
        if writer.outstanding("open") or self._completing:
            return
        while writer.outstanding("write") < AHEAD and len(ledger.painted):
            tickets = ledger.deliver(self._written_batch)
            last_s, self._delivered_s = self._delivered_s, tickets[-1].time_s
            pause_s = 0.0 if last_s is None else max(0.0, self._delivered_s - last_s)
            self._submit(writer, "write", tickets, budget_s=CALL_BUDGET_S + pause_s)
        now = time.monotonic()
        if now - self._polled_s > POLL_S and not writer.outstanding("poll"):
            self._polled_s = now
            self._submit(writer, "poll", self.report.figures())
        if ledger.complete and not writer.calls:
            # An interrupted run that wrote nothing has nothing to complete.
            if ledger.total:
                budget_s = LONG_BUDGET_S + JOIN_S * ledger.total
                self._submit(writer, "finish", self.report.interrupted, budget_s=budget_s)
            else:
                self._submit(writer, "abandon", budget_s=LONG_BUDGET_S)

    @property
    def _completing(self) -> bool:
        """Whether the writer has been told that no more frames will come."""
        writer = self._crew.writer
        return bool(writer.outstanding("finish") or writer.outstanding("abandon"))

    def _submit(
        self,
        stage: Supervised,
        method: str,
        *arguments: object,
        context: object = None,
        budget_s: float = CALL_BUDGET_S,
    ) -> None:
        stage.submit(
            method,
            *arguments,
            generation=self._ledger.generation,
            context=context,
            budget_s=budget_s,
        )

    # -- results -------------------------------------------------------------------------------

    def _take(self, stage: Supervised, call: Call, work: Work) -> None:
        if work.outlets and all(outlet.ended for outlet in work.outlets):
            self._closed = self._closed or any(o.ended == CLOSED for o in work.outlets)
        if call.method == "open" and stage is self._crew.writer:
            self._go_on_at(work.next_index)
        elif call.method == "read":
            self._take_read(call, work)
        elif call.method in STYLIZE:
            self._take_sent(call, work)
            self._share = work.share
            self._take_painted(call, work)
        elif call.method == "write" and call.generation == self._ledger.generation:
            self._take_written(work)
        elif call.method == "finish":
            self._finished = True
            self._take_finished(work)
        elif call.method == "abandon":
            self._finished = True

    def _take_sent(self, call: Call, work: Work) -> None:
        """What comes from a stylizer on another node goes into the pool, whose slots the call has
        in its hands until now."""
        beside = self._pool.handle.beside
        for read, ticket, pixels in zip(call.context[0], work.tickets, work.sent, strict=False):
            np.copyto(self._pool[ticket.slot], pixels)
            if beside:
                np.copyto(self._pool[ticket.slot + beside], self._pool[read.slot])

    def _take_painted(self, call: Call, work: Work) -> None:
        ledger, now_s = self._ledger, time.monotonic()
        painted = [replace(ticket, painted_s=now_s) for ticket in work.tickets]
        rest = ledger.take_painted(call.generation, call.context, painted)
        if rest[0]:
            self._go_on(rest)
        for ticket in painted if call.generation == ledger.generation else []:
            if not self._governor.shows(ticket) and ledger.leave_out(ticket):
                self._governor.left_out(ticket)
                self.report.frames_in -= 1  # the next one gets its number
                self._leave_out(ticket)

    def _go_on(self, rest: tuple[list[Ticket], list[int]]) -> None:
        """With what takes a stylizer more than one call."""
        if self._ending:
            self._ledger.give_up(rest)
        else:
            self._paint(self._crew.stylizers[0], "stylize", *rest, context=rest)

    def _go_on_at(self, index: int) -> None:
        """A writer has opened and wants frames from `index` on."""
        if self.report.first_frame_s is None:
            self.report.resumed_at = index
        kept = (p for journal in journals(self._plan.sinks) for p in journal.pieces())
        after = next((piece.last_pts for piece in kept if piece.frames == index), None)
        self._ledger.fall_back(index, after, self.report.interrupted)

    def _take_read(self, call: Call, work: Work) -> None:
        ledger, report = self._ledger, self.report
        if call.generation != ledger.generation or self._ending:
            ledger.raw.give(call.context)
            return
        tickets = work.tickets
        if self._live:
            tickets = self._in_time(self._arrivals.timed(tickets))
        ledger.arrive(call.context, tickets)
        self._account.read(ledger.received)
        report.reconnects = self._arrivals.reconnects
        if ledger.total is None:
            ledger.total = self._arrivals.end
        if work.ended and ledger.total is None:
            ledger.total = ledger.received if self._live else work.next_index
            report.error = work.damage
            if not ledger.total:
                raise SourceInvalid(f"{shown(self._plan.source)} has no frame that can be decoded")

    def _in_time(self, tickets: list[Ticket]) -> list[Ticket]:
        """Those worth painting; the sound of the others goes on with the next one."""
        taken = []
        for ticket in tickets:
            if self._governor.takes(ticket):
                taken.append(ticket.hearing(self._left_out))
                self._left_out.clear()
            else:
                self._leave_out(ticket)
        return taken

    def _leave_out(self, ticket: Ticket) -> None:
        self._account.dropped("late")
        if ticket.index:  # before the first picture nothing is heard
            self._left_out.append(ticket)

    def _take_written(self, work: Work) -> None:
        for ticket in work.tickets:
            self._governor.wrote(ticket)
        self._ledger.take_written(work.tickets, work.next_index)
        self._account.written(work.tickets, self._ledger.written)

    def _take_finished(self, work: Work) -> None:
        """All outputs are complete, or but for those that `work.damage` tells of."""
        each = zip(self._plan.sinks, work.outlets, strict=True)
        self._completed = [
            text for text, outlet in each if not work.damage or outlet.ended == COMPLETE
        ]
        self.report.written = list(map(shown, self._completed))
        said = [text for text in (self.report.error, work.damage) if text]
        self.report.error = "; ".join(said) or None

    def _tell(self) -> None:
        ledger = self._ledger
        self._account.measure(MEASURE_S)
        self.report.max_latency = self._governor.as_dict()
        total = ledger.total if ledger.total is not None else self._plan.info.frames
        queues = {"frames": ledger.frames, "painted": ledger.painted}
        waiting = {name: (len(queue), queue.capacity) for name, queue in queues.items()}
        times = self.report.media_s, self._account.elapsed_s
        told = Progress(ledger.written, total, *times, self.report, waiting, self._share)
        self._on_progress(told)
