"""Wave: a woodblock print of breaking Prussian-blue seas with clawed foam and a far peak."""

from dataclasses import dataclass

import cv2
import numpy as np

from demo.painters.colour import mix, palette, ramp, to_picture
from demo.painters.noise import Field, Picture, Rng, fractal, grid, smoothstep, wander

_LINE = palette("14264a")[0]
_FOAM = palette("f3ead2")[0]
_SHADE = palette("a9c6cf")[0]
_BLUES = palette("16306a 27559a 5b93bd 1d4480 b5cfd2 20498c 3f78ae 172f66")
_SKY = palette("3f6d94 86a5ab d3c8a0 ecdfba f0dcb0 e9b98c d98f6a")
_SHIFT = 4

# The great breaker in its own frame: a back rising from the left, a lip that hooks over to the
# right, and the hollow underneath; x right, y down, about one unit wide.
_BACK = ((-0.30, 0.62), (-0.06, 0.44), (0.10, 0.18), (0.27, 0.02), (0.47, -0.03), (0.64, 0.04),
         (0.74, 0.16), (0.765, 0.27))  # fmt: skip
_HOLLOW = ((-0.02, 1.00), (0.16, 0.90), (0.28, 0.72), (0.33, 0.52), (0.39, 0.36), (0.50, 0.26),
           (0.63, 0.25), (0.765, 0.27))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Breaker:
    """Where a copy of the great wave stands: origin, scale in unit lengths, facing (+1, -1)."""

    x: float
    y: float
    scale: float
    facing: int = 1

    def place(self, points: Field) -> Field:
        """Own frame -> picture frame, unit xy."""
        turned = points * np.array([self.facing, 1.0])
        return np.asarray(turned * self.scale + np.array([self.x, self.y]))


_BREAKERS = (
    Breaker(0.99, 0.47, 0.31, -1),
    Breaker(0.42, 0.575, 0.22),
    Breaker(0.02, 0.14, 0.74),
    Breaker(1.02, 0.66, 0.46, -1),
    Breaker(0.30, 0.80, 0.36),
)


def _spline(knots: Field, count: int = 90) -> Field:
    """Catmull-Rom curve through the knots: count x 2."""
    ends = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    at = np.linspace(0, len(knots) - 1 - 1e-6, count)
    i, t = at.astype(int), (at % 1)[:, None]
    a, b, c, d = (ends[i + k] for k in range(4))
    return np.asarray(
        b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    )


def _rgb(colour: Field) -> tuple[int, int, int]:
    r, g, b = np.clip(np.round(colour * 255), 0, 255).astype(int).tolist()
    return r, g, b


def _fixed(points: Field, size: int) -> Field:
    return np.asarray(np.round(points * size * 2**_SHIFT).astype(np.int32))


def _fill(image: Field, points: Field, colour: Field) -> None:
    shape = _fixed(points, len(image))
    cv2.fillPoly(image, [shape], _rgb(colour), cv2.LINE_AA, _SHIFT)


def _line(image: Field, points: Field, width: float, colour: Field = _LINE) -> None:
    thick = max(1, round(width * len(image)))
    shape = _fixed(points, len(image))
    cv2.polylines(image, [shape], False, _rgb(colour), thick, cv2.LINE_AA, _SHIFT)


def _blob(image: Field, at: Field, radius: float, colour: Field) -> None:
    x, y = (int(v) for v in _fixed(at, len(image)))
    grown = max(1, round(radius * len(image) * 2**_SHIFT))
    cv2.circle(image, (x, y), grown, _rgb(colour), -1, cv2.LINE_AA, _SHIFT)


def _claw(at: Field, turn: float, long: float, bend: float) -> Field:
    """A hooked finger of foam from `at` towards `turn`, curling by `bend` radians: N x 2."""
    t = np.linspace(0, 1, 12)
    heading = turn + bend * t**1.4
    spine = at + np.cumsum(np.stack([np.cos(heading), np.sin(heading)], -1), 0) * long / 12
    half = 0.21 * long * (1 - t) ** 0.8
    side = np.stack([-np.sin(heading), np.cos(heading)], -1) * half[:, None]
    return np.vstack([spine + side, (spine - side)[::-1]])


