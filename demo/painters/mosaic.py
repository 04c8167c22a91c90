"""Mosaic: hand-cut tesserae packed in curved rows, a sun over sea with a peacock-blue fish."""

import cv2
import numpy as np

from demo.painters.brush import look_up, scatter
from demo.painters.colour import jitter, mix, palette, ramp, to_picture
from demo.painters.noise import Field, Picture, Rng, fractal, grid, smoothstep

_GROUT = palette("3a2c26 6b5646")
_FISH = ((0.60, 0.70, 0.165, -0.25), (0.24, 0.83, 0.115, 0.2))
_SUN = (0.34, 0.27, 0.105)


def _sky(x: Field, y: Field) -> tuple[Field, Field]:
    cx, cy, radius = _SUN
    reach, turn = np.hypot(x - cx, y - cy), np.arctan2(y - cy, x - cx)
    rings = palette("fff0b0 f8cf5a efa93a e27d3a c9563a b8473f 9c3f58 7f4474 5f559a 4a6cb4 4a86c4")
    colour = ramp(np.clip((reach - radius) / 0.62, 0, 1), rings)
    rays = (np.sin(turn * 12) > 0.0) & (reach > radius + 0.025) & (reach < 0.34)
    colour = np.where(rays[..., None], palette("f6c94a")[0], colour)
    colour = np.where((reach < radius + 0.022)[..., None], palette("a8352c")[0], colour)
    colour = np.where((reach < radius)[..., None], palette("f9d24e")[0], colour)
    colour = np.where((reach < radius * 0.55)[..., None], palette("fff1a8")[0], colour)
    return colour, turn + np.pi / 2


def _mountains(colour: Field, angle: Field, x: Field, y: Field) -> tuple[Field, Field]:
    for crest, hues in (
        (0.44 - 0.1 * np.sin(x * 5.2 + 2.4) - 0.02 * np.sin(x * 17), "e8a87c c76b4a 9a4436 6f3040"),
        (0.52 - 0.055 * np.sin(x * 8 + 0.2), "8fae5a 5f8f4a 3a6b45 2a4f48"),
    ):
        depth = y - crest
        inside = depth > 0
        colour = np.where(inside[..., None], ramp(np.clip(depth * 8, 0, 1), palette(hues)), colour)
        slope = np.arctan(np.gradient(crest, axis=1) * len(x))
        angle = np.where(inside, slope, angle)
    return colour, angle


def _sea(colour: Field, angle: Field, x: Field, y: Field) -> tuple[Field, Field]:
    swell = y + 0.024 * np.sin(x * 12 + y * 9) + 0.012 * np.sin(x * 23 - y * 14)
    inside = swell > 0.555
    bands = 0.5 + 0.5 * np.sin(swell * 64)
    deep = ramp(np.clip((y - 0.55) / 0.45, 0, 1), palette("3fc4c0 1f9fb0 157a9a 124f86"))
    light = ramp(np.clip((y - 0.55) / 0.45, 0, 1), palette("d8f0dc 7fdcd0 4fc4c4 2f9fb8"))
    water = mix(deep, light, smoothstep(0.62, 0.8, bands))
    foam = smoothstep(0.585, 0.575, swell)
    water = mix(water, palette("f4ecd8")[0], foam)
    down, across = np.gradient(swell)
    return (
        np.where(inside[..., None], water, colour),
        np.where(inside, np.arctan2(-across, down), angle),
    )


def _fish(colour: Field, angle: Field, x: Field, y: Field) -> tuple[Field, Field]:
    for cx, cy, long, tilt in _FISH:
        u = ((x - cx) * np.cos(tilt) + (y - cy) * np.sin(tilt)) / long
        v = ((y - cy) * np.cos(tilt) - (x - cx) * np.sin(tilt)) / long
        half = 0.42 * np.clip(1 - u**2, 0, 1) ** 0.8
        body = (np.abs(u) < 1) & (np.abs(v) < half)
        tail = (u > 0.82) & (u < 1.4) & (np.abs(v) < 0.10 + 0.62 * (u - 0.82))
        fin = (np.abs(u) < 0.5) & (v < 0) & (v > -half - 0.22 * np.cos(u * 3))
        scale = ramp(np.clip(v / 0.8 + 0.5, 0, 1), palette("c8452c e8762f f4b13c f8e09a"))
        stripe = np.sin(u * 16 + np.abs(v) * 6) > 0.55
        scale = np.where(stripe[..., None], palette("8a2330")[0], scale)
        scale = np.where((u < -0.58)[..., None], palette("f2b640")[0], scale)
        eye = np.hypot(u + 0.74, v + 0.09)
        for mask, paint in (
            (tail | fin, palette("d8542f")[0]),
            (body, scale),
            (eye < 0.13, palette("fdf6e0")[0]),
            (eye < 0.075, palette("14202e")[0]),
        ):
            colour = np.where(mask[..., None], paint, colour)
        lean = tilt + np.arctan(-1.3 * u * v)
        angle = np.where(body | tail | fin, lean + np.pi / 2 * (tail & ~body), angle)
    return colour, angle


