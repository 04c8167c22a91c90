"""The stages of a run: started, listened to, and started again when they die."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.account import Account
from pipeline.address import shown
from pipeline.cluster import Seat, ray_is_whole, seats, shared_share, start_ray, stop_ray
from pipeline.control import Change
from pipeline.errors import StageFailed
from pipeline.ledger import Ledger
from pipeline.plan import Plan
from pipeline.pool import PoolHandle
from pipeline.sinks import SinkOptions
from pipeline.stages import Reader, Work, Writer
from pipeline.supervision import (
    MOST_FAILURES,
    STYLIZE,
    Call,
    StageDied,
    Supervised,
    wait,
)

ENDING_S = 3.0


class Crew:
    """Reader, stylizers and writer of one plan, who share a pool."""

    def __init__(self, plan: Plan, pool: PoolHandle, ledger: Ledger, account: Account) -> None:
        """Start them all."""
        self._plan, self._ledger, self._account = plan, ledger, account
        self._change: Change | None = None  # the latest, with all pictures that can be asked for
        self._deaths: Counter[int] = Counter()  # of stylizers, by the frames that they had
        self._ray_died_at = -1  # frames that were written then
        self._source_options = plan.source_options
        self._take_seats()
        self.stylizers = [
            Supervised(
                plan.stylizer,
                lambda: (pool, replace(plan.look, sharing=self._sharing)),
                partial(self._seat, place),
                self._shared(place),
            )
            for place in range(plan.stylizers)
        ]
        self.reader = Supervised(Reader, lambda: (pool, plan.source, self._source_options))
        # Asked at each start, so that a new writer knows how far things are.
        self.writer = Supervised(
            Writer,
            lambda: (
                *(pool, plan.sinks, plan.info, self._sink_options(), ledger.written),
                plan.stabilize,
            ),
        )
        self._stages = [self.reader, *self.stylizers, self.writer]

    def _seat(self, place: int) -> Seat | None:
        return self._seats[place]

    def _shared(self, place: int) -> tuple[str, dict[str, Any]] | None:
        """A film that is painted by key frames has a stylizer for itself."""
        plan = self._plan
        if plan.shared is None or plan.look.film is not None:
            return None
        held = shared_share(plan.stylizers, plan.look.device in ("auto", "cuda"))
        return f"Stylizer {place}", held

    def leave(self) -> None:
        """Take what is this run's out of stylizers that others share."""
        for stylizer in self.stylizers:
            stylizer.leave()

    def _take_seats(self) -> None:
        """Key frames are chosen from the film itself, which lies on this node."""
        plan = self._plan
        joined = plan.address is not None and plan.look.film is None
        on_gpus = plan.look.device in ("auto", "cuda")
        self._seats = seats(plan.stylizers, joined, on_gpus)
        nodes = [seat.node for seat in self._seats if seat]
        self._sharing = max(Counter(nodes).values(), default=plan.stylizers)
        if joined:
            self._account.note(f"{plan.stylizers} stylizers on {len({*nodes})} nodes")

    def results(self, limit_s: float) -> Iterator[tuple[Supervised, Call, Work]]:
        """What has been done, waiting up to `limit_s` for the first of it. Raises the error of a
        stage; who died or is silent is started again."""
        ready = wait(self._stages, limit_s)
        if not ray_is_whole(self._plan.shared):
            self._restart_ray()
            return
        for stage in self._stages:
            try:
                for call, work in stage.collect(ready):
                    self._account.heard(stage.name, self._name_of(stage), work)
                    for change in work.asked:
                        self._pass_on(change)
                    yield stage, call, work
            except StageDied as death:
                self._account.restarted(stage.name)
                if stage is self.reader:
                    self._leave_hardware()
                self._revive(stage, death.lost)
            stage.check_silence()

    def _name_of(self, stage: Supervised) -> str:
        """Tells stylizers apart."""
        later = stage in self.stylizers[1:]
        return f"{stage.name} {self._stages.index(stage)}" if later else stage.name

    def _pass_on(self, change: Change) -> None:
        """To all stylizers, those of later included."""
        asked = replace(change, at_s=self._ledger.handed_s)
        for stylizer in self.stylizers:
            stylizer.submit("adjust", asked)
        before = self._change or asked
        pictures = before.pictures | asked.pictures
        self._change = replace(
            asked,
            regions=asked.regions or before.regions,
            pictures={path: pictures[path] for path in pictures.keys() - asked.forget},
        )

    def _sink_options(self) -> SinkOptions:
        """With what is painted, and what is wanted now."""
        wanted = self._plan.wanted
        if self._change:
            regions = self._change.regions or wanted.regions
            wanted = replace(self._change, regions=regions, pictures={})
        name = shown(self._plan.source)
        source = name if "://" in name else Path(name).name
        return replace(self._plan.sink_options, source=source, wanted=wanted)

    def _restart_ray(self) -> None:
        """Ray itself lost a process: everything opens anew, the output goes on behind what is
        whole of it."""
        if self._ray_died_at == self._ledger.written:
            raise StageFailed("Ray died twice without one frame in between: see its logs")
        self._ray_died_at = self._ledger.written
        self._account.restarted("Ray")
        self.writer.ask("abandon", ENDING_S)
        stop_ray()
        start_ray(self._plan.address, self._plan.shared, self._plan.stylizers > 1)
        self._take_seats()
        for stage in self._stages:
            self._revive(stage, list(stage.calls.values()))

    def _leave_hardware(self) -> None:
        """A driver may be what the reader died of, and it would come to the same place again."""
        if kind := self._source_options.hardware:
            self._source_options = replace(self._source_options, hardware=None)
            self._account.note(f"the reader died: decoded in software since, not by {kind}")

    def _revive(self, stage: Supervised, lost: list[Call]) -> None:
        for call in lost:
            if call.method == "read":
                self._ledger.raw.give(call.context)
            elif call.method in STYLIZE:
                self._ledger.take_back(call.generation, call.context)
                self._deaths.update(ticket.index for ticket in call.context[0])
        index, times = next(iter(self._deaths.most_common(1)), (0, 0))
        if times >= MOST_FAILURES:
            raise StageFailed(f"Stylizers died {times} times with frame {index} in their hands")
        if stage is self.reader:
            self._ledger.reread()
        stage.start()
        if self._change and stage in self.stylizers:
            stage.submit("adjust", self._change)