def _fringe(image: Field, curve: Field, outward: float, long: float, rng: Rng) -> None:
    """Foam along a curve: outlined claws, then a lumpy white body with shaded hollows."""
    pixel = 1 / len(image)
    tangent = np.gradient(curve, axis=0)
    turns = np.arctan2(tangent[:, 1], tangent[:, 0]) + outward * np.pi / 2
    claws = []
    for at, turn in zip(curve, turns, strict=True):
        for _ in range(2):
            size, way = long * rng.uniform(0.55, 1.25), turn + rng.normal(0, 0.4)
            claws.append(_claw(at, way, size, -outward * rng.uniform(0.8, 2.0)))
    lumps = curve + rng.normal(0, long * 0.10, curve.shape)
    sizes = long * rng.uniform(0.16, 0.36, len(curve))
    for claw in claws:
        _line(image, np.vstack([claw, claw[:1]]), 4.6 * pixel)
    for at, radius in zip(lumps, sizes, strict=True):
        _blob(image, at, radius + 2.4 * pixel, _LINE)
    for claw in claws:
        _fill(image, claw, _FOAM)
    for at, radius in zip(lumps, sizes, strict=True):
        _blob(image, at, radius, _FOAM)
    _hollows(image, lumps, turns, sizes, rng)


def _hollows(image: Field, lumps: Field, turns: Field, sizes: Field, rng: Rng) -> None:
    """Small blue crescents that give the foam its knotted relief."""
    for at, turn, radius in zip(lumps, turns, sizes, strict=True):
        if rng.random() < 0.75:
            arc = turn + np.linspace(-1.2, 1.2, 9) + rng.normal(0, 0.6)
            curl = at + np.stack([np.cos(arc), np.sin(arc)], -1) * radius * rng.uniform(0.4, 0.8)
            tint = _LINE if rng.random() < 0.4 else _SHADE
            _line(image, curl, 2.4 / len(image), tint)


def _spray(image: Field, centre: Field, spread: Field, count: int, rng: Rng) -> None:
    for at in centre + rng.normal(0, 1, (count, 2)) * spread:
        _blob(image, at, rng.uniform(0.0012, 0.0042), _FOAM)


def _ribs(image: Field, back: Field, hollow: Field, scale: float) -> None:
    """Stripes of the wave's face, blended from its back to its hollow."""
    edges = np.array([0, 0.10, 0.17, 0.30, 0.36, 0.50, 0.57, 0.70, 0.76, 0.88, 1.0])
    hues = _BLUES[[0, 4, 5, 2, 0, 4, 1, 2, 0, 4]]
    eased = np.linspace(0, 1, len(back))[:, None]
    for low, high, hue in zip(edges[:-1], edges[1:], hues, strict=True):
        inner = [back * (1 - k) + hollow * k for k in (low, high)]
        ripple = 0.010 * scale * np.sin(eased * 30 + high * 9) * np.sin(eased * np.pi)
        _fill(image, np.vstack([inner[0], (inner[1] + ripple)[::-1]]), hue)
        _line(image, inner[1] + ripple, 0.0016)


def _breaker(image: Field, wave: Breaker, rng: Rng) -> None:
    back, hollow = (wave.place(_spline(np.array(k))) for k in (_BACK, _HOLLOW))
    foot = wave.place(np.array([[-0.02, 1.6], [-0.9, 1.6], [-0.9, 1.0]]))
    _fill(image, np.vstack([back, hollow[::-1], foot]), _BLUES[0])
    _ribs(image, back, hollow, wave.scale)
    _line(image, back, 0.004)
    crest = back[np.linspace(38, len(back) - 1, 46).astype(int)]
    lip = hollow[np.linspace(52, len(hollow) - 1, 30).astype(int)]
    _fringe(image, crest, -wave.facing, 0.060 * wave.scale, rng)
    _fringe(image, lip, wave.facing, 0.085 * wave.scale, rng)
    tip = wave.place(np.array([0.80, 0.26]))
    _spray(image, tip, np.array([0.13, 0.10]) * wave.scale, round(110 * wave.scale), rng)
    _spray(image, wave.place(np.array([0.45, -0.1])), np.array([0.3, 0.05]) * wave.scale, 26, rng)


def _swell(image: Field, level: float, rng: Rng, hue: int) -> None:
    """A rolling ridge across the print with contour stripes and a foam edge."""
    x = np.linspace(-0.02, 1.02, 150)
    crest = level + 0.035 * wander(150, 2.6, rng)
    for row in range(9):
        drop = row * (0.013 + 0.0022 * row)
        line = np.stack([x, crest + drop + 0.007 * np.sin(x * 19 + row * 1.3)], -1)
        _fill(image, np.vstack([line, [[1.02, 1.1], [-0.02, 1.1]]]), _BLUES[(hue + row * 3) % 8])
        _line(image, line, 0.0016)
    peaks = np.stack([x, crest], -1)[rng.random(150) < 0.5]
    _fringe(image, peaks[::-1], 1, 0.020, rng)


