"""Autumn: broad palette-knife slabs, a rain-wet avenue burning orange under lamps."""

import numpy as np

from demo.painters.brush import Brush, Canvas, paint, scatter
from demo.painters.colour import mix, palette, ramp, to_picture
from demo.painters.noise import Field, Picture, Rng, fractal, grid, smoothstep

_LEAF = palette("5a0d1e b3201a e2541a f58a1c ffc233 ffe98a c8481e 7a1436")
_DUSK = palette("1c1648 2a2f86 3f62b4 6f8fc8 c9a0b0 f7c27a")
_LAMPS = ((0.335, 0.40), (0.655, 0.385), (0.425, 0.475), (0.575, 0.475))
_TRUNKS = ((0.06, 0.035), (0.215, 0.022), (0.81, 0.024), (0.95, 0.036), (0.315, 0.012),
           (0.70, 0.013))  # fmt: skip
_HORIZON = 0.60


def _foliage(x: Field, y: Field, rng: Rng) -> Field:
    far = np.abs(x - 0.5) * 2
    clumps = fractal(len(x), 7, rng, 4)
    glow = np.exp(-(((x - 0.5) / 0.28) ** 2 + ((y - 0.44) / 0.2) ** 2))
    warm = ramp(np.clip(clumps * 1.3 - 0.22 + 0.35 * glow, 0, 1), _LEAF)
    sky = ramp(np.clip(glow * 0.85 + 0.45 * fractal(len(x), 6, rng) - 0.12, 0, 1), _DUSK)
    opening = smoothstep(0.42, 0.12, far + 0.35 * (fractal(len(x), 6, rng) - 0.5))
    opening = opening * smoothstep(0.02, 0.2, y)
    holes = smoothstep(0.66, 0.74, fractal(len(x), 11, rng, 3))
    return mix(warm, sky, np.maximum(opening, holes * 0.9))


def _trees(colour: Field, x: Field, y: Field, rng: Rng) -> tuple[Field, Field]:
    sway = 0.03 * (fractal(len(x), 5, rng) - 0.5)
    wood = np.zeros_like(x)
    for cx, wide in _TRUNKS:
        foot = _HORIZON + 2.6 * wide
        half = wide * (0.55 + 0.5 * smoothstep(foot - 0.16, foot, y))
        bark = ramp(np.clip((x - cx) / wide * 0.5 + 0.5, 0, 1), palette("1a0f24 3a1c2c 8a3a22"))
        inside = (np.abs(x - cx + sway) < half) & (y > 0.17 + 2 * wide) & (y < foot)
        colour = np.where(inside[..., None], bark, colour)
        wood = np.maximum(wood, inside)
    return colour, wood


def _lamps(colour: Field, wood: Field, x: Field, y: Field) -> tuple[Field, Field]:
    for cx, cy in _LAMPS:
        reach = np.hypot(x - cx, y - cy)
        colour = mix(colour, palette("ff9a1a")[0], 0.9 * np.exp(-((reach / 0.055) ** 2)))
        colour = mix(colour, palette("fffbd0")[0], smoothstep(0.032, 0.016, reach))
        post = (np.abs(x - cx) < 0.0045) & (y > cy + 0.02) & (y < _HORIZON + 0.03)
        colour = np.where(post[..., None], palette("14101e")[0], colour)
        wood = np.maximum(wood, post)
    return colour, wood


def _wet_path(colour: Field, x: Field, y: Field, rng: Rng) -> Field:
    size = len(x)
    mirror = np.clip((2 * _HORIZON - y + 0.02) * size, 0, size - 1).astype(int)
    shift = (fractal(size, 10, rng, 3, stretch=0.3) - 0.5) * 0.09
    across = np.clip((x + shift) * size, 0, size - 1).astype(int)
    mirrored = colour[mirror, across] * 0.72 + palette("2c1f66")[0] * 0.22
    ripple = fractal(size, 26, rng, 2, stretch=5)
    wet = mix(mirrored, palette("3b3f98")[0], smoothstep(0.52, 0.7, ripple) * 0.75)
    verge = smoothstep(0.0, 0.03, np.abs(x - 0.5) - 0.10 - (y - _HORIZON) * 0.72)
    litter = ramp(fractal(size, 15, rng, 3), _LEAF)
    ground = mix(wet, litter, verge * 0.93)
    drops = smoothstep(0.72, 0.78, fractal(size, 30, rng, 2))
    ground = mix(ground, palette("ffa51e")[0], drops)
    return np.where((y > _HORIZON)[..., None], ground, colour)


def _figure(colour: Field, x: Field, y: Field) -> Field:
    coat = (np.abs(x - 0.485) < 0.010 + 0.10 * (y - 0.575)) & (y > 0.575) & (y < 0.685)
    brolly = (np.hypot((x - 0.487) / 0.045, (y - 0.573) / 0.034) < 1) & (y < 0.575)
    colour = np.where(coat[..., None], palette("17123a")[0], colour)
    return np.where(brolly[..., None], palette("d4142a")[0], colour)


def _directions(x: Field, y: Field, rng: Rng) -> Field:
    canopy = (fractal(len(x), 5, rng, 3) - 0.5) * 5 + np.arctan2(0.5 - y, 0.5 - x)
    flat = 0.25 * (fractal(len(x), 7, rng, 2) - 0.5)
    upright = np.abs(x - 0.5) < 0.10 + (y - _HORIZON) * 0.72
    ground = np.where(upright & (fractal(len(x), 9, rng, 2) > 0.5), np.pi / 2, flat)
    return np.where(y > _HORIZON, ground, canopy)


def draw(size: int, seed: int) -> Picture:
    """Palette-knife avenue, uint8 RGB size x size."""
    rng = np.random.default_rng(seed)
    side = size * 2
    x, y = grid(side)
    backdrop = _foliage(x, y, rng)
    colour, wood = _lamps(*_trees(backdrop, x, y, rng), x, y)
    colour = _wet_path(colour, x, y, rng)
    front = _figure(colour, x, y)
    angle = _directions(x, y, rng)
    canvas = Canvas.primed(colour * 0.6)
    knife = {"wobble": 0.03, "light": 0.075, "tint": 0.04, "streak": 0.022, "ridge": 0.22}
    behind = np.where((y > _HORIZON)[..., None], colour, backdrop)
    paint(canvas, behind, angle, Brush(0.075, 0.044, 16, **knife), scatter(1500, rng), rng)
    paint(canvas, behind, angle, Brush(0.046, 0.028, 12, **knife), scatter(3600, rng), rng)
    upright = np.full_like(x, np.pi / 2 - 0.04)
    slab = Brush(0.055, 0.016, 8, **knife)
    paint(canvas, colour, upright, slab, scatter(9000, rng, wood), rng)
    leaves = scatter(2600, rng, smoothstep(0.52, 0.70, fractal(side, 9, rng, 3)))
    paint(canvas, behind, angle, Brush(0.026, 0.015, 7, **knife), leaves, rng)
    glow = np.max([np.hypot(x - cx, y - cy) < 0.05 for cx, cy in _LAMPS], 0)
    paint(canvas, colour, angle, Brush(0.014, 0.010, 5, **knife), scatter(9000, rng, glow), rng)
    changed = np.abs(front - colour).sum(-1) > 0
    paint(canvas, front, upright, Brush(0.02, 0.01, 5, **knife), scatter(9000, rng, changed), rng)
    return to_picture(canvas.lit(1.6, gloss=0.22), size)
