"""Molten: poured enamel, folded ribbons of magma and teal under skeins of flung enamel."""

import cv2
import numpy as np

from demo.painters.brush import Canvas
from demo.painters.colour import palette, ramp, to_picture
from demo.painters.noise import Field, Picture, Rng, fractal, grid, sample, wander

_POUR = palette(
    "12081f 3a0f3f 8f1238 d42a22 f4661b ffa928 fff0b0 f4b23c d2491f 5a1040 14122e 0c3f5a "
    "128a8f 4fd0b8 e8f4d8 1aa09a 0b3a5f 1a0c2c 7a1050 e83a6a ffb070 fff4d6 d88a2c 2a0c24"
)
_ENAMEL = palette("12081f 12081f fff0d0 fff0d0 f4661b ffb52e d42a22 128a8f 4fd0b8 e83a6a 0b2f5a")


def _folded(x: Field, y: Field, rng: Rng) -> Field:
    """A scalar in [0, 1] whose level lines are folded like poured paint."""
    size = len(x)
    for cells, push in ((1.6, 0.46), (3.0, 0.20), (7.0, 0.05)):
        shift = [fractal(size, cells, rng, 3) - 0.5 for _ in range(2)]
        x, y = x + push * sample(shift[0], x, y), y + push * sample(shift[1], x, y)
    base = fractal(size, 2.2, rng, 3, stretch=0.6)
    return sample(base, x, y)


def _skein(rng: Rng, steps: int = 260) -> tuple[Field, Field]:
    """A flung thread of enamel: steps x 2 unit xy, and its width in unit lengths."""
    turning = np.cumsum(wander(steps, 9, rng)) * 0.085 + rng.uniform(0, 2 * np.pi)
    pace = 0.0042 * (0.6 + 0.55 * wander(steps, 7, rng))
    heading = np.stack([np.cos(turning), np.sin(turning)], -1)
    path = rng.uniform(-0.1, 1.1, 2) + np.cumsum(heading * pace[:, None], 0)
    # A fast hand leaves a thin thread, a slow one a pool.
    width = rng.uniform(0.0035, 0.0085) * np.clip(0.0042 / (pace + 0.0012), 0.35, 2.0)
    return path, width * np.linspace(1.0, 0.35, steps)


def _fling(canvas: Canvas, path: Field, width: Field, rgb: list[float], level: float) -> None:
    side = len(canvas.height)
    points = np.round(path * side * 16).astype(np.int32)
    thick = np.maximum(1, np.round(width * side)).astype(int).tolist()
    for k in range(len(points) - 1):
        piece = [points[k : k + 2]]
        cv2.polylines(canvas.colour, piece, False, rgb, thick[k], cv2.LINE_AA, 4)
        cv2.polylines(canvas.height, piece, False, level, thick[k], cv2.LINE_AA, 4)


def _splash(canvas: Canvas, path: Field, rgb: list[float], level: float, rng: Rng) -> None:
    """Drops thrown off a skein, many tiny and a few fat."""
    side = len(canvas.height)
    drops = path[rng.integers(0, len(path), 26)] + rng.normal(0, 0.022, (26, 2))
    radii = np.minimum(0.0011 + 0.0013 * rng.pareto(1.6, 26), 0.011)
    for at, radius in zip(np.round(drops * side * 16).astype(int).tolist(), radii, strict=True):
        grown = round(float(radius) * side * 16)
        cv2.circle(canvas.colour, at, grown, rgb, -1, cv2.LINE_AA, 4)
        cv2.circle(canvas.height, at, grown, level, -1, cv2.LINE_AA, 4)


def _ground(side: int, rng: Rng) -> tuple[Field, Field]:
    """The poured layer under the skeins: float RGB, and its thickness in [0, 1]."""
    x, y = grid(side)
    fold = _folded(x, y, rng)
    turn = np.abs((fold * 1.9) % 2 - 1)
    colour = ramp(turn, _POUR)
    return colour, 0.3 + 0.12 * np.sin(turn * 24)


def draw(size: int, seed: int) -> Picture:
    """Poured and flung enamel, uint8 RGB size x size."""
    rng = np.random.default_rng(seed)
    colour, thickness = _ground(size * 2, rng)
    canvas = Canvas.primed(colour)
    canvas.height[:] = np.clip(thickness * 255, 0, 255)
    for _ in range(150):
        path, width = _skein(rng)
        rgb = (_ENAMEL[rng.integers(len(_ENAMEL))] * 255).tolist()
        level = rng.uniform(150, 255)
        _fling(canvas, path, width, rgb, level)
        _splash(canvas, path, rgb, level, rng)
    return to_picture(canvas.lit(1.3, gloss=0.35, blur_px=1.6), size)
