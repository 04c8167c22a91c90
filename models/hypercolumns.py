"""Hypercolumns: all that a feature network sees at a place, as one vector (section 3.1 of NNST)."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

COLUMN_PX = 4
"""A hypercolumn stands on every fourth pixel."""
FLOOR, MOST = 0.01, 25.0
"""Added to activations before their roots are taken, and the most that then counts of one."""


class Walked(Protocol):
    """A network of VGG's kind."""

    def walk(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Every layer's name, conv1_1 and so on, and its map after ReLU."""
        ...


def layers(encoder: Walked, pictures: Tensor) -> list[Tensor]:
    """Every map of the first four blocks, of RGB NCHW in [0, 1]."""
    maps = []
    for name, x in encoder.walk(pictures):
        if name[4] == "5":
            break
        maps.append(x)
    return maps


def columns(maps: list[Tensor], size: tuple[int, int], corners: bool = False) -> Tensor:
    """Maps of pictures of that (height, width) -> hypercolumns (N,C,H/4,W/4). `corners`: resized
    so that those of maps meet those of columns (the released code)."""
    h, w = (max(1, side // COLUMN_PX) for side in size)
    resized = [F.interpolate(m, (h, w), mode="bilinear", align_corners=corners) for m in maps]
    return torch.cat(resized, 1)


def roots(activations: Tensor) -> Tensor:
    """Square roots of activations of the narrow encoder, whose channels have a mean of 1.

    So the roots have a mean square of 1: channels that are rarely active, but then a thousand times
    as much, do not decide all matches by themselves.
    """
    return (activations + FLOOR).clamp_max(MOST).sqrt()
