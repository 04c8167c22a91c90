"""Frames a second of every system that paints frame by frame, side by side in eager torch."""

from collections.abc import Iterator
from typing import Any

import torch

import models
from benchmarks import Row
from engines.pytorch import pick_device
from evaluation.cost import seconds

SIDE = 512
FIRST = "compact"


def measure() -> Iterator[Row]:
    """As each is built by default, in float32 with random weights (they cost the same as trained
    ones), on the device that engines take. Styles are as large as frames, and encoded before."""
    others = [n for n in models.systems() if n not in (FIRST, *models.OPTIMISED)]
    paces = {name: pace(name) for name in (FIRST, *others)}
    for name, found in paces.items():
        said = f"{found / paces[FIRST]:.3f} x {FIRST}"
        yield Row(f"{name} {SIDE}x{SIDE}, eager torch, frames/s", found, said)


@torch.inference_mode()
def pace(name: str) -> float:
    """Frames a second of one system."""
    device = pick_device("auto")
    model: Any = models.build(name).eval().to(device)
    frame = torch.rand(1, 3, SIDE, SIDE, device=device)
    code = model.encode_style(frame)
    # One pixel is asked for, so that a GPU has finished.
    return 1 / seconds(lambda: model(frame, code)[0, 0, 0, 0].item(), 3)
