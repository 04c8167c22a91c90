"""Every model on every engine and size: milliseconds a frame, memory, and how far from the limit of
the device. `python -m benchmarks engines` also draws out/benchmarks.svg."""

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
MATRIX, MATRIX_ON_GPU = 2048, 8192
PRODUCTS_ON_GPU = 20
"""One after the other: the start of a single one would weigh on what it takes."""
PLOT = Path("out/benchmarks.svg")


def measure() -> Iterator[Row]:
    """Median time of a frame; beside it what else was measured, and the ratio to eager torch."""
    import models
    from engines import machine
    from engines.pytorch import pick_device

    yield Row(f"{machine.processor()}; {'; '.join(machine.graphics())}", os.cpu_count() or 1, "")
    where = pick_device("auto").type
    matrix, limit = matmul_limit(where)
    yield Row(f"limit: {matrix}, GFLOP/s", limit, "")
    found: dict[str, dict[str, float]] = {}
    for model in (name for name in models.names() if not models.optimises(name)):
        for width, height in SIZES:
            work = gflop(model, width, height)
            yield Row(f"{model} {width}x{height}, GFLOP a frame", work, "")
            pace = found.setdefault(f"{model} {height}p", {})
            for kind, runtime in machine.runtimes().items():
                if runtime.startswith("not "):
                    continue
                device = device_of(kind, runtime, where)
                try:
                    ms, slow_ms, mib = alone(model, kind, device, width, height)
                except RuntimeError as error:
                    yield Row(f"{model} {width}x{height} {kind}", 0, str(error))
                    continue
                pace[kind] = 1000 / ms
                about = [
                    f"p95 {slow_ms:.2f} ms",
                    f"{pace[kind]:.1f} frames/s",
                    f"{mib:.0f} MiB" + (" of the GPU" if device == "cuda" else ""),
                ]
                if device == where:
                    about.append(f"{100 * work / ms * 1000 / limit:.0f} % of the limit")
                if "torch" in pace:
                    about.append(f"{pace[kind] / pace['torch']:.2f} x torch")
                figure = f"{model} {width}x{height} {kind}, ms a frame"
                yield Row(figure, ms, ", ".join(about))
    draw(found)


def device_of(kind: str, runtime: str, where: str) -> str:
    """Where an engine of this kind runs, of torch's device and the processor."""
    on_gpu = kind in ("torch", "cuda", "tensorrt") or "CUDA" in runtime
    return where if on_gpu else "cpu"


def matmul_limit(where: str) -> tuple[str, float]:
    """A large product of matrices in torch, in what its units for them take, and GFLOP/s of it."""
    import torch

    side, kind, products = MATRIX, torch.float32, 1
    if where == "cuda":
        side, kind, products = MATRIX_ON_GPU, torch.bfloat16, PRODUCTS_ON_GPU
    a = torch.rand(side, side, device=where).to(kind)
    taken: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(products):
            product = a @ a
        product[0, 0].item()  # waits for all of them
        taken.append((time.perf_counter() - began) / products)
    name = f"{kind} matrix product {side}x{side}".removeprefix("torch.")
    return name, 2 * side**3 / min(taken) / 1e9


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


def alone(model: str, kind: str, device: str, width: int, height: int) -> list[float]:
    """One engine in a process of its own, whose peak memory is then known -> ms p50, p95, and MiB.
    RuntimeError: why it does not run."""
    words = [model, kind, device, str(width), str(height)]
    command = [sys.executable, "-m", "benchmarks.engines", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        said = done.stderr.strip() or f"it was killed ({done.returncode}): out of memory?"
        raise RuntimeError(said.splitlines()[-1])
    return list(map(float, done.stdout.split()))


def one(model: str, kind: str, device: str, width: int, height: int) -> None:
    """Print the figures of one engine. SystemExit: another would paint in its place."""
    from engines import make_engine
    from pipeline.timings import peak_memory_mib

    free = free_mib() if device == "cuda" else 0
    engine: Any = make_engine(kind, model, device, os.cpu_count())
    if kind == "tensorrt":
        engine.settle()  # until then torch paints
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
    if engine.why and not engine.why.startswith(f"engine {kind}"):
        raise SystemExit(engine.why)
    p50, p95 = np.percentile(taken, [50, 95]) * 1000
    print(p50, p95, free - free_mib() if device == "cuda" else peak_memory_mib())


def free_mib() -> float:
    """Of the GPU. What engines have once taken they keep, so what is then left shows their peak."""
    import torch

    return torch.cuda.mem_get_info()[0] / 2**20


def draw(found: dict[str, dict[str, float]]) -> None:
    """Bars of frames a second, for each model and height by engine."""
    from evaluation import plots

    kinds = sorted({kind for paces in found.values() for kind in paces})
    inks = {kind: plots.colour(i) for i, kind in enumerate(kinds)}
    PLOT.parent.mkdir(exist_ok=True)
    chart = plots.bars(found, inks, "frames/s")
    PLOT.write_text(chart.replace("</svg>", plots.key(inks) + "</svg>"))


if __name__ == "__main__":
    one(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
