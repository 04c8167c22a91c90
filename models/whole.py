"""Tiles of a frame, painted as parts of the whole.

Most models scale features by their mean and variance over all positions, and colours by those of
the frame. Tiles that went by their own would show as squares. So every tile is looked at first:
what the models ask of all positions is averaged over the tiles, each without the margins that its
neighbours know better, and that is what they all go by afterwards. What depends on such figures
itself comes nearer to the whole frame's with every look.

The file is engines/tiles.py's and the models'; outside of tiles nothing is changed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import log2

import torch
from torch import Tensor
from torch.nn import functional as F

Figures = tuple[Tensor, ...]
"""Averages over positions."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a tile covers of one side of a frame, px; `before` and `after` are margins."""

    begin: int
    end: int
    whole: int
    before: int
    after: int

    def scale(self, side: int) -> int:
        """How much smaller a map is that has this side, of the tile as models pad it."""
        return 1 << round(log2((self.end - self.begin) / side))

    def core(self, side: int) -> slice:
        """Of a map: all but the margins."""
        scale = self.scale(side)
        return slice(self.before // scale, side - self.after // scale)


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of a frame."""

    rows: Span
    columns: Span


class Whole:
    """What is known of a frame from its tiles."""

    def __init__(self) -> None:
        self._known: list[Figures] = []
        self._sums: list[Figures] = []
        self._positions: list[int] = []
        self._asked = 0

    @contextmanager
    def part(self, tile: Tile) -> Iterator[None]:
        """What a model is given in here is this tile of the frame."""
        self.tile, self._asked = tile, 0
        token = _whole.set(self)
        try:
            yield
        finally:
            _whole.reset(token)

    def settle(self) -> None:
        """Every tile was looked at once: go by what was seen."""
        counted = zip(self._sums, self._positions, strict=True)
        self._known = [tuple(total / count for total in sums) for sums, count in counted]
        self._sums, self._positions = [], []

    def share(self, x: Tensor, take: Callable[[Tensor], Figures]) -> Figures:
        """The figures that `take` finds in a map NCHW, of the frame where they are known."""
        tile, (h, w) = self.tile, x.shape[2:]
        core = x[:, :, tile.rows.core(h), tile.columns.core(w)]
        # Sums over a large frame, on the CPU: MPS has no float64.
        own = tuple(figure.cpu().double() for figure in take(core))
        count, asked = core.shape[2] * core.shape[3], self._asked
        self._asked += 1
        if asked == len(self._sums):
            self._sums.append(tuple(torch.zeros_like(figure) for figure in own))
            self._positions.append(0)
        pairs = zip(self._sums[asked], own, strict=True)
        self._sums[asked] = tuple(total + count * figure for total, figure in pairs)
        self._positions[asked] += count
        return self._known[asked] if self._known else own


_whole: ContextVar[Whole | None] = ContextVar("whole", default=None)


def averages(x: Tensor, take: Callable[[Tensor], Figures]) -> Figures:
    """Averages over positions that `take` finds in a map NCHW, or in the whole frame's; float32."""
    whole = _whole.get()
    if whole is None:
        return take(x)
    return tuple(figure.float().to(x.device) for figure in whole.share(x, take))


def spread(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """NCHW -> NCHW without the channels' means; these, and the variances (N,C,1,1); float32."""
    whole = _whole.get()
    if whole is None:
        mean = x.float().mean((2, 3), keepdim=True)
        centred = x.float() - mean
        return centred, mean, centred.square().mean((2, 3), keepdim=True)

    def take(core: Tensor) -> Figures:
        # Not the mean of squares: of channels far from zero float32 keeps too little of it.
        mean = core.float().mean((2, 3), keepdim=True)
        variance = (core.float() - mean).square().mean((2, 3), keepdim=True)
        mean, variance = mean.cpu().double(), variance.cpu().double()
        return mean, variance + mean.square()

    mean, square = whole.share(x, take)
    variance = (square - mean.square()).float().to(x.device)
    mean = mean.float().to(x.device)
    return x.float() - mean, mean, variance


def stretched(grid: Tensor, size: torch.Size, multiple: int) -> Tensor:
    """A grid (1,C,h,w) over a map of this size; `multiple`: to which the model pads frames."""
    whole = _whole.get()
    if whole is None:
        return F.interpolate(grid, size, mode="bilinear", align_corners=False)
    spans, full, part = (whole.tile.rows, whole.tile.columns), [], []
    for span, side in zip(spans, size, strict=True):
        scale = span.scale(side)
        full.append(-(-span.whole // multiple) * multiple // scale)
        part.append(slice(span.begin // scale, span.begin // scale + side))
    over_all = F.interpolate(grid, full, mode="bilinear", align_corners=False)
    return over_all[:, :, part[0], part[1]]
