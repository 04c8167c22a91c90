"""Stages under watch: hands out calls, notices death, silence and errors.

Stages are watched by their progress, not by their sockets: one that is silent for its budget is
killed, and what was in its hands is handed out again.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.cluster import ANSWER_S, Seat, here, ray
from pipeline.errors import StageFailed, StreamError
from pipeline.shared import SharedStylizer
from pipeline.stages import Work

Reference = ray.ObjectRef[Any]

CALL_BUDGET_S = 60.0
LONG_BUDGET_S = 300.0
MOST_FAILURES = 6
"""Deaths of a stage since it last came further than ever before."""
STYLIZE = ("stylize", "stylize_sent")
"""Calls that have frames to paint in their hands."""
NAMESPACE = "stylestream"
"""In which shared stylizers have their names."""
MAKE_READY = "ready"
"""Calls of a shared stylizer that run beside those about frames, one at a time."""


def _go_to(_: Any, folder: str) -> None:
    """A stage works where its driver does, so that names of files mean the same."""
    with suppress(OSError):  # a node may lack it
        os.chdir(folder)


class StageDied(Exception):
    """An actor's process is gone; `lost` are the calls that it took with it."""

    def __init__(self, lost: "list[Call]") -> None:
        super().__init__(f"{len(lost)} calls lost")
        self.lost = lost


@dataclass(frozen=True, slots=True)
class Call:
    """A call under way and what the driver needs when it ends, well or not."""

    method: str
    generation: int
    context: Any
    budget_s: float


class Supervised:
    """One stage: its actor, the calls under way in order, and when it last gave a sign of life."""

    def __init__(
        self,
        stage: type,
        arguments: Callable[[], tuple[Any, ...]],
        seat: Callable[[], Seat | None] = lambda: None,
        shared: tuple[str, dict[str, Any]] | None = None,
    ) -> None:
        """`arguments` and `seat` (None: on the driver's node) are asked at every start, so that a
        new actor knows how far things are. `shared`: the name of a stylizer that other streams use
        too, and what it holds of the machine."""
        self.name = stage.__name__
        self.failures = 0
        self._reached = 0
        self._stage, self._arguments, self._seat = stage, arguments, seat
        self._shared = shared
        self.calls: dict[Reference, Call] = {}
        self.opened = False
        """Whether it is ready for work."""
        self.far = False
        """Whether it sits on another node, where the pool is out of reach."""
        self.start()

    def start(self) -> None:
        """A fresh actor, or a shared one that may be there, opening."""
        seat, self.opened, self.far = self._seat(), False, False
        home = {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(here(), False)}
        if self._shared:
            self._join(home)
        else:
            actor: Any = ray.remote(self._stage).options(
                max_restarts=0, **(seat.options if seat else home)
            )
            self._actor: Any = actor.remote(*self._arguments())
        self._actor.__ray_call__.remote(_go_to, os.getcwd())
        self.calls, self._sign_s = {}, time.monotonic()
        self.submit("open", budget_s=LONG_BUDGET_S)

    def _join(self, home: dict[str, Any]) -> None:
        assert self._shared
        name, held = self._shared
        with_groups: Any = ray.remote
        stage = with_groups(concurrency_groups={MAKE_READY: 1})(SharedStylizer)
        actor = stage.options(
            name=name,
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",  # it outlives the stream that happened to come first
            max_restarts=0,
            **(home | held),
        )
        self._actor = actor.remote()
        self._remote("join", *self._arguments())

    def _remote(self, method: str, *arguments: Any) -> Reference:
        """Call the actor."""
        if not self._shared:
            called: Reference = getattr(self._actor, method).remote(*arguments)
            return called
        stream = str(os.getpid())
        if method in ("join", "leave"):
            call = getattr(self._actor, method)
        else:
            call, arguments = self._actor.call, (method, *arguments)
        if method not in STYLIZE:
            call = call.options(concurrency_group=MAKE_READY)
        called = call.remote(stream, *arguments)
        return called

    def submit(
        self,
        method: str,
        *arguments: Any,
        generation: int = 0,
        context: Any = None,
        budget_s: float = CALL_BUDGET_S,
    ) -> None:
        """Queue a method call at the actor, which runs calls in order, each within its budget."""
        if not self.calls:
            self._sign_s = time.monotonic()
        reference = self._remote(method, *arguments)
        self.calls[reference] = Call(method, generation, context, budget_s)

    def outstanding(self, method: str) -> int:
        """Calls of this method under way."""
        return sum(call.method == method for call in self.calls.values())

    def collect(self, ready: set[Reference]) -> list[tuple[Call, Work]]:
        """Finished calls in order. Raises the stage's own error, or StageDied."""
        finished: list[tuple[Call, Work]] = []
        while self.calls and (reference := next(iter(self.calls))) in ready:
            try:
                work = ray.get(reference)
            except RayTaskError as error:
                raise self._own_error(error) from error
            except RayError as error:  # also when its node is lost with what it has done
                if finished:  # theirs is taken first; this one fails again
                    return finished
                self._count_failure(error)
                raise StageDied(list(self.calls.values())) from error
            call = self.calls.pop(reference)
            if call.method == "open":
                seat, self.opened = self._seat(), True
                self.far = seat is not None and seat.node != here()
            finished.append((call, work))
            self._sign_s = time.monotonic()
            # To do again what was done before is no progress: it leads to where it died.
            reached = max([work.next_index, *(ticket.index + 1 for ticket in work.tickets)])
            if reached > self._reached:
                self._reached, self.failures = reached, 0
        return finished

    def leave(self) -> None:
        """Take what is this stream's out of a shared stylizer, which goes on."""
        if self._shared:
            self.ask("leave", ANSWER_S)

    def check_silence(self) -> None:
        """Kill the actor when its budget is over; its calls then fail like those of a dead one. One
        that has no room since a node was lost fails in nothing: others paint until it has."""
        if not self.calls:
            return
        first = next(iter(self.calls.values()))
        if time.monotonic() - self._sign_s > first.budget_s:
            seat = self._seat()
            if not self.opened and seat is not None and seat.waits:
                self._sign_s = time.monotonic()
                return
            ray.kill(self._actor, no_restart=True)

    def ask(self, method: str, limit_s: float) -> Work | None:
        """Call and wait; None when it does not answer well in time, or there is no Ray to ask by,
        in place of which a call would start another."""
        if not ray.is_initialized():
            return None
        try:
            answer: Work = ray.get(self._remote(method), timeout=limit_s)
        except RayError:
            return None
        return answer

    def _own_error(self, error: RayTaskError) -> StreamError:
        cause = error.cause
        if isinstance(cause, StreamError):
            return cause
        lines = str(cause).strip().splitlines() or [""]
        return StageFailed(f"{self.name} failed: {type(cause).__name__}: {lines[-1]}")

    def _count_failure(self, error: RayError) -> None:
        self.failures += 1
        if self.failures >= MOST_FAILURES:
            detail = str(error).strip().splitlines()[-1]
            raise StageFailed(
                f"{self.name} died {self.failures} times in a row without progress, the last time "
                f"after frame {self._reached}: {detail}"
            ) from error


def wait(stages: list[Supervised], limit_s: float) -> set[Reference]:
    """References that are ready, waiting up to `limit_s` for the first."""
    references = [r for stage in stages for r in stage.calls]
    if not references:
        return set()
    first, _ = ray.wait(references, num_returns=1, timeout=limit_s)
    if not first:
        return set()
    ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
    return set(ready)
