"""Mosaic: hand-cut tesserae packed in curved rows, a sun over sea with a peacock-blue fish."""

import cv2
import numpy as np

from demo.painters.brush import look_up, scatter
from demo.painters.colour import jitter, mix, palette, ramp, to_picture
from demo.painters.noise import Field, Picture, Rng, fractal, grid, sample, smoothstep

_GROUT = palette("3a2c26 6b5646")
_FISH = ((0.60, 0.70, 0.165, -0.25), (0.24, 0.83, 0.115, 0.2))
_SUN = (0.34, 0.27, 0.105)


def _sky(x: Field, y: Field) -> tuple[Field, Field]:
    cx, cy, radius = _SUN
    reach, turn = np.hypot(x - cx, y - cy), np.arctan2(y - cy, x - cx)
    rings = palette("fff0b0 f8cf5a efa93a e27d3a c9563a b8473f 8f3a4a 5d3558 3d3a66 2c3f70 27406e")
    colour = ramp(np.clip((reach - radius) / 0.62, 0, 1), rings)
    rays = (np.sin(turn * 14) > 0.15) & (reach > radius + 0.025) & (reach < 0.30)
    colour = np.where(rays[..., None], palette("f6c94a")[0], colour)
    colour = np.where((reach < radius + 0.022)[..., None], palette("a8352c")[0], colour)
    colour = np.where((reach < radius)[..., None], palette("f9d24e")[0], colour)
    colour = np.where((reach < radius * 0.55)[..., None], palette("fff1a8")[0], colour)
    return colour, turn + np.pi / 2


def _mountains(colour: Field, angle: Field, x: Field, y: Field) -> tuple[Field, Field]:
    for crest, hues in (
        (0.44 - 0.10 * np.sin(x * 5.2 + 2.4) - 0.02 * np.sin(x * 17), "e8a87c c76b4a 9a4436 6f3040"),
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
        for mask, paint in ((tail | fin, palette("d8542f")[0]), (body, scale),
                            (eye < 0.13, palette("fdf6e0")[0]), (eye < 0.075, palette("14202e")[0])):
            colour = np.where(mask[..., None], paint, colour)
        lean = tilt + np.arctan(-1.3 * u * v)
        angle = np.where(body | tail | fin, lean + np.pi / 2 * (tail & ~body), angle)
    return colour, angle


def _border(colour: Field, angle: Field, x: Field, y: Field) -> tuple[Field, Field]:
    rim = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    run = np.where(np.minimum(x, 1 - x) < np.minimum(y, 1 - y), y, x)
    wave = np.sin(run * 2 * np.pi * 12) * 0.011
    guilloche = np.where(
        (rim > 0.027 + wave)[..., None], palette("d9a441")[0], palette("9c3b2e")[0]
    )
    guilloche = np.where((rim < 0.011)[..., None], palette("1f5f6a")[0], guilloche)
    guilloche = np.where((rim > 0.045)[..., None], palette("efe3c6")[0], guilloche)
    inside = rim < 0.057
    flat = np.where(np.minimum(x, 1 - x) < np.minimum(y, 1 - y), np.pi / 2, 0)
    return np.where(inside[..., None], guilloche, colour), np.where(inside, flat, angle)


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


def _pack(count: int, angle: Field, walls: Field, rng: Rng, rounds: int = 14) -> Field:
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


def _cut(seeds: Field, angle: Field, half: float, rng: Rng) -> Field:
    """Four jittered corners (N x 4 x 2 unit xy) of each stone, lined up with the field."""
    turn = look_up(angle, seeds) + rng.normal(0, 0.06, len(seeds))
    along = np.stack([np.cos(turn), np.sin(turn)], -1)[:, None]
    aside = np.stack([-np.sin(turn), np.cos(turn)], -1)[:, None]
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    grow = half * rng.uniform(0.90, 1.10, (len(seeds), 1, 2))
    corner = signs[None] * grow + rng.normal(0, half * 0.10, (len(seeds), 4, 2))
    return np.asarray(seeds[:, None] + along * corner[..., :1] + aside * corner[..., 1:])


def _set_stones(image: Field, height: Field, corners: Field, colours: Field, rng: Rng) -> None:
    size = image.shape[0]
    points = np.round(corners * size * 8).astype(np.int32)
    levels = rng.uniform(170, 255, len(points)).tolist()
    for shape, rgb, level in zip(points, (colours * 255).tolist(), levels, strict=True):
        cv2.fillConvexPoly(image, shape, rgb, cv2.LINE_AA, 3)
        cv2.fillConvexPoly(height, shape, level, cv2.LINE_AA, 3)


def _polish(image: Field, height: Field, rng: Rng) -> Field:
    """Bevelled edges, a slight tilt of light and mineral grain inside each stone."""
    size = image.shape[0]
    bevel = cv2.GaussianBlur(height.astype(np.float32) / 255, (0, 0), size / 700)
    slope = np.roll(bevel, -1, 0) - np.roll(bevel, 1, 0)
    slope = slope + np.roll(bevel, -1, 1) - np.roll(bevel, 1, 1)
    grain = 0.90 + 0.20 * fractal(size, 80, rng, 3)
    lit = image.astype(np.float32) / 255 * grain[..., None] * (1 + 0.55 * slope[..., None])
    return np.asarray(np.clip(lit + 0.16 * np.maximum(slope, 0)[..., None] ** 2, 0, 1))


def draw(size: int, seed: int) -> Picture:
    """Tessellated seascape, uint8 RGB size x size."""
    rng = np.random.default_rng(seed)
    x, y = grid(size)
    colour, angle = _mountains(*_sky(x, y), x, y)
    colour, angle = _sea(colour, angle, x, y)
    colour, angle = _border(*_fish(colour, angle, x, y), x, y)
    edges = np.hypot(*np.gradient(colour.mean(-1))) > 0.05
    count = 3300
    seeds = _pack(count, angle, edges, rng)
    stones = jitter(look_up(colour, seeds), rng, 0.055, 0.03)
    odd = rng.random(len(stones)) < 0.05
    stones[odd] = jitter(stones[odd], rng, 0.12, 0.08)
    corners = _cut(seeds, angle, 0.445 / count**0.5, rng)
    bed = ramp(sample(fractal(size, 60, rng, 3), *grid(size * 2)), _GROUT)
    image = np.ascontiguousarray((bed * 255).astype(np.uint8))
    height = np.full(image.shape[:2], 40, np.uint8)
    _set_stones(image, height, corners, stones, rng)
    return to_picture(_polish(image, height, rng), size)
