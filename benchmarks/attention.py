"""Linear cosine attention against the dense form of the same formula, in float32, and its memory by
size. On the GPU where there is one."""

import multiprocessing
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

import models
from benchmarks import Row
from engines.pytorch import pick_device
from evaluation.cost import added, seconds
from models import attention

SIDE = 512
STYLE_SIDE = 512
LARGE = (1080, 1920)
WIDTHS = {"narrow": 0.25, "full width": 1.0}


def measure() -> Iterator[Row]:
    """`adaattn` with cosine attention, random weights (they cost the same as trained ones)."""
    for name, width in WIDTHS.items():
        yield from speed(name, width)
    for name, width in WIDTHS.items():
        yield memory(name, width)


@torch.inference_mode()
def speed(name: str, width: float) -> Iterator[Row]:
    """The attention of relu3_1 from queries, keys and values on, and what a frame gains by it."""
    device = pick_device("auto")
    model: Any = models.build("adaattn", attention="cosine", width=width).eval().to(device)
    frame, style = (torch.rand(1, 3, side, side, device=device) for side in (SIDE, STYLE_SIDE))
    content, styled = model.encoder(frame), model.encoder(style)
    linear, full = {}, {}
    for level in model.levels:
        module = model.attention[str(level)]
        _, content_key = model.inputs(content, level)
        features, key = model.inputs(styled, level)
        summary = module.summarise(features, key)
        q, k, v = module.f(content_key), module.g(key), module.h(features)
        linear[level] = seconds(done(partial(attend, q, summary)))
        full[level] = seconds(done(partial(dense, q, k, v)), 1)
    yield Row(f"{name}: relu3_1 attention, linear, ms", linear[3] * 1e3, "")
    yield Row(f"{name}: relu3_1 attention, dense / linear", full[3] / linear[3], ">= 50")
    whole = seconds(done(partial(model, frame, model.encode_style(style))))
    slower = whole + sum(full.values()) - sum(linear.values())
    yield Row(f"{name}: whole frame {SIDE}x{SIDE}, linear, ms", whole * 1e3, "")
    yield Row(f"{name}: whole frame, dense / linear", slower / whole, "")


def done(work: Callable[[], Any]) -> Callable[[], object]:
    """Work that gives tensors or one, and a number of what it gives, so that a GPU has finished."""
    return lambda: work()[0].flatten()[0].item()


def attend(query: Tensor, summary: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """M and S as the model works them out for each frame."""
    return attention.attend(attention.unit(query), summary)


def dense(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """M and S of AdaAttN's cosine attention as printed, with the whole map (eq. 3 to 6, 12)."""
    q, k, v = query.flatten(2), key.flatten(2), value.flatten(2).mT
    a = 1 + (q / q.norm(dim=1, keepdim=True)).mT @ (k / k.norm(dim=1, keepdim=True))
    a = a / a.sum(2, keepdim=True)
    mean = a @ v
    return mean, (a @ v.square() - mean.square()).clamp_min(0).sqrt()


def memory(name: str, width: float) -> Row:
    """What a frame of 1080p takes, by pixel, against one of SIDE x SIDE."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        small = pool.apply(peak, (width, SIDE, SIDE))
        large = pool.apply(peak, (width, *LARGE))
    pixels = LARGE[0] * LARGE[1] / SIDE**2
    figure = f"{name}: memory of 1080p / of {SIDE}x{SIDE}, by pixel"
    return Row(figure, large / small / pixels, "0.9 to 1.1")


@torch.inference_mode()
def peak(width: float, height: int, breadth: int) -> float:
    """MiB that painting one frame adds to the process, or on the GPU, at its largest."""
    device = pick_device("auto")
    model: Any = models.build("adaattn", attention="cosine", width=width).eval().to(device)
    small = torch.rand(1, 3, 64, 64, device=device)
    code = model.encode_style(small)
    model(small, code)
    work = partial(model, torch.rand(1, 3, height, breadth, device=device), code)
    if device.type != "cuda":
        return added(work)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    return (torch.cuda.max_memory_allocated() - before) / 2**20