def _owners(seeds: Field, angle: Field, size: int, reach: int) -> Field:
    """Index of the nearest seed at each pixel, in the seed's own rotated square metric."""
    best = np.full((size + 2 * reach, size + 2 * reach), np.inf, np.float32)
    owner = np.zeros(best.shape, np.int32)
    down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    turns = look_up(angle, seeds)
    at = np.clip((seeds * size).astype(int), 0, size - 1)
    for index, ((cx, cy), turn) in enumerate(zip(at.tolist(), turns.tolist(), strict=True)):
        c, s = np.cos(turn), np.sin(turn)
        square = np.maximum(np.abs(across * c + down * s), np.abs(down * c - across * s))
        window = (slice(cy, cy + 2 * reach + 1), slice(cx, cx + 2 * reach + 1))
        closer = square < best[window]
        best[window][closer] = square[closer]
        owner[window][closer] = index
    return owner[reach:-reach, reach:-reach]


def _pack(count: int, angle: Field, walls: Field, rng: Rng, rounds: int = 24) -> Field:
    """Seeds (unit xy) settled into even rows along the angle field, kept off the walls."""
    size = angle.shape[0]
    x, y = grid(size)
    seeds = scatter(count, rng)
    reach = int(size / count**0.5 * 1.7)
    weight = (~walls).astype(np.float32).ravel()
    for _ in range(rounds):
        owner = _owners(seeds, angle, size, reach).ravel()
        mass = np.bincount(owner, weight, len(seeds))
        middle = [np.bincount(owner, weight * axis.ravel(), len(seeds)) for axis in (x, y)]
        settled = np.stack(middle, -1) / np.maximum(mass, 1e-6)[:, None]
        seeds = np.where((mass > 3)[:, None], settled, seeds)
    return seeds


def _facets(seeds: Field, angle: Field, size: int) -> tuple[Field, Field]:
    """Pane index and distance in pixels to the grout line's middle, size x size."""
    reach = int(size / len(seeds) ** 0.5 * 1.7)
    owner = _owners(seeds, angle, size, reach)
    owner = cv2.medianBlur(owner.astype(np.uint16), 5)
    border = np.zeros(owner.shape, bool)
    border[:, 1:] |= owner[:, 1:] != owner[:, :-1]
    border[1:] |= owner[1:] != owner[:-1]
    away = cv2.distanceTransform((~border).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(owner), np.asarray(away)


def _polish(bed: Field, stones: Field, away: Field, tilt: Field, rng: Rng) -> Field:
    """Stones over grout with bevelled edges, each tilted to the light by its own amount."""
    size = len(away)
    gap = size / 560 * (0.75 + 0.5 * fractal(size, 40, rng, 2))
    stone = smoothstep(gap - 1.0, gap + 1.0, away)
    dome = cv2.GaussianBlur(smoothstep(gap - 1, gap + size / 260, away), (0, 0), size / 900)
    down, across = np.gradient(dome)
    slope = np.tanh((down + across) * 4)[..., None]
    grain = (0.88 + 0.24 * fractal(size, 80, rng, 3))[..., None]
    lit = stones * grain * tilt[..., None] * (1 + 0.34 * slope)
    lit = lit + 0.10 * np.maximum(slope, 0) ** 2
    return mix(bed, np.clip(lit, 0, 1), stone)


def draw(size: int, seed: int) -> Picture:
    """Tessellated seascape, uint8 RGB size x size."""
    rng = np.random.default_rng(seed)
    x, y = grid(size)
    colour, angle = _mountains(*_sky(x, y), x, y)
    colour, angle = _sea(colour, angle, x, y)
    colour, angle = _fish(colour, angle, x, y)
    edges = np.hypot(*np.gradient(colour.mean(-1))) > 0.06
    seeds = _pack(3000, angle, edges, rng)
    glass = jitter(look_up(colour, seeds), rng, 0.05, 0.032)
    odd = rng.random(len(glass)) < 0.06
    glass[odd] = jitter(glass[odd], rng, 0.12, 0.08)
    owner, away = _facets(seeds, angle, size * 2)
    bed = ramp(fractal(size * 2, 60, rng, 3), _GROUT)
    tilt = rng.uniform(0.86, 1.14, len(seeds))[owner]
    return to_picture(_polish(bed, glass[owner], away, tilt, rng), size)
