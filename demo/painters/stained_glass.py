"""Stained glass: leaded panes of deep red, blue and yellow, lit from behind by a rising sun."""

import cv2
import numpy as np

from demo.painters.colour import palette, to_picture
from demo.painters.noise import Field, Picture, Rng, fractal, grid, smoothstep

_SUN = (0.5, 0.36)
_RAYS = palette("1b3fae 0f2a86 2f6fd0 7a1f9a 1a56c4 c2185b 14308f 2a8fd8")
_HALO = palette("ffd21f ff9a12 f8641a e8301f ffe873 d81b2c")
_HILLS = palette("0f7a3f 2fa84a 0b5a4a 7cc43a 126a6a 1f8f5a")
_WATER = palette("0f4fb0 1f8fd8 3fc0dc 0b357f 1a6fc4 6fd8e8")
_PETAL = palette("d8142c ff3f5a f0261f ff7a2a c2185b e8a0ff 7a2fc0 ffb21f")
_FLOWERS = ((0.15, 0.80, 0.105), (0.40, 0.885, 0.085), (0.64, 0.82, 0.10), (0.885, 0.86, 0.105),
            (0.52, 0.985, 0.07), (0.25, 0.985, 0.075), (0.76, 0.99, 0.08),
            (0.01, 0.93, 0.08))  # fmt: skip


class Panes:
    """Integer pane labels and float RGB glass colours, painted back to front."""

    def __init__(self, size: int) -> None:
        """Every pixel starts as pane 0 of black glass."""
        self.label = np.zeros((size, size), np.int64)
        self.colour = np.zeros((size, size, 3))
        self._next = 1

    def cut(self, inside: Field, pieces: Field, hues: Field, rng: Rng) -> None:
        """Replace an area by panes, one per distinct value of the integer field `pieces`."""
        values, local = np.unique(pieces[inside], return_inverse=True)
        glass = hues[rng.integers(0, len(hues), len(values))]
        glass = np.clip(glass * rng.uniform(0.75, 1.15, (len(values), 1)), 0, 1)
        self.label[inside] = self._next + local
        self.colour[inside] = glass[local]
        self._next += len(values)


def _polar(x: Field, y: Field, cx: float, cy: float) -> tuple[Field, Field]:
    return np.hypot(x - cx, y - cy), np.arctan2(y - cy, x - cx) / (2 * np.pi) + 0.5


def _radiance(panes: Panes, x: Field, y: Field, rng: Rng) -> None:
    reach, turn = _polar(x, y, *_SUN)
    bend = turn + 0.035 * np.sin(reach * 11)
    everywhere = np.ones(x.shape, bool)
    spoke = np.floor(bend * 26).astype(int)
    ring = np.floor((reach + 0.05 * np.sin(spoke * 2.7)) / 0.105).astype(int)
    panes.cut(everywhere, spoke * 100 + ring, _RAYS, rng)
    flare = reach < 0.215 + 0.055 * np.cos(bend * 2 * np.pi * 13)
    panes.cut(flare, np.floor(bend * 13).astype(int) * 9 + (reach > 0.19), _HALO[1:], rng)
    panes.cut(reach < 0.135, np.floor(turn * 9).astype(int), _HALO[[0, 1, 4]], rng)
    panes.cut(reach < 0.062, np.zeros(x.shape, int), _HALO[[4]], rng)


def _land(panes: Panes, x: Field, y: Field, rng: Rng) -> None:
    for crest, hues, across, pitch in (
        (0.50 - 0.07 * np.sin(x * 6.5 + 0.6), palette("5a2fa8 7a3fc0 3a2a96 a04fc8"), 9, 0.07),
        (0.565 - 0.05 * np.sin(x * 8 + 3.2), _HILLS, 11, 0.045),
        (0.63 + 0.018 * np.sin(x * 13), _WATER, 8, 0.034),
        (0.725 + 0.03 * np.sin(x * 7.5 + 1), _HILLS[[0, 1, 3, 5]], 12, 0.075),
    ):
        depth = y - crest
        row = np.floor((depth + 0.012 * np.sin(x * 21)) / pitch).astype(int)
        column = np.floor((x + 0.35 * depth) * across + row * 0.47).astype(int)
        panes.cut(depth > 0, row * 1000 + column, hues, rng)


def _flower(panes: Panes, x: Field, y: Field, at: tuple[float, float, float], rng: Rng) -> None:
    cx, cy, radius = at
    reach, turn = _polar(x, y, cx, cy)
    spin = turn * 7 + rng.random()
    edge = radius * (0.86 + 0.22 * np.cos((spin % 1 - 0.5) * 2 * np.pi))
    first = rng.integers(0, len(_PETAL) - 2)
    ring = (reach > radius * 0.60).astype(int)
    pieces = np.floor(spin).astype(int) * 2 + ring
    panes.cut(reach < edge, pieces, _PETAL[first : first + 3], rng)
    panes.cut(reach < radius * 0.30, np.zeros(x.shape, int), _HALO[[0, 4]], rng)


def _distance_to_lead(label: Field) -> Field:
    """Distance in pixels from every pixel to the nearest pane border."""
    border = np.zeros(label.shape, bool)
    border[:, 1:] |= label[:, 1:] != label[:, :-1]
    border[1:] |= label[1:] != label[:-1]
    return np.asarray(cv2.distanceTransform((~border).astype(np.uint8), cv2.DIST_L2, 5))


def _glow(colour: Field, away: Field, rng: Rng) -> Field:
    """Glass lit from behind: bright hearts, burnt edges, streaks, ripples and seed bubbles."""
    size = len(away)
    heart = smoothstep(0.0, 0.030, away / size)
    streak = fractal(size, 9, rng, 5, stretch=0.28)
    ripple = fractal(size, 38, rng, 3)
    light = 0.74 + 0.42 * heart + 0.50 * (streak - 0.5) + 0.24 * (ripple - 0.5)
    glass = colour * light[..., None]
    glass += (heart * smoothstep(0.45, 0.9, streak))[..., None] * (0.20 + 0.42 * colour)
    bubble = smoothstep(0.80, 0.86, fractal(size, 120, rng, 1))
    return np.asarray(np.clip(glass + bubble[..., None] * 0.14, 0, 1))


def _lead(glass: Field, away: Field, rng: Rng) -> Field:
    size = len(away)
    half = size * (0.0045 + 0.0016 * fractal(size, 14, rng, 2))
    came = smoothstep(1.0, 0.82, away / half)
    round_ = np.sqrt(np.clip(1 - (away / half) ** 2, 0, 1))
    down, across = np.gradient(cv2.GaussianBlur(round_.astype(np.float32), (0, 0), 1.2))
    metal = 0.085 + 0.55 * np.clip(-(down + across), -0.1, 1) + 0.05 * fractal(size, 60, rng, 3)
    tone = metal[..., None] * np.array([0.92, 0.96, 1.05])
    return np.asarray(glass * (1 - came[..., None]) + tone * came[..., None])


def draw(size: int, seed: int) -> Picture:
    """Leaded sunrise window, uint8 RGB size x size."""
    rng = np.random.default_rng(seed)
    x, y = grid(size * 2)
    bend = [0.02 * (fractal(size * 2, 5, rng, 3) - 0.5) for _ in range(2)]
    panes = Panes(size * 2)
    _radiance(panes, x + bend[0], y + bend[1], rng)
    _land(panes, x + bend[0], y + bend[1], rng)
    for flower in _FLOWERS:
        _flower(panes, x, y, flower, rng)
    away = _distance_to_lead(panes.label)
    return to_picture(_lead(_glow(panes.colour, away, rng), away, rng), size)
