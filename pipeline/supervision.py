"""Ray and the actors: starts them, hands out calls, notices death, silence and errors.

The only module that imports ray. Stages are watched by their progress, not by their sockets: one
that is silent for its budget is killed, and what was in its hands is handed out again.
"""

import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
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
from ray.exceptions import RayError, RayTaskError
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import (
    NodeAffinitySchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)

from pipeline.errors import StageFailed, StreamError
from pipeline.shared import SharedStylizer
from pipeline.stages import Work

Reference = ray.ObjectRef[Any]

CALL_BUDGET_S = 60.0
LONG_BUDGET_S = 300.0
MOST_FAILURES = 6
"""Deaths of a stage since it last came further than ever before."""
OBJECT_STORE_BYTES = 80 << 20
OF_STAGES = (
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO",
    "RAY_task_events_report_interval_ms",
    "GOMP_SPINCOUNT",
)
"""Settings for stages, which those of our own Ray inherit; to those of a cluster they are sent."""
ANSWER_S = 5.0
SHARED_S, AGAIN_S = 60.0, 0.2
"""A Ray that streams share may take so long to be there again, and is looked for so often."""
ROOM_S = 20.0
"""A cluster may take so long to make room."""
PARTS = 10_000
"""Of a GPU or a processor: Ray counts no smaller ones."""
STYLIZE = ("stylize", "stylize_sent")
"""Calls that have frames to paint in their hands."""
ATTEMPTS = 3
"""Ray gives a start up after half a minute, which a busy machine can exceed."""


UNUSED = ("start_monitor", "start_log_monitor", "start_api_server")
"""Of a Ray node: processes for clusters that grow by themselves, for logs on a driver's screen and
for a dashboard. Ray starts them whatever it is told and waits for the last one: half of its start.
A Ray without these names just starts slower."""


NAMESPACE = "stylestream"
"""In which shared stylizers have their names."""
MAKE_READY = "ready"
"""Calls of a shared stylizer that run beside those about frames, one at a time."""


def start_ray(
    address: str | None = None, shared: Path | None = None, several: bool = False
) -> None:
    """A Ray of our own on loopback, without dashboard, for this process and its actors; or, with an
    `address`, the cluster that is there; or the one that other streams share, whose address stands
    in the file `shared`. `several`: stylizers, that may share out the GPUs."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    if shared is not None:
        join_shared(shared)
        return
    if address is not None:
        join_ray(address, {"env_vars": {name: os.environ[name] for name in OF_STAGES}})
        return
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
                num_gpus=None if several else 0,  # None: all there are
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


def join_ray(address: str, settings: dict[str, Any]) -> None:
    """Become part of a running cluster, with a runtime environment for our actors. StreamError:
    there is none, or it takes us not."""
    try:
        if address != "auto":  # Ray itself would try for minutes
            host, port = address.rsplit(":", 1)
            socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
        ray.init(
            address,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            runtime_env=settings,
        )
    except (OSError, RuntimeError, ValueError, RayError) as error:
        ray.shutdown()
        lines = [line for line in str(error).splitlines() if line] or [type(error).__name__]
        raise StreamError(
            f"no Ray cluster can be joined at {address}: {lines[0][:200]} "
            "(one is started by: ray start --head)"
        ) from error


def join_shared(file: Path) -> None:
    """Join the Ray whose address stands in a file; one that has died is started again there."""
    until = time.monotonic() + SHARED_S
    while True:
        try:
            join_ray(announced(file), {})
            return
        except StreamError:
            if time.monotonic() > until:
                raise
            time.sleep(AGAIN_S)


def announced(file: Path) -> str:
    """The address in a file; nothing while it is away."""
    try:
        return file.read_text()
    except OSError:
        return ""


def own_address() -> str:
    """Of the Ray that this process has started or joined."""
    return str(ray.get_runtime_context().gcs_address)


def stop_ray() -> None:
    """End all actors, and Ray's own processes where they are ours."""
    ray.shutdown()


@dataclass(frozen=True, slots=True)
class Seat:
    """The share of a GPU, or of the processors of a node, that one stylizer holds."""

    group: PlacementGroup
    index: int

    @property
    def options(self) -> dict[str, Any]:
        """Of an actor that sits there."""
        ((kind, share),) = self.group.bundle_specs[self.index].items()
        strategy = PlacementGroupSchedulingStrategy(self.group, self.index)
        held = {"num_cpus": 0, f"num_{kind.lower()}s": share}
        return {**held, "scheduling_strategy": strategy}

    @property
    def node(self) -> str:
        """Where it is now; it moves when its node is lost."""
        return str(placement_group_table(self.group)["bundles_to_node_id"][self.index])

    @property
    def waits(self) -> bool:
        """Whether the cluster has no room for all seats now: a node was lost."""
        return bool(placement_group_table(self.group)["state"] != "CREATED")


def seats(count: int, joined: bool, on_gpus: bool) -> list[Seat | None]:
    """A seat for each of `count` stylizers, spread over the nodes: equal shares of all GPUs, or
    where there are none of the processors. None: beside the driver, which needs no sharing out.
    StreamError: the cluster has no room."""
    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    kind = "GPU" if on_gpus and there.get("GPU") else "CPU"
    if not (joined or kind == "GPU"):
        return [None] * count
    if not there.get(kind):
        raise StreamError("no node of the Ray cluster offers processors or GPUs")
    share = PARTS // ceil(count / there[kind]) / PARTS
    group = placement_group([{kind: share}] * count, strategy="SPREAD")
    if not group.wait(ROOM_S):
        remove_placement_group(group)
        raise StreamError(
            f"the Ray cluster has no room for {count} stylizers with {share:g} {kind} each: what "
            "else runs there holds it; wait for that, or use fewer --stylizers"
        )
    return [Seat(group, index) for index in range(count)]


def shared_share(count: int, on_gpus: bool) -> dict[str, Any]:
    """What one of `count` stylizers that streams share holds: an equal share of all GPUs. A single
    one sees them all."""
    gpus = ray.cluster_resources().get("GPU") if on_gpus and count > 1 else None  # type: ignore[no-untyped-call]
    return {"num_cpus": 0, "num_gpus": PARTS // ceil(count / gpus) / PARTS if gpus else 0}


def here() -> str:
    """The node of the driver."""
    return str(ray.get_runtime_context().get_node_id())


def _go_to(_: Any, folder: str) -> None:
    """A stage works where its driver does, so that names of files mean the same."""
    with suppress(OSError):  # a node may lack it
        os.chdir(folder)


def ray_is_whole(shared: Path | None = None) -> bool:
    """Whether all processes of our own Ray live, or the one that is `shared` is still the one that
    we joined. Without its node process actors answer on for some seconds, and none can be started.
    """
    if shared is not None:
        return announced(shared) == own_address()
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
        finished = []
        while self.calls and (reference := next(iter(self.calls))) in ready:
            try:
                work = ray.get(reference)
            except RayTaskError as error:
                raise self._own_error(error) from error
            except RayError as error:  # also when its node is lost with what it has done
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
        """Call and wait; None when it does not answer well in time."""
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
