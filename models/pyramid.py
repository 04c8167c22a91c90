"""Laplacian pyramids of pictures NCHW, finest first: what each halving loses, and what is left."""

from itertools import pairwise

from torch import Tensor
from torch.nn import functional as F


def resized(x: Tensor, size: object, antialias: bool = False) -> Tensor:
    """NCHW to (height, width), bilinear."""
    return F.interpolate(x, tuple(size), mode="bilinear", antialias=antialias)


def halved(x: Tensor, count: int) -> list[Tensor]:
    """x and `count` - 1 halvings of it."""
    found = [x]
    while len(found) < count:
        found.append(resized(found[-1], [max(1, n // 2) for n in found[-1].shape[2:]]))
    return found


def split(image: Tensor, count: int) -> list[Tensor]:
    """The pyramid of a picture. Fewer than `count` levels where a side would vanish."""
    count = min(count, min(image.shape[2:]).bit_length())
    steps = halved(image, count)
    pairs = pairwise(steps)
    return [fine - resized(coarse, fine.shape[2:]) for fine, coarse in pairs] + [steps[-1]]


def join(levels: list[Tensor]) -> Tensor:
    """The picture of a pyramid."""
    image = levels[-1]
    for level in reversed(levels[:-1]):
        image = level + resized(image, level.shape[2:])
    return image
