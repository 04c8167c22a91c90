"""NNST-Opt step by step: nearest vectors gathered, against the released formulation written out.

A step is a loss and its gradient; Adam and the pyramid, which are the same for both, are left out.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

import models
from benchmarks import Row
from models import matching, nnst
from models.hypercolumns import columns, layers

SIDE = 512
GRID = 64
"""Places along a side of each layer that are matched at a time, as in the released code."""
MAIN_STEPS = 1 + 1 / 4 + 1 / 16 + 1 / 64
"""What one step at each of its four scales costs, in steps at the whole size."""

Maps = list[Tensor]
Pull = Callable[[Tensor, Tensor], Tensor]
"""Vectors of the picture and of the style -> how far the first are from the second."""


@dataclass(frozen=True, slots=True)
class Step:
    """The shorter of two rounds in s, the loss, its gradients."""

    seconds: float
    loss: float
    gradients: Maps

    @classmethod
    def of(cls, loss: Callable[[Maps], Tensor], inputs: Maps) -> Self:
        times = []
        for _ in range(2):
            leaves = [x.clone().requires_grad_() for x in inputs]
            began = time.perf_counter()
            value = loss(leaves)
            torch.autograd.backward(value)
            times.append(time.perf_counter() - began)
        gradients = [x.grad for x in leaves if x.grad is not None]
        return cls(min(times), float(value.detach()), gradients)


def measure() -> Iterator[Row]:
    """At SIDE x SIDE, on places and targets that both share, with the network that ships."""
    made = torch.Generator().manual_seed(0)
    encoder: Any = models.load("nnst").encoder
    picture = torch.rand(1, 3, SIDE // 16, SIDE // 16, generator=made)
    picture = F.interpolate(picture, (SIDE, SIDE), mode="bicubic").clamp(0, 1)
    painted = (picture.flip(2) + 0.1 * torch.rand(picture.shape, generator=made)).clamp(0, 1)
    with torch.no_grad():
        turned = [layers(encoder, picture.rot90(turn, (2, 3))) for turn in range(4)]
        current = [sampled(m) for m in layers(encoder, painted)]
        target = columns(turned[0], (SIDE, SIDE))
        target = target / lengths(target)
    styles = [torch.cat([sampled(m) for m in maps]) for maps in zip(*turned, strict=True)]

    def matched(pull: Pull, places: Maps) -> Tensor:
        return torch.stack([pull(x, s) for x, s in zip(places, styles, strict=True)]).sum()

    def alone(pull: Pull) -> Step:
        return Step.of(lambda places: matched(pull, places), current)

    def last(pull: Pull) -> Step:
        return Step.of(
            lambda x: matched(pull, [sampled(m) for m in layers(encoder, x[0])]), [painted]
        )

    def main(away: Pull) -> Step:
        return Step.of(
            lambda x: away(columns(layers(encoder, x[0]), (SIDE, SIDE)), target), [painted]
        )

    yield from compared("matching of the last pass", alone(matching.pull), alone(dense), ">= 2")
    ends = last(matching.pull), last(dense)
    yield from compared("a whole step of the last pass", *ends, "")
    mains = main(gathered), main(written)
    yield from compared("a whole step of the main pass", *mains, "")
    ours, theirs = (m.seconds * MAIN_STEPS + e.seconds for m, e in zip(mains, ends, strict=True))
    yield Row("all passes with as many steps, as released / ours", theirs / ours, ">= 2")


def compared(name: str, ours: Step, theirs: Step, wanted: str) -> Iterator[Row]:
    apart = max(
        float((a - b).abs().max() / b.abs().max())
        for a, b in zip(ours.gradients, theirs.gradients, strict=True)
    )
    yield Row(f"nnst {SIDE}x{SIDE}: {name}, ms", ours.seconds * 1e3, "")
    yield Row("  the same as released / ours", theirs.seconds / ours.seconds, wanted)
    yield Row("  largest difference of the gradient, of its largest", apart, "< 1e-3")
    yield Row("  difference of the loss", abs(ours.loss - theirs.loss) / theirs.loss, "< 1e-5")


def sampled(x: Tensor) -> Tensor:
    """The places (N,C) of a map that are matched."""
    stride = max(1, max(x.shape[2:]) // GRID)
    return x[0, :, ::stride, ::stride].flatten(1).mT.contiguous()


def dense(current: Tensor, style: Tensor) -> Tensor:
    """As released, last pass: every 1 - cos of centred vectors, the least of each row, averaged."""
    a, b = current - current.mean(0), style - style.mean(0)
    return (1 - (a / lengths(a)) @ (b / lengths(b)).mT).min(1).values.mean()


def gathered(current: Tensor, target: Tensor) -> Tensor:
    """Ours, main pass: hypercolumns (1,C,h,w) as rows, beside their targets of length 1."""
    return nnst.away(nnst.rows(current), nnst.rows(target))


def written(current: Tensor, target: Tensor) -> Tensor:
    """As released, main pass: the mean of 1 - cos over the channels of maps (1,C,h,w)."""
    return (1 - (target * (current / lengths(current))).sum(1)).mean()


def lengths(x: Tensor) -> Tensor:
    """Of rows, or of the vectors of a map: 1e-4 at least and 1e4 at most."""
    return x.square().sum(1, keepdim=True).clamp(1e-8, 1e8).sqrt()
