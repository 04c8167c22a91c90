"""The last pass of NNST: nearest vectors gathered, against the released formulation written out."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import models
from benchmarks import Row
from models import matching
from models.hypercolumns import layers

SIDE = 512
GRID = 64
"""Places along a side of each layer that are matched at a time, as in the released code."""

Loss = Callable[[Tensor, Tensor], Tensor]


def measure() -> Iterator[Row]:
    """One step of all layers at SIDE x SIDE: losses and their gradient by the features."""
    made = torch.Generator().manual_seed(0)
    model: Any = models.load("nnst")
    picture = torch.rand(1, 3, SIDE // 16, SIDE // 16, generator=made)
    picture = torch.nn.functional.interpolate(picture, (SIDE, SIDE), mode="bicubic").clamp(0, 1)
    painted = (picture.flip(2) + 0.1 * torch.rand(picture.shape, generator=made)).clamp(0, 1)
    with torch.no_grad():
        turned = [layers(model.encoder, picture.rot90(turn, (2, 3))) for turn in range(4)]
        current = [sampled(x) for x in layers(model.encoder, painted)]
    styles = [torch.cat([sampled(t[i]) for t in turned]) for i in range(len(current))]
    whole_s, whole, theirs = step(dense, current, styles)
    ours_s, loss, ours = step(matching.pull, current, styles)
    apart = max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs, strict=True)
    )
    yield Row(f"nnst {SIDE}x{SIDE}: a step of the last pass, gathered, ms", ours_s * 1e3, "")
    yield Row("the same as released, with the whole map / gathered", whole_s / ours_s, ">= 2")
    yield Row("largest difference of the gradient, of its largest", apart, "< 1e-3")
    yield Row("difference of the loss", abs(loss - whole) / whole, "< 1e-5")


def sampled(x: Tensor) -> Tensor:
    """The places (N,C) of a map that are matched."""
    stride = max(1, max(x.shape[2:]) // GRID)
    return x[0, :, ::stride, ::stride].flatten(1).mT.contiguous()


def dense(current: Tensor, style: Tensor) -> Tensor:
    """Every distance 1 - cos of centred vectors, and the mean of the least of each row."""
    a, b = current - current.mean(0), style - style.mean(0)
    a = a / a.square().sum(1, keepdim=True).clamp(1e-8, 1e8).sqrt()
    b = b / b.square().sum(1, keepdim=True).clamp(1e-8, 1e8).sqrt()
    return (1 - a @ b.mT).min(1).values.mean()


def step(
    loss: Loss, current: list[Tensor], styles: list[Tensor]
) -> tuple[float, float, list[Tensor]]:
    """The shorter of two rounds in s, the sum of the losses, the gradient of each layer."""
    times = []
    for _ in range(2):
        features = [x.clone().requires_grad_() for x in current]
        began = time.perf_counter()
        losses = [loss(x, style) for x, style in zip(features, styles, strict=True)]
        total = torch.stack(losses).sum()
        torch.autograd.backward(total)
        times.append(time.perf_counter() - began)
    return min(times), float(total.detach()), [x.grad for x in features if x.grad is not None]