def _sky(side: int, rng: Rng) -> Field:
    x, y = grid(side)
    sky = ramp(np.clip(y / 0.62 + 0.02 * (fractal(side, 4, rng) - 0.5), 0, 1), _SKY)
    drift = y + 0.016 * np.sin(x * 9 + y * 11) + 0.010 * np.sin(x * 21 - y * 17)
    strand = np.abs((drift * 46) % 1 - 0.5)
    sky = mix(sky, sky * 0.78, smoothstep(0.10, 0.06, strand))
    sun = np.hypot(x - 0.80, y - 0.19)
    sky = mix(sky, palette("c8452f")[0], smoothstep(0.0815, 0.080, sun))
    sky = mix(sky, _LINE, smoothstep(0.0022, 0.001, np.abs(sun - 0.081)))
    return _mist(sky, x, drift, rng)


def _mist(sky: Field, x: Field, drift: Field, rng: Rng) -> Field:
    """Long outlined cloud tongues with rounded ends, in paler and darker tints."""
    tints = palette("f4ead0 e8b896 88a8b4 f4ead0 c9d3c4")
    for level in np.sort(rng.uniform(0.02, 0.56, 17)):
        middle, half = rng.random(), rng.uniform(0.08, 0.26)
        thick = rng.uniform(0.008, 0.017)
        over = np.clip((np.abs(x - middle) - half) / thick, 0, None)
        edge = thick * np.sqrt(np.clip(1 - over**2, 0, 1)) - np.abs(drift - level)
        sky = mix(sky, tints[rng.integers(len(tints))], smoothstep(-0.0005, 0.0005, edge))
        sky = mix(sky, _LINE, 0.75 * smoothstep(0.0018, 0.0008, np.abs(edge)) * (over < 1))
    return sky


def _peak(image: Field) -> None:
    slope = _spline(np.array([(0.28, 0.64), (0.40, 0.55), (0.485, 0.425), (0.525, 0.425),
                              (0.61, 0.55), (0.74, 0.64)]), 60)  # fmt: skip
    _fill(image, slope, palette("2f5a86")[0])
    snow = np.array([(0.612, 0.515), (0.675, 0.425), (0.715, 0.425), (0.778, 0.515), (0.752, 0.488),
                     (0.738, 0.522), (0.716, 0.482), (0.694, 0.53), (0.672, 0.485), (0.645, 0.525),
                     (0.634, 0.492)])  # fmt: skip
    snow[:, 0] -= 0.19
    _fill(image, snow, _FOAM)
    _line(image, slope, 0.003)


def _pressed(image: Field, rng: Rng) -> Field:
    """Ink on washi: wood grain in the flats, uneven pressure and long paper fibres."""
    side = len(image)
    x, y = grid(side)
    rings = y * 60 + 9 * fractal(side, 2.2, rng, 4, stretch=5) + 0.5 * np.sin(x * 5)
    grain = 0.5 + 0.5 * np.sin(rings * 2 * np.pi)
    ink = image.astype(np.float32) / 255
    worn = 0.10 * grain * fractal(side, 5, rng, 3) + 0.14 * fractal(side, 150, rng, 2)
    dark = 1 - ink.mean(-1)
    paper = palette("f1e6c8")[0] * (0.95 + 0.08 * fractal(side, 90, rng, 3, stretch=4)[..., None])
    return np.asarray(mix(ink, _FOAM, worn * (0.35 + 0.65 * dark)) * (0.35 + 0.65 * paper))


def draw(size: int, seed: int) -> Picture:
    """Woodblock sea, uint8 RGB size x size."""
    rng = np.random.default_rng(seed)
    side = size * 2
    image = np.ascontiguousarray((_sky(side, rng) * 255).astype(np.uint8))
    _peak(image)
    _swell(image, 0.60, rng, 2)
    _breaker(image, _BREAKERS[0], rng)
    _breaker(image, _BREAKERS[1], rng)
    _swell(image, 0.74, rng, 5)
    _breaker(image, _BREAKERS[2], rng)
    _breaker(image, _BREAKERS[3], rng)
    _swell(image, 0.88, rng, 0)
    _breaker(image, _BREAKERS[4], rng)
    _swell(image, 0.965, rng, 3)
    return to_picture(_pressed(image, rng), size)
