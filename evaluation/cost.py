"""What work costs: its time, and the memory that it takes. Of a model: for a frame."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

import models
from pipeline.timings import memory_mib, peak_memory_mib

WARM_PX = 32

Work = Callable[[], object]


def cost(model: str, side: int) -> tuple[float, float]:
    """Seconds and MiB that a frame of `side` x `side` px takes in eager torch on the processor,
    measured in a process of its own. The style, as large, is encoded before."""
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pool.apply(measured, (model, side))


@torch.no_grad()  # not inference mode: nnst paints by gradients
def measured(model: str, side: int) -> tuple[float, float]:
    """`cost`, in this process."""
    network: Any = models.load(model)
    frame = torch.rand(1, 3, side, side)
    work = partial(network, frame, network.encode_style(frame))
    if models.optimises(model):  # a single frame takes long enough
        began = time.perf_counter()
        mib = added(work)
        return time.perf_counter() - began, mib
    small = frame[:, :, :WARM_PX, :WARM_PX]
    network(small, network.encode_style(small))
    mib = added(work)
    return seconds(work, 3), mib


def seconds(work: Work, rounds: int = 5) -> float:
    """The shortest of some rounds, after one that warms up."""
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times[-rounds:])


def added(work: Work) -> float:
    """MiB that some work adds to this process at its largest; on Linux, elsewhere a lower bound."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory_mib()
    work()
    return peak_memory_mib() - before
