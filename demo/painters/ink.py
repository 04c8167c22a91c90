"""Ink: dense etched hatching on warm paper, every line following the form under it."""

from dataclasses import dataclass

import cv2
import numpy as np

from demo.painters.colour import mix, palette, ramp, to_picture
from demo.painters.noise import Field, Picture, Rng, fractal, grid, smoothstep, wander

_PAPER = palette("e3cfa4 f0e2c2 f6ecd4")
_INK = palette("21170f")[0]
_SUN = (0.66, 0.25, 0.085)
_OAK = ((0.20, 0.27, 0.19), (0.08, 0.37, 0.13), (0.33, 0.36, 0.12), (0.19, 0.42, 0.11))
_TOWERS = ((0.60, 0.415, 0.018), (0.645, 0.36, 0.022), (0.70, 0.43, 0.03), (0.55, 0.455, 0.022))


@dataclass(slots=True)
class Plate:
    """Tone (0 black to 1 paper), two hatch phases in unit lengths, and outline ink."""

    tone: Field
    along: Field
    across: Field
    outline: Field

    def lay(self, inside: Field, tone: Field, along: Field, across: Field, edge: Field) -> None:
        """Put a form on top; `edge` is its distance field, zero on the contour."""
        self.tone = np.where(inside, tone, self.tone)
        self.along = np.where(inside, along, self.along)
        self.across = np.where(inside, across, self.across)
        kept = np.where(inside, 0, self.outline)
        self.outline = np.maximum(kept, np.abs(edge) < 0.0019)


def _sky(x: Field, y: Field, rng: Rng) -> Plate:
    size = len(x)
    cx, cy, radius = _SUN
    reach = np.hypot(x - cx, y - cy)
    turn = np.arctan2(y - cy, x - cx)
    clouds = fractal(size, 3.2, rng, 4, stretch=1.6)
    flow = y + 0.10 * clouds + 0.015 * np.sin(x * 11)
    tone = 0.22 + 0.6 * smoothstep(0.30, 0.75, clouds) + 0.55 * np.exp(-reach / 0.16)
    tone -= 0.25 * smoothstep(0.25, 0.0, y)
    plate = Plate(tone, flow, flow * 0.75 + x * 0.7, np.zeros_like(x))
    rays = turn * 0.30 + 0.02 * np.sin(reach * 60)
    halo = reach < 0.17 + 0.03 * np.abs(np.sin(turn * 8)) ** 3
    plate.tone = np.where(halo, 0.35 + 1.6 * (reach - radius), plate.tone)
    plate.along = np.where(halo, rays, plate.along)
    plate.lay(reach < radius, 0.93 - 0.2 * (y > cy), reach * 0.9, reach, reach - radius)
    return plate


def _hills(plate: Plate, x: Field, y: Field, rng: Rng) -> None:
    size = len(x)
    for level, height, dark in ((0.44, 0.07, 0.62), (0.52, 0.05, 0.42), (0.60, 0.04, 0.50)):
        crest = level + height * wander(size, 2.2, rng)[None] + 0.006 * wander(size, 22, rng)[None]
        lean = wander(size, 3, rng)[None] * 0.13
        depth = y - crest
        furrow = fractal(size, 6, rng, 3)
        tone = dark + 0.55 * (furrow - 0.5) - 0.45 * np.exp(-depth / 0.014) + 1.2 * depth
        along = x * 0.85 + depth * 0.5 + lean + 0.06 * furrow
        plate.lay(depth > 0, tone, along, depth + 0.04 * furrow, depth)


def _town(plate: Plate, x: Field, y: Field) -> None:
    for cx, top, half in _TOWERS:
        roof = top + np.abs(x - cx) * 1.9 - half * 1.9
        inside = (np.abs(x - cx) < half) & (y > roof) & (y < 0.56)
        edge = np.minimum(half - np.abs(x - cx), np.minimum(y - roof, 0.56 - y))
        tiled = y < top + 0.004
        tone = np.where(tiled, 0.18, np.where(x > cx, 0.30, 0.86))
        storey = np.abs(((y - top) % 0.034) - 0.02)
        window = (np.abs((x - cx) / half + 0.45) < 0.13) & (storey < 0.006)
        tone = np.where(window & ~tiled, 0.02, tone)
        plate.lay(inside, tone, np.where(tiled, roof - y, x + 0.12 * y), y, edge)


def _river(plate: Plate, x: Field, y: Field, rng: Rng) -> None:
    size = len(x)
    bank = 0.67 + 0.015 * wander(size, 3, rng)[None]
    depth = y - bank
    wave = fractal(size, 9, rng, 3, stretch=4)
    shine = np.exp(-(((x - _SUN[0] + 0.03 * np.sin(y * 60)) / 0.07) ** 2))
    tone = 0.30 + 0.75 * (wave - 0.35) + 0.42 * shine - 0.3 * np.exp(-depth / 0.02)
    along = y * 0.85 + 0.05 * wave + 0.006 * np.sin(x * 40 + y * 90)
    plate.lay((depth > 0) & (y < 1), tone, along, y - 0.3 * x, depth)


