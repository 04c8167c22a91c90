"""Weighted sums of style codes, as plain arithmetic: codes of numpy arrays and of tensors alike.

A code is a dictionary of tensors `GROUP.name`, made once per style. Kinds of groups. With
`key_value`: summaries of linear attention (attention.py), which add. With `variance`: mean and
variance, which add likewise. With `share`: what only one picture can hold (softmax keys, patches);
mixing keeps the parts of all pictures as `GROUP@0`, `GROUP@1` ..., each with its share, and the
model averages what it attends to (AdaAttN, section 4.5). All others are plain averages, which add.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add as plus
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # a stream whose engine does without torch must not wait for its import
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Array = TypeVar("Array", "NDArray[np.float32]", "Tensor")


def mix(codes: list[dict[str, Array]], weights: list[float]) -> dict[str, Array]:
    """Weighted sum of codes of one model; weights are scaled to sum 1."""
    total = sum(weights)
    if len(codes) != len(weights) or min(weights) < 0 or total <= 0:
        raise ValueError(f"weights of styles must not be negative nor all zero: {weights}")
    used = [(code, w / total) for code, w in zip(codes, weights, strict=True) if w]
    if len(used) == 1:
        return used[0][0]
    mixed: dict[str, Array] = {}
    for group in dict.fromkeys(base(name) for code, _ in used for name in code):
        held = [(part, share) for code, share in used for part in parts(code, group)]
        first = held[0][0]
        if "share" in first:
            sums = {
                f"{group}@{i}.{name}": tensor * share if name == "share" else tensor
                for i, (part, share) in enumerate(held)
                for name, tensor in part.items()
            }
        else:
            alone, shares = [p for p, _ in held], [share for _, share in held]
            added = mixer(first)(alone, shares)
            sums = {f"{group}.{name}": tensor for name, tensor in added.items()}
        mixed |= sums
    return mixed


def mixer(
    group: dict[str, Array],
) -> Callable[[list[dict[str, Array]], list[float]], dict[str, Array]]:
    """How groups of this kind are added."""
    if "key_value" in group:
        return summaries
    return spread if "variance" in group else add


def summaries(held: list[dict[str, Array]], shares: list[float]) -> dict[str, Array]:
    """The summary of linear attention over the pictures laid side by side in those shares."""
    mean = weighted([s["mean"] for s in held], shares)
    about = [recentre(s, mean) for s in held]
    return {"mean": mean} | add(about, shares)


def recentre(s: dict[str, Array], centre: Array) -> dict[str, Array]:
    """The averages of a summary with the values centred on `centre` (B,C), not on their own mean.

    Exact, by expanding (v + shift)^2.
    """
    shift = s["mean"] - centre
    row, key = shift[:, None], s["key"][..., None]
    return {
        "square": s["square"] + shift * shift,
        "key": s["key"],
        "key_value": s["key_value"] + key * row,
        "key_square": s["key_square"] + 2 * row * s["key_value"] + key * row * row,
    }


def spread(held: list[dict[str, Array]], shares: list[float]) -> dict[str, Array]:
    """Mean and variance of the places of all pictures together, each around its own mean."""
    mean = weighted([m["mean"] for m in held], shares)
    about = [m["variance"] + (m["mean"] - mean) * (m["mean"] - mean) for m in held]
    return {"mean": mean, "variance": weighted(about, shares)}


def add(held: list[dict[str, Array]], shares: list[float]) -> dict[str, Array]:
    """Weighted sums, name by name."""
    return {n: weighted([m[n] for m in held], shares) for n in held[0]}


def weighted(tensors: list[Array], shares: list[float]) -> Array:
    """Sum of shares[i] * tensors[i]."""
    return reduce(plus, [share * t for share, t in zip(shares, tensors, strict=True)])


def base(name: str) -> str:
    """`attention3@1.key` -> `attention3`."""
    return name.split(".")[0].split("@")[0]


def parts(code: dict[str, Array], group: str) -> list[dict[str, Array]]:
    """The tensors of one group, by their names within it: one dictionary for each picture that is
    held on its own, else a single one."""
    found: dict[str, dict[str, Array]] = {}
    for name, tensor in code.items():
        if base(name) == group:
            whole, _, rest = name.partition(".")
            found.setdefault(whole, {})[rest] = tensor
    return list(found.values())


def select(code: dict[str, Array], group: str) -> dict[str, Array]:
    """The tensors of a group that adds."""
    (only,) = parts(code, group)
    return only
