"""Sparse attention at every pixel against dense attention at full resolution: memory and time."""

import multiprocessing
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

import models
from benchmarks import Row
from evaluation.cost import added, seconds
from models.dynast import EPS, SHARPNESS, TOP, Links
from models.styles import Code

SIDE = 512
HALF, DENSE = 64, 128
"""Sides at which dense maps fit: one has side^4 entries, 1 GiB at 128 px and 256 GiB at 512."""


def measure() -> Iterator[Row]:
    """`dynast` on the narrow encoder, random weights, photograph and style of one size."""
    (sparse, _), (same, pace) = (taken("sparse", side) for side in (SIDE, DENSE))
    (before, _), (whole, slow) = (taken("dense", side) for side in (HALF, DENSE))
    yield Row(f"dynast {SIDE}x{SIDE}, memory of a frame, MiB", sparse, "")
    yield Row(f"memory of {DENSE}x{DENSE}, dense / sparse", whole / same, "")
    yield Row(f"dense: memory of {DENSE}x{DENSE} / of {HALF}x{HALF}", whole / before, "16")
    yield Row(f"sparse: memory of {SIDE}x{SIDE} / of {DENSE}x{DENSE}", sparse / same, "<= 16")
    scaled = whole * (SIDE / DENSE) ** 4
    yield Row(
        f"memory of {SIDE}x{SIDE}, dense (scaled) / sparse",
        scaled / sparse,
        f">= 3; dense by its law from {DENSE}x{DENSE}: {scaled / 1024:.0f} GiB",
    )
    yield Row(f"time of {DENSE}x{DENSE}, dense / sparse", slow / pace, "")


def taken(form: str, side: int) -> tuple[float, float]:
    """MiB and seconds of a frame, measured in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pool.apply(one, (form, side))


@torch.inference_mode()
def one(form: str, side: int) -> tuple[float, float]:
    """`taken`, in this process."""
    model: Any = models.build("dynast").eval()
    small, picture = torch.rand(1, 3, 32, 32), torch.rand(1, 3, side, side)
    model(small, model.encode_style(small))
    work = partial(model, picture, model.encode_style(picture))
    if form == "sparse":
        return added(work), seconds(work)
    with patch("models.dynast.attend", dense):
        return added(work), seconds(work, 1)


def dense(query: Tensor, pruning: Tensor, style: Code, near: Tensor | None) -> Links:
    """Equations 2 to 8 as printed: whole maps of all places, whatever the candidates are."""
    q, p = (t.flatten(2).mT.float() for t in (query, pruning))
    key, prune, value, picture = (
        style[name].flatten(2).mT.float() for name in ("key", "prune", "value", "picture")
    )
    a = (SHARPNESS * q @ key.mT).softmax(2)
    weights = a * (p @ prune.mT > 0)
    kept = weights.sum(2, keepdim=True)
    return Links(weights @ value, kept, a.topk(TOP, 2).indices, weights @ picture / (kept + EPS))
