"""Watercolour: translucent garden washes with granulation, dark drying edges and blooms."""

import cv2
import numpy as np

from demo.painters.colour import palette, to_picture
from demo.painters.noise import Field, Picture, Rng, fractal, grid, smoothstep

_PETALS = palette("d81e5b f0386b ff6f3c f5a318 8e2fa8 5a38c0 2f62d8 e03a9a f7c51e c2187a")
_LEAVES = palette("1f6a3a 3f9a3a 7ab82f 127a6a 0f4f5f a8c832 2a5a1f")
_DEEPS = palette("1a2f7a 3a1f6a 0f5a7a 123f4f 5a1f5a")
_WASHES = palette("58b4e0 8fd0c8 f7c7a0 f2a0b8 a8a0e0 f6dc8a 6fc0a0")


class Paper:
    """White sheet that takes transparent paint: optical density grows, light never returns."""

    def __init__(self, size: int, rng: Rng) -> None:
        """A cold-pressed sheet with its own tooth and slow water stains."""
        self.density = np.zeros((size, size, 3), np.float32)
        self.tooth = fractal(size, 110, rng, 2) * 0.6 + fractal(size, 240, rng, 1) * 0.4
        self.water = fractal(size, 5, rng, 6)
        self.bleed = [fractal(size, cells, rng, 4) - 0.5 for cells in (9, 9, 26)]

    def wash(self, edge: Field, box: tuple[slice, slice], pigment: Field, load: float) -> None:
        """Add one wash where edge > 0; edge is the distance inside in unit lengths."""
        tooth, water = self.tooth[box], self.water[box]
        cover = smoothstep(-0.0010, 0.0014, edge)
        rim = np.exp(-np.abs(edge) / 0.0035) * 0.85 + np.exp(-np.abs(edge) / 0.016) * 0.30
        bloom = 0.55 + 0.9 * smoothstep(0.25, 0.75, water) - 0.25 * np.sin(water * 38)
        thick = cover * (0.62 * bloom + rim) * (0.68 + 0.64 * tooth) * load
        absorb = -np.log(np.clip(pigment, 0.035, 0.995))
        self.density[box] += thick[..., None] * absorb.astype(np.float32)

    def shown(self) -> Field:
        """Float RGB of the dried sheet, slightly warm and shaded by its tooth."""
        sheet = palette("fdf8ee")[0] * (0.955 + 0.05 * self.tooth[..., None])
        return np.asarray(sheet * np.exp(-self.density))


def _box(size: int, cx: float, cy: float, reach: float) -> tuple[slice, slice]:
    low = [int(np.clip((c - reach) * size, 0, size)) for c in (cy, cx)]
    high = [int(np.clip((c + reach) * size, 0, size)) for c in (cy, cx)]
    return slice(low[0], high[0]), slice(low[1], high[1])


def _petal(
    paper: Paper, x: Field, y: Field, at: tuple[float, float], turn: float,
    long: float, wide: float, pigment: Field, load: float,
) -> None:  # fmt: skip
    """One tapering drop of colour from `at` towards `turn`, its rim frayed by the paper."""
    mid = (at[0] + np.cos(turn) * long / 2, at[1] + np.sin(turn) * long / 2)
    box = _box(len(x), mid[0], mid[1], long * 0.75)
    dx, dy = x[box] - at[0], y[box] - at[1]
    u = (dx * np.cos(turn) + dy * np.sin(turn)) / long
    v = (dy * np.cos(turn) - dx * np.sin(turn)) / long
    fray = 0.16 * paper.bleed[0][box] + 0.06 * paper.bleed[2][box]
    within = np.clip(u, 0, 1)
    belly = wide * 1.75 * within**0.75 * (1 - within) ** 0.42
    edge = (
        np.minimum(belly - np.abs(v), np.minimum(u, 1 - u) * 2) + fray * np.clip(4 * u, 0, 1) * 0.5
    )
    paper.wash(edge * long, box, pigment, load)


