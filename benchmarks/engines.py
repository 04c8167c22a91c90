"""Every model on every engine and size: milliseconds a frame, memory, and how far from the limit of
the machine. `python -m benchmarks engines` also draws out/benchmarks.svg."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ROOT, Row

SIZES = ((512, 512), (1280, 720), (1920, 1080))
FRAMES = 12
BUDGET_S = 20.0
MATRIX = 2048
PLOT = Path("out/benchmarks.svg")


def measure() -> Iterator[Row]:
    """Median time of a frame; beside it what else was measured, and the ratio to eager torch."""
    import models
    from engines import machine

    yield Row(f"{machine.processor()}; {'; '.join(machine.graphics())}", os.cpu_count() or 1, "")
    limit = matmul_limit()
    yield Row(f"limit: float32 matrix product {MATRIX}x{MATRIX}, GFLOP/s", limit, "")
    found: dict[str, dict[str, float]] = {}
    for model in (name for name in models.names() if not models.optimises(name)):
        for width, height in SIZES:
            work = gflop(model, width, height)
            yield Row(f"{model} {width}x{height}, GFLOP a frame", work, "")
            pace = found.setdefault(f"{model} {height}p", {})
            for kind, runtime in machine.runtimes().items():
                if runtime.startswith("not installed"):
                    continue
                try:
                    ms, slow_ms, mib = alone(model, kind, width, height)
                except RuntimeError as error:
                    yield Row(f"{model} {width}x{height} {kind}", 0, str(error))
                    continue
                pace[kind] = 1000 / ms
                share = 100 * work / ms * 1000 / limit
                yield Row(
                    f"{model} {width}x{height} {kind}, ms a frame",
                    ms,
                    f"p95 {slow_ms:.0f} ms, {pace[kind]:.1f} frames/s, {mib:.0f} MiB, "
                    f"{share:.0f} % of the limit, "
                    + (f"{pace[kind] / pace['torch']:.2f} x torch" if "torch" in pace else ""),
                )
    draw(found)


def matmul_limit() -> float:
    """GFLOP/s of a large product of matrices in torch on the device that engines take."""
    import torch

    from engines.pytorch import pick_device

    a = torch.rand(MATRIX, MATRIX, device=pick_device("auto"))
    taken: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        (a @ a)[0, 0].item()
        taken.append(time.perf_counter() - began)
    return 2 * MATRIX**3 / min(taken) / 1e9


def gflop(model: str, width: int, height: int) -> float:
    """Counted multiplications and additions of a frame, 1e9."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    import models

    network: Any = models.load(model)
    with torch.inference_mode():
        code = network.encode_style(torch.rand(1, 3, 64, 64))
        with FlopCounterMode(display=False) as counter:
            network(torch.rand(1, 3, height, width), code)
    return float(counter.get_total_flops()) / 1e9


def alone(model: str, kind: str, width: int, height: int) -> list[float]:
    """One engine in a process of its own, whose peak memory is then known -> ms p50, p95, and MiB.
    RuntimeError: why it does not run."""
    words = [model, kind, str(width), str(height)]
    command = [sys.executable, "-m", "benchmarks.engines", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        said = done.stderr.strip() or f"it was killed ({done.returncode}): out of memory?"
        raise RuntimeError(said.splitlines()[-1])
    return list(map(float, done.stdout.split()))


def one(model: str, kind: str, width: int, height: int) -> None:
    """Print the figures of one engine."""
    from engines import make_engine
    from pipeline.timings import peak_memory_mib

    engine = make_engine(kind, model, "auto", os.cpu_count())
    rng = np.random.default_rng(0)
    code = engine.encode_style(rng.integers(0, 256, (384, 384, 3), np.uint8))
    frames = rng.integers(0, 256, (engine.batch, height, width, 3), np.uint8)
    for _ in range(2):
        engine(frames, code, 1.0, False)
    taken: list[float] = []
    while len(taken) < FRAMES and sum(taken) < BUDGET_S:
        began = time.perf_counter()
        engine(frames, code, 1.0, False)
        taken.append((time.perf_counter() - began) / engine.batch)
    p50, p95 = np.percentile(taken, [50, 95]) * 1000
    print(p50, p95, peak_memory_mib())


def draw(found: dict[str, dict[str, float]]) -> None:
    """Bars of frames a second, for each model and height by engine."""
    from evaluation import plots

    kinds = sorted({kind for paces in found.values() for kind in paces})
    inks = {kind: plots.colour(i) for i, kind in enumerate(kinds)}
    PLOT.parent.mkdir(exist_ok=True)
    chart = plots.bars(found, inks, "frames/s")
    PLOT.write_text(chart.replace("</svg>", plots.key(inks) + "</svg>"))


if __name__ == "__main__":
    one(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
