"""The whole stream against its slowest stage alone."""

import os
import time
from collections.abc import Iterator

import cv2
import numpy as np

from benchmarks import ROOT, Row, pace, paint

SIDE = 512
FRAMES = 150


def measure() -> Iterator[Row]:
    """`compact` at 512x512 from the synthetic source to nowhere, and the model alone."""
    alone = engine_alone()
    report = paint(
        f"test:size={SIDE}x{SIDE},frames={FRAMES}", "--style", str(ROOT / "styles/wave.jpg"),
        "-o", "null:",
    )  # fmt: skip
    whole = pace(report)
    yield Row(f"compact {SIDE}x{SIDE}, engine alone, {os.cpu_count()} cores, frames/s", alone, "")
    yield Row(f"compact {SIDE}x{SIDE}, whole stream, frames/s", whole, "")
    yield Row("whole stream / engine alone", whole / alone, ">= 0.85")
    yield Row("start to first frame, s", report["first_frame_s"], "< 10")


def engine_alone() -> float:
    """Frames a second of the engine in this process, without any stream around it."""
    from engines import load_engine

    engine = load_engine("compact", "cpu", os.cpu_count())
    style = cv2.imread(str(ROOT / "styles/wave.jpg"), cv2.IMREAD_COLOR_RGB)
    code = engine.encode_style([np.asarray(style, np.uint8)], [1.0])
    frame = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    for _ in range(5):
        engine(frame, code, 1.0, False)
    began = time.perf_counter()
    for _ in range(40):
        engine(frame, code, 1.0, False)
    return 40 / (time.perf_counter() - began)
