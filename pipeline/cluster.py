"""Ray: a node of our own, or a cluster that is joined, and who sits where in it."""

import logging
import os
import socket
import time
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
# A call after Ray has ended would start another, with all that is turned off here.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# A history of all calls that nobody looks at: Ray grew by 150 MiB for each 100,000 frames.
os.environ.setdefault("RAY_task_events_report_interval_ms", "0")
# Ray's own is 15: whatever else the machine does would starve a live stream. Measured beside two
# processes that kept two cores busy, 720p at 30 frames a second, untouched: of 360 frames 53 came
# out and p99 of the latency was 868 ms; with 0 it is 352 frames and 50 ms.
os.environ.setdefault("RAY_worker_niceness", "0")
# Unasked as many as Ray has CPUs to give out: ours has one, and stages started one after the other.
os.environ.setdefault("RAY_worker_maximum_startup_concurrency", str(os.cpu_count() or 1))
# OpenMP threads that spin long while they wait starve the other stages and each other. Measured on
# two cores, frames a second of the whole stream: default 0.6, no spinning 6.5, a short spin 7.6.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import ray as ray  # supervision.py takes it from here: the settings above have to come first
from ray.exceptions import RayError
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from pipeline.errors import StreamError

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
ATTEMPTS = 3
"""Ray gives a start up after half a minute, which a busy machine can exceed."""
UNUSED = ("start_monitor", "start_log_monitor", "start_api_server")
"""Of a Ray node: processes for clusters that grow by themselves, for logs on a driver's screen and
for a dashboard. Ray starts them whatever it is told and waits for the last one: half of its start.
A Ray without these names just starts slower."""
DASHBOARD = "get_dashboard_dependency_error"
"""Of Ray's utils: imports a web server to find out whether it could show one."""


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
    tools: Any = getattr(ray._private, "utils", None)
    if hasattr(tools, DASHBOARD):
        setattr(tools, DASHBOARD, lambda: ImportError("a dashboard is not wanted"))
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


def ray_is_whole(shared: Path | None = None) -> bool:
    """Whether all processes of our own Ray live, or the one that is `shared` is still the one that
    we joined. Without its node process actors answer on for some seconds, and none can be started.
    """
    if shared is not None:
        return announced(shared) == own_address()
    node = getattr(ray._private.worker, "_global_node", None)
    return node is None or not node.dead_processes()