def _ground(paper: Paper, x: Field, y: Field, rng: Rng) -> None:
    everywhere = (slice(None), slice(None))
    for pigment in rng.permutation(_WASHES):
        edge = 0.16 * (fractal(len(x), 3, rng, 6) - 0.52)
        paper.wash(edge, everywhere, pigment, 0.62)
    for pigment in _DEEPS[:3]:
        depth = fractal(len(x), 5, rng, 6) - 0.72 + 0.14 * y
        paper.wash(depth * 0.12, everywhere, pigment, 0.30)


def _foliage(paper: Paper, x: Field, y: Field, count: int, rng: Rng) -> None:
    for _ in range(count):
        at = rng.uniform(-0.05, 1.05, 2)
        long = rng.uniform(0.06, 0.19)
        turn = -np.pi / 2 + rng.normal(0, 0.75)
        pigment = _LEAVES[rng.integers(len(_LEAVES))]
        _petal(paper, x, y, (at[0], at[1]), turn, long, rng.uniform(0.14, 0.30), pigment,
               rng.uniform(0.25, 0.6))  # fmt: skip


def _flower(
    paper: Paper, x: Field, y: Field, at: tuple[float, float], radius: float, rng: Rng
) -> None:
    first, second = _PETALS[rng.integers(len(_PETALS), size=2)]
    count, spin = int(rng.integers(5, 8)), rng.uniform(0, 6.3)
    _lift(paper, at, radius * 1.02)
    for ring, scale, load in ((0, 1.0, 0.5), (1, 0.62, 0.42)):
        for k in range(count):
            turn = spin + (k + 0.5 * ring) * 2 * np.pi / count + rng.normal(0, 0.12)
            blend = rng.uniform(0, 0.5) + 0.4 * ring
            pigment = first * (1 - blend) + second * blend
            long = radius * scale * rng.uniform(0.85, 1.15)
            _petal(paper, x, y, at, turn, long, rng.uniform(0.5, 0.74), pigment, load)
    for _ in range(12):
        turn, away = rng.uniform(0, 6.3), radius * 0.2 * rng.random()
        dot = (at[0] + away * np.cos(turn), at[1] + away * np.sin(turn))
        _petal(paper, x, y, dot, turn, radius * 0.13, 0.5, palette("5a1a3a")[0], 0.7)


def _lift(paper: Paper, at: tuple[float, float], radius: float) -> None:
    """Lift wet paint before a flower so that its own colours stay clean."""
    size = len(paper.tooth)
    box = _box(size, at[0], at[1], radius * 1.3)
    down, across = np.mgrid[box]
    reach = np.hypot(across / size - at[0], down / size - at[1]) / radius
    left = 1 - 0.88 * smoothstep(1.1, 0.6, reach + 0.5 * paper.bleed[1][box])
    paper.density[box] *= left[..., None].astype(np.float32)


def _spatter(paper: Paper, x: Field, y: Field, count: int, rng: Rng) -> None:
    for _ in range(count):
        cx, cy = rng.random(2)
        radius = 0.0015 + 0.003 * rng.pareto(2.5)
        box = _box(len(x), cx, cy, min(radius, 0.012) * 1.6)
        edge = min(radius, 0.012) - np.hypot(x[box] - cx, y[box] - cy)
        pigment = np.concatenate([_PETALS, _DEEPS])[rng.integers(len(_PETALS) + len(_DEEPS))]
        paper.wash(edge, box, pigment, 0.8)


def draw(size: int, seed: int) -> Picture:
    """Watercolour flower garden, uint8 RGB size x size."""
    rng = np.random.default_rng(seed)
    x, y = grid(size * 2)
    paper = Paper(size * 2, rng)
    _ground(paper, x, y, rng)
    _foliage(paper, x, y, 130, rng)
    places = [(c + 0.5 * (r % 2) + rng.uniform(-0.28, 0.28), r + rng.uniform(-0.25, 0.25))
              for r in range(6) for c in range(5)]  # fmt: skip
    for c, r in places:
        _flower(paper, x, y, (c / 4.7, r / 5.0), rng.uniform(0.07, 0.15), rng)
    _spatter(paper, x, y, 260, rng)
    image = paper.shown()
    soft = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0)
    return to_picture(np.clip(image + 0.35 * (image - soft), 0, 1), size)
