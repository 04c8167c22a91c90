"""The whole stream against its slowest stage alone."""

import os
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from benchmarks import ROOT, Row, pace, paint
from engines import choice

SIDE = 512
FRAMES = 150


def measure() -> Iterator[Row]:
    """`compact` at 512x512 from the synthetic source, to nowhere and into an MP4; and alone."""
    cores = os.cpu_count() or 1
    alone = engine_alone()
    yield Row(f"compact {SIDE}x{SIDE}, engine alone, {cores} cores, frames/s", alone, "")
    with tempfile.TemporaryDirectory() as folder:
        for output, where in (("null:", "to nowhere"), (f"{folder}/out.mp4", "into an MP4")):
            report = paint(
                f"test:size={SIDE}x{SIDE},frames={FRAMES}",
                "--style", str(ROOT / "styles/wave.jpg"), "-o", output,
            )  # fmt: skip
            whole, left = pace(report), cores_left(report, cores)
            yield Row(f"whole stream {where}, frames/s", whole, "")
            yield Row(f"cores left to the engine {where}", left, "")
            yield Row(
                "whole stream / engine on these cores", whole * cores / (alone * left), ">= 0.85"
            )
    yield Row("start to first frame, s", report["first_frame_s"], "< 10")


def cores_left(report: dict[str, Any], cores: int) -> float:
    """Cores less what the processes beside the stylizer used, in CPU seconds a second."""
    beside = sum(used for name, used in report["cpu_s"].items() if name != "Stylizer")
    return float(cores - beside / report["elapsed_s"])


def engine_alone() -> float:
    """Frames a second of the engine in this process, without any stream around it."""
    engine = choice.taken("compact", "auto", os.cpu_count())
    style = cv2.imread(str(ROOT / "styles/wave.jpg"), cv2.IMREAD_COLOR_RGB)
    code = engine.encode_style(np.asarray(style, np.uint8))
    frame = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    for _ in range(5):
        engine(frame, code, 1.0, False)
    began = time.perf_counter()
    for _ in range(40):
        engine(frame, code, 1.0, False)
    return 40 / (time.perf_counter() - began)
