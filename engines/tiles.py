"""One frame in tiles that overlap, where memory has no room for all of it at once."""

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

from engines import Frames
from models.whole import Span, Tile, Whole

OVERLAP_PX = 128
"""Of neighbours. Half of it is more than models see around a pixel, but for what hardly counts."""
LOOKS = 5
"""At all tiles before they are painted: with fewer, figures that hang on others are off by more
(the smallest tiles of compact, on a frame almost without grain, are 27 dB from the whole frame with
three, 35 with four, 48 with five, 52 with more)."""


def in_tiles(paint: Callable[[Frames], Frames], frame: Frames, side: int) -> Frames:
    """A frame (1,H,W,3), painted in tiles of `side` px, a multiple of 64 above OVERLAP_PX: the
    grids in which models look at a frame are then those of the whole."""
    spans = [spans_of(length, side) for length in frame.shape[1:3]]
    tiles = [Tile(*pair) for pair in product(*spans)]
    whole, painted = Whole(), np.empty_like(frame)
    for _ in range(LOOKS):
        for tile in tiles:
            with whole.part(tile):
                paint(window(frame, tile))
        whole.settle()
    for tile in tiles:
        with whole.part(tile):
            fade_in(window(painted, tile), paint(window(frame, tile)), tile)
    return painted


def spans_of(length: int, side: int) -> list[Span]:
    """What the tiles cover of a frame's height or width."""
    begins = range(0, max(1, length - OVERLAP_PX), side - OVERLAP_PX)
    ends = [min(length, begin + side) for begin in begins]
    half = OVERLAP_PX // 2
    return [
        Span(begin, end, length, half * (begin > 0), half * (end < length))
        for begin, end in zip(begins, ends, strict=True)
    ]


def window(frame: Frames, tile: Tile) -> Frames:
    """A view of what a tile covers."""
    rows, columns = tile.rows, tile.columns
    return frame[:, rows.begin : rows.end, columns.begin : columns.end]


def fade_in(under: Frames, tile: Frames, at: Tile) -> None:
    """Paint a tile over those above and to the left of it."""
    share = ramp(at.rows)[:, None, None] * ramp(at.columns)[:, None]
    under[:] = np.round(under + share * (tile.astype(np.float32) - under))


def ramp(span: Span) -> NDArray[np.float32]:
    """The share of a tile, from its begin on: the outer quarters of the overlap, where a tile
    knows least of what is around, are its neighbour's or its own."""
    share = np.ones(span.end - span.begin, np.float32)
    if span.before:
        at = (np.arange(OVERLAP_PX, dtype=np.float32) + 0.5) / OVERLAP_PX
        share[:OVERLAP_PX] = (2 * at - 0.5).clip(0, 1)
    return share