def _bank(plate: Plate, x: Field, y: Field, rng: Rng) -> None:
    size = len(x)
    crest = 0.93 - 0.27 * np.exp(-((x / 0.42) ** 2)) - 0.16 * np.exp(-(((x - 1.02) / 0.2) ** 2))
    crest = crest + 0.008 * wander(size, 30, rng)[None]
    depth = y - crest
    tuft = fractal(size, 10, rng, 3)
    sway = fractal(size, 4, rng, 2)
    tone = 0.62 + 0.9 * (tuft - 0.62) - 0.9 * np.clip(depth, 0, 0.22)
    plate.lay(depth > 0, tone, x + 0.22 * sway + 0.25 * y, depth + 0.1 * sway, depth)


def _oak(plate: Plate, x: Field, y: Field, rng: Rng) -> None:
    size = len(x)
    bend = 0.185 + 0.016 * np.sin(y * 17) - 0.03 * (y - 0.5)
    flare = 0.028 + 0.06 * smoothstep(0.60, 0.76, y)
    side = (x - bend) / flare
    bark = fractal(size, 7, rng, 3)
    trunk = (np.abs(side) < 1) & (y > 0.4) & (y < 0.75 + 0.02 * np.cos(side * 7))
    round_ = np.arcsin(np.clip(side, -1, 1)) * 0.035
    tone = 0.42 - 0.5 * side + 0.7 * (bark - 0.5)
    edge = np.where(y > 0.4, (1 - np.abs(side)) * flare, 1)
    plate.lay(trunk, tone, round_ + 0.02 * bark, y * 0.6 + side**2 * 0.02, edge)
    ragged = fractal(size, 13, rng, 4) - 0.5
    for cx, cy, radius in sorted(_OAK, key=lambda crown: crown[1]):
        dx, dy = x - cx, y - cy
        edge = radius * (1 + 0.75 * ragged) - np.hypot(dx, dy * 1.15)
        leaf = np.sin(np.arctan2(dy, dx) * 9 + ragged * 14)
        light = (dx * 0.75 - dy * 0.9) / radius
        tone = 0.40 + 0.34 * light + 0.75 * ragged
        curl = np.hypot(dx + 0.02 * leaf, dy) + 0.10 * ragged
        plate.lay(edge > 0, tone, curl, np.arctan2(dy, dx) * 0.09 + 0.08 * ragged, edge)


def _birds(plate: Plate, x: Field, y: Field) -> None:
    for cx, cy, span in ((0.47, 0.17, 0.024), (0.52, 0.13, 0.03), (0.87, 0.19, 0.022),
                         (0.90, 0.12, 0.032), (0.80, 0.09, 0.02)):  # fmt: skip
        side = np.abs(x - cx) / span
        wing = y - cy + span * (0.75 * np.sqrt(np.clip(side, 0, 1)) - 0.6 * side**2)
        bird = (side < 1) & (np.abs(wing) < 0.0035 * (1.1 - side))
        plate.outline = np.maximum(plate.outline, bird)


def _lines(phase: Field, pitch: float, cover: Field, rough: Field) -> Field:
    """Ink 0/1 of lines every `pitch`, each `cover` (0 to 1) of the pitch wide."""
    slope = np.hypot(*np.gradient(phase)) * len(phase)
    octave = np.clip(np.round(np.log2(np.maximum(slope, 1e-3))), -2, 3)
    saw = phase / 2.0**octave / pitch + rough
    return np.asarray(np.abs(saw - np.round(saw)) * 2 < cover)


def _etch(plate: Plate, rng: Rng) -> Field:
    """Ink 0/1: a first hatch everywhere but in lights, a second and third in the darks."""
    size = len(plate.tone)
    tone = plate.tone * 0.9 - 0.05 + 0.16 * (fractal(size, 40, rng, 3) - 0.5)
    ink = plate.outline
    layers = ((plate.along, 0.0094, 0.98, 0.66), (plate.across, 0.0102, 0.58, 0.52),
              (plate.along + plate.across, 0.0112, 0.34, 0.52))  # fmt: skip
    for phase, pitch, limit, most in layers:
        rough = 0.22 * fractal(size, 26, rng, 3)
        cover = most * np.clip((limit - tone) / max(limit, 0.45), 0, 1) ** 0.75
        breaks = fractal(size, 45, rng, 2) * 0.20 * smoothstep(0.2, 0.7, tone)
        ink = np.maximum(ink, _lines(phase, pitch, cover - breaks, rough))
    return ink


def draw(size: int, seed: int) -> Picture:
    """Etched river landscape with an oak, uint8 RGB size x size."""
    rng = np.random.default_rng(seed)
    side = size * 4
    x, y = grid(side)
    plate = _sky(x, y, rng)
    _birds(plate, x, y)
    _hills(plate, x, y, rng)
    _town(plate, x, y)
    _river(plate, x, y, rng)
    _bank(plate, x, y, rng)
    _oak(plate, x, y, rng)
    paper = ramp(fractal(side, 5, rng, 4), _PAPER)
    bite = 0.88 + 0.12 * fractal(side, 40, rng, 2)
    # Ink creeps into damp paper; razor edges would also cost JPEG bytes for nothing.
    ink = cv2.GaussianBlur(_etch(plate, rng).astype(np.float32), (0, 0), side / size * 0.42)
    return to_picture(mix(paper, _INK, ink * bite), size)
