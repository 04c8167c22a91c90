"""Ray and the actors: starts them, hands out calls, notices death, silence and errors.

The only module that imports ray. Stages are watched by their progress, not by their sockets: one
that is silent for its budget is killed, and what was in its hands is handed out again.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# A history of all calls that nobody looks at: Ray grew by 150 MiB for each 100,000 frames.
os.environ.setdefault("RAY_task_events_report_interval_ms", "0")
# OpenMP threads that spin long while they wait starve the other stages and each other. Measured on
# two cores, frames a second of the whole stream: default 0.6, no spinning 6.5, a short spin 7.6.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from pipeline.errors import StageFailed, StreamError
from pipeline.stages import Work

Reference = ray.ObjectRef[Any]

CALL_BUDGET_S = 60.0
LONG_BUDGET_S = 300.0
MOST_FAILURES = 6
"""Deaths of a stage since it last came further than ever before."""
OBJECT_STORE_BYTES = 80 << 20
ATTEMPTS = 3
"""Ray gives a start up after half a minute, which a busy machine can exceed."""


UNUSED = ("start_monitor", "start_log_monitor", "start_api_server")
"""Of a Ray node: processes for clusters that grow by themselves, for logs on a driver's screen and
for a dashboard. Ray starts them whatever it is told and waits for the last one: half of its start.
A Ray without these names just starts slower."""


def start_ray() -> None:
    """A Ray of our own on loopback, without dashboard, for this process and its actors."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    node = getattr(getattr(ray._private, "node", None), "Node", None)
    for name in UNUSED:
        if hasattr(node, name):
            setattr(node, name, lambda *_, **__: None)
    for left in reversed(range(ATTEMPTS)):
        try:
            # Unasked it joins a cluster that happens to run on this machine.
            ray.init(
                "local",
                num_cpus=1,
                num_gpus=0,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                _node_ip_address="127.0.0.1",
            )
            return
        except Exception as error:
            ray.shutdown()
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            if not left:
                raise StreamError(
                    f"Ray did not start, is the machine overloaded? {reason}"
                ) from error


def stop_ray() -> None:
    """End all actors and Ray's own processes."""
    ray.shutdown()


def ray_is_whole() -> bool:
    """Whether all processes of our own Ray live. Without its node process actors answer on for some
    seconds, and none can be started."""
    node = getattr(ray._private.worker, "_global_node", None)
    return node is None or not node.dead_processes()


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

    def __init__(self, stage: type, arguments: Callable[[], tuple[Any, ...]]) -> None:
        """`arguments` is asked at every start, so that a new actor knows how far things are."""
        self.name = stage.__name__
        self.failures = 0
        self._reached = 0
        self._stage, self._arguments = stage, arguments
        self.calls: dict[Reference, Call] = {}
        self.start()

    def start(self) -> None:
        """A fresh actor, opening."""
        actor: Any = ray.remote(self._stage).options(num_cpus=0, max_restarts=0)
        self._actor: Any = actor.remote(*self._arguments())
        self.calls, self._sign_s = {}, time.monotonic()
        self.submit("open", budget_s=LONG_BUDGET_S)

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
        reference = getattr(self._actor, method).remote(*arguments)
        self.calls[reference] = Call(method, generation, context, budget_s)

    def outstanding(self, method: str) -> int:
        """Calls of this method under way."""
        return sum(call.method == method for call in self.calls.values())

    def collect(self, ready: set[Reference]) -> list[tuple[Call, Work]]:
        """Finished calls in order. Raises the stage's own error, or StageDied."""
        finished = []
        while self.calls and (reference := next(iter(self.calls))) in ready:
            try:
                work = ray.get(reference)
            except RayTaskError as error:
                raise self._own_error(error) from error
            except RayActorError as error:
                self._count_failure(error)
                raise StageDied(list(self.calls.values())) from error
            finished.append((self.calls.pop(reference), work))
            self._sign_s = time.monotonic()
            # To do again what was done before is no progress: it leads to where it died.
            reached = max([work.next_index, *(ticket.index + 1 for ticket in work.tickets)])
            if reached > self._reached:
                self._reached, self.failures = reached, 0
        return finished

    def check_silence(self) -> None:
        """Kill the actor when its budget is over; its calls then fail like those of a dead one."""
        if not self.calls:
            return
        first = next(iter(self.calls.values()))
        if time.monotonic() - self._sign_s > first.budget_s:
            ray.kill(self._actor, no_restart=True)

    def ask(self, method: str, limit_s: float) -> Work | None:
        """Call and wait; None when it does not answer well in time."""
        try:
            answer: Work = ray.get(getattr(self._actor, method).remote(), timeout=limit_s)
        except RayError:
            return None
        return answer

    def _own_error(self, error: RayTaskError) -> StreamError:
        cause = error.cause
        if isinstance(cause, StreamError):
            return cause
        lines = str(cause).strip().splitlines() or [""]
        return StageFailed(f"{self.name} failed: {type(cause).__name__}: {lines[-1]}")

    def _count_failure(self, error: RayActorError) -> None:
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
    first, _ = ray.wait(references, num_returns=1, timeout=limit_s, fetch_local=False)
    if not first:
        return set()
    ready, _ = ray.wait(references, num_returns=len(references), timeout=0, fetch_local=False)
    return set(ready)
