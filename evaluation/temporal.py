"""Temporal error: how much a painted surface changes while it moves.

Where a pixel of a later frame was in an earlier one is known (links, made by motion.py or flow.py
from the unpainted frames). The earlier painting is warped by that and compared with the later one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

RANGES = {"short": 1, "long": 10}
"""Frames between the two that are compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """Where the pixels of frame `late` were in frame `early`."""

    early: int
    late: int
    positions: Tensor
    """(H,W,2): x, y in px of the early frame, (0, 0) the middle of its first pixel."""
    seen: Tensor
    """(H,W) bool: that place was in the early frame, not outside and not covered."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames (N,3,H,W) in [0, 1], unpainted, and what links them."""

    name: str
    frames: Tensor
    links: list[Link]


@dataclass(frozen=True, slots=True)
class Step:
    """The comparison along one link."""

    frames: int
    late: int
    error: float
    """Mean absolute difference in [0, 1] over the seen pixels; 0 where none is."""
    seen: float
    """Share of the pixels that count."""


def warping_errors(painted: Tensor, links: list[Link]) -> list[Step]:
    """Painted frames (N,3,H,W) of a clip -> the error along each of its links."""
    steps = []
    for link in links:
        difference = (painted[link.late] - warp(painted[link.early], link)).abs().mean(0)
        seen = link.seen.float().mean().item()
        error = difference[link.seen].mean().item() if seen else 0.0
        steps.append(Step(link.late - link.early, link.late, error, seen))
    return steps


def mean_error(steps: list[Step], frames: int) -> float | None:
    """Mean over all seen pixels of all steps of that range; None where there is none."""
    chosen = [s for s in steps if s.frames == frames]
    weight = sum(s.seen for s in chosen)
    return sum(s.error * s.seen for s in chosen) / weight if weight else None


def warp(early: Tensor, link: Link) -> Tensor:
    """A painted early frame (3,H,W) as it would look in the late one if paint stuck to things."""
    return sample(early[None], link.positions)[0].clamp(0, 1)


def sample(picture: Tensor, positions: Tensor, beyond: str = "border") -> Tensor:
    """NCHW at `positions` (H,W,2) in px. Bicubic: the blur of bilinear weights at half pixels
    would count as flicker, and the more so the finer the strokes are."""
    h, w = picture.shape[2:]
    grid = positions.double() * 2 / positions.new_tensor([w - 1, h - 1]).double() - 1
    grid = grid.float().expand(len(picture), *grid.shape)
    return F.grid_sample(picture, grid, "bicubic", beyond, align_corners=True)


def inside(positions: Tensor, height: int, width: int) -> Tensor:
    """(H,W,2) in px -> (H,W) bool: between the middles of the outermost pixels.

    A hundredth of a pixel is allowed, so that rounding cannot cut a row off.
    """
    limit = positions.new_tensor([width - 1, height - 1])
    return ((positions > -0.01) & (positions < limit + 0.01)).all(-1)


def pixel_grid(height: int, width: int) -> Tensor:
    """(H,W,2) double: x, y of each pixel."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y], -1).double()


def linked(count: int) -> list[tuple[int, int]]:
    """(early, late) of all pairs of RANGES among `count` frames."""
    return [(t, t + gap) for gap in RANGES.values() for t in range(count - gap)]
