"""Cosine attention in its linear form, and the style summary that it needs.

The published attention (AdaAttN, ICCV 2021, eq. 3-6, cosine variant of section 3.4) weighs every
style position j for every content position i with `1 + cos(q_i, k_j)` and takes the weighted mean
M and standard deviation S of the style values. Because the weight is an inner product, M and S need
only a handful of sums over style positions. The sums are exact, have a fixed size and add
(mixing.py).
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

EPS = 1e-5
P = ParamSpec("P")
T = TypeVar("T")

Summary = dict[str, Tensor]
"""mean (B,C), square (B,C), key (B,D), key_value (B,D,C), key_square (B,D,C); all float32.

`mean` is the channel mean of the values. The others are averages over style positions of the
values CENTRED on that mean: uncentred sums lose S to cancellation.
"""


def in_float32(function: Callable[P, T]) -> Callable[P, T]:
    """Keep autocast out of a function: half precision destroys statistics."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            return function(*args, **kwargs)

    return wrapped


def unit(x: Tensor) -> Tensor:
    """Scale the channels of every position of (B,C,...) to length 1, as the authors do."""
    return x / (x.norm(dim=1, keepdim=True) + EPS)


@in_float32
def summarise(key: Tensor, value: Tensor) -> Summary:
    """Unit keys (B,D,H,W) and values (B,C,H,W) of a style -> its summary. Costs O(H*W)."""
    k, v = key.flatten(2).float(), value.flatten(2).float()
    n = v.shape[2]
    mean = v.mean(2)
    v = v - mean[..., None]
    return {
        "mean": mean,
        "square": v.square().mean(2),
        "key": k.mean(2),
        "key_value": k @ v.mT / n,
        "key_square": k @ v.square().mT / n,
    }


@in_float32
def attend(
    query: Tensor, summary: Summary, floor: float = 1.0, epsilon: float = EPS
) -> tuple[Tensor, Tensor]:
    """Unit queries (B,D,H,W) -> weighted mean M and deviation S of the style values, (B,C,H,W).

    The weight of a style position is `floor + <query, key>`; `floor` must keep it positive
    (1 for keys of any sign, less for keys without negative entries). `epsilon` is added to the
    variance. A style of one colour may lie opposite to a query: its weights, all 0, are raised.
    """
    q = query.movedim(1, 3).float()  # channels last, as they lie in memory: no copies
    s = {name: t.float()[:, None] for name, t in summary.items()}
    total = (floor + q @ s["key"][..., None]).clamp_min(EPS)
    # Two products: of one for both, the halves would have to be copied apart.
    first, second = q @ s["key_value"] / total, q @ s["key_square"] / total
    second = second + floor * s["square"][:, :, None] / total
    deviation = (second - first.square()).clamp_min(0) + epsilon
    mean = first + s["mean"][:, :, None]
    return mean.movedim(3, 1), deviation.sqrt().movedim(3, 1)
