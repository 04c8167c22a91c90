"""Impasto: thick curling oil strokes, a blue night of stars above golden wheat."""

import numpy as np

from demo.painters.brush import Brush, Canvas, paint, scatter
from demo.painters.colour import mix, palette, ramp, to_picture
from demo.painters.noise import Field, Picture, Rng, fractal, grid, smoothstep, wander

_NIGHT = palette("0b1a4a 143078 1f55a8 3f86c6 8fc3d8 2a63b4 10246a")
_GOLD = palette("8a4b08 c9820f eab221 f8d75a fff2ae")
_HILL = palette("0b1f52 1c5f8e 3fa39a 9fd08a 2f7f6f 123a78")
_STARS = ((0.16, 0.13, 0.085), (0.80, 0.15, 0.13), (0.47, 0.09, 0.055), (0.60, 0.38, 0.05),
          (0.12, 0.43, 0.05), (0.95, 0.42, 0.045))  # fmt: skip
_SWIRLS = ((0.40, 0.27, 0.13, 0.16), (0.62, 0.24, 0.09, -0.10), (0.27, 0.41, 0.08, 0.08))


def _sky(x: Field, y: Field, rng: Rng) -> tuple[Field, Field]:
    stream = y + 0.035 * np.sin(x * 9 + y * 4) + 0.03 * fractal(len(x), 4, rng)
    for cx, cy, radius, push in _SWIRLS:
        stream = stream + push * np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / radius**2))
    down, across = np.gradient(stream)
    angle = np.arctan2(-across, down)
    band = 0.5 + 0.5 * np.sin(stream * 62 + fractal(len(x), 5, rng) * 3)
    colour = ramp(band * 0.75 + 0.25 * fractal(len(x), 6, rng), _NIGHT)
    for cx, cy, radius in _STARS:
        reach = np.hypot(x - cx, y - cy) / radius
        rings = np.clip(1.12 - reach + 0.10 * np.cos(reach * 17), 0, 1)
        colour = mix(colour, palette("a9d3d0")[0] * (0.8 + 0.2 * band[..., None]),
                     smoothstep(1.75, 1.0, reach) * (0.5 + 0.5 * np.sin(reach * 21)))  # fmt: skip
        colour = mix(colour, ramp(rings, _GOLD), smoothstep(1.15, 0.75, reach))
        angle = np.where(reach < 1.7, np.arctan2(y - cy, x - cx) + np.pi / 2 + 0.2, angle)
    return colour, angle


def _hills(colour: Field, angle: Field, y: Field, rng: Rng) -> tuple[Field, Field]:
    size = len(y)
    for level, height in ((0.50, 0.05), (0.58, 0.045), (0.66, 0.035)):
        crest = level + height * wander(size, 2.5, rng)
        inside = y > crest[None]
        slope = np.arctan(np.gradient(crest) * size)[None] + (y - crest[None]) * 3
        depth = np.clip((y - crest[None]) * 9, 0, 1)
        tone = 0.5 + 0.5 * np.sin(depth * 14 + level * 50 + fractal(size, 9, rng) * 4)
        colour = np.where(inside[..., None], ramp(tone, _HILL), colour)
        angle = np.where(inside, slope, angle)
    return colour, angle


def _wheat(colour: Field, angle: Field, x: Field, y: Field, rng: Rng) -> tuple[Field, Field]:
    size = len(y)
    crest = 0.72 + 0.03 * wander(size, 2, rng)
    inside = y > crest[None]
    sway = fractal(size, 4, rng)
    tone = np.clip(fractal(size, 11, rng, stretch=0.5) * 1.15 - 0.1 + 0.25 * (sway - 0.5), 0, 1)
    wheat = ramp(tone, palette("7a3c08 b86a10 e09f1c f3c63c fbe78a 5c8a54 f0b428"))
    lean = -np.pi / 2 + (sway - 0.5) * 2.4 + 0.5 * np.sin(x * 7)
    return np.where(inside[..., None], wheat, colour), np.where(inside, lean, angle)


def _cypress(colour: Field, angle: Field, x: Field, y: Field, rng: Rng) -> tuple[Field, Field]:
    size = len(y)
    for cx, top, wide in ((0.885, 0.33, 0.062), (0.79, 0.52, 0.036), (0.06, 0.56, 0.04)):
        reach = np.clip((y - top) / (0.9 - top), 0, 1)
        middle = cx + 0.012 * np.sin(y * 26)
        half = wide * np.sqrt(reach) * (1.15 - 0.55 * reach) + 0.01 * (fractal(size, 14, rng) - 0.5)
        inside = (np.abs(x - middle) < half) & (y > top) & (y < 0.9)
        tone = 0.5 + 0.5 * np.sin((x - middle) * 190 + 4 * np.sin(y * 22))
        leaf = ramp(tone, palette("06181c 0c3328 1d5a3a 4f8a3e 0a2233"))
        colour = np.where(inside[..., None], leaf, colour)
        angle = np.where(inside, -np.pi / 2 + 0.55 * np.sin(y * 26 + x * 30), angle)
    return colour, angle


def draw(size: int, seed: int) -> Picture:
    """Starry oil landscape, uint8 RGB size x size."""
    rng = np.random.default_rng(seed)
    side = size * 2
    x, y = grid(side)
    colour, angle = _sky(x, y, rng)
    colour, angle = _hills(colour, angle, y, rng)
    colour, angle = _wheat(colour, angle, x, y, rng)
    colour, angle = _cypress(colour, angle, x, y, rng)
    canvas = Canvas.primed(colour * 0.5)
    for brush, count in (
        (Brush(0.085, 0.020, 8), 2600),
        (Brush(0.058, 0.0125, 6, light=0.06, tint=0.03), 6000),
        (Brush(0.036, 0.0085, 5, light=0.07, tint=0.03), 5000),
    ):
        paint(canvas, colour, angle, brush, scatter(count, rng), rng)
    return to_picture(canvas.lit(1.5), size)
