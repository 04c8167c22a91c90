"""Pointillism: dense dots of pure complementary colour, a park beside bright water."""

import cv2
import numpy as np

from demo.painters.brush import look_up, scatter
from demo.painters.colour import jitter, mix, nearest, palette, ramp, to_picture
from demo.painters.noise import Field, Picture, Rng, fractal, grid, smoothstep, wander

_PURE = palette(
    "ffe14a ffb21f ff7a1f e8402c c02a5c 8a3a9c 4a3fa8 2450b0 2a86d0 62bfe6 b8e2ee 1f8f7a "
    "2f9a44 6fbf3a b6d84a 1a5a3c 17306a fff1c4 f6b8a8 5a2a5c"
)
_ACROSS = palette("ff7a1f 2a86d0 e8402c 8a3a9c ffe14a 4a3fa8 f6b8a8")


def _sky_and_lake(x: Field, y: Field, rng: Rng) -> Field:
    size = len(x)
    clouds = smoothstep(0.5, 0.72, fractal(size, 4, rng, 4, stretch=2.2))
    sky = ramp(y / 0.36, palette("3f7fd0 7fb6e4 c6dfe6 ffe3b0 ffc88a"))
    sky = mix(sky, palette("fff0d8")[0], clouds * 0.8)
    shimmer = fractal(size, 22, rng, 3, stretch=5)
    lake = ramp(np.clip(shimmer * 1.2 - 0.1, 0, 1), palette("1d4fa0 2f7fc4 6fb8dc 3f9fb0 ffe9a8"))
    glint = np.exp(-(((x - 0.44) / 0.07) ** 2)) * (shimmer > 0.5)
    lake = mix(lake, palette("fff0a0")[0], glint * 0.9)
    shore = 0.36 - 0.03 * np.abs(wander(size, 5, rng))[None]
    bank = ramp(fractal(size, 10, rng, 3), palette("2a5a8a 3f7f6a 6a9a5a 7a6aa0"))
    far = np.where((y > shore)[..., None], bank, sky)
    return np.where((y > 0.385)[..., None], lake, far)


def _meadow(colour: Field, x: Field, y: Field, rng: Rng) -> Field:
    size = len(x)
    edge = 0.60 + 0.20 * (x - 0.35) + 0.012 * wander(size, 6, rng)[None]
    shade = smoothstep(0.46, 0.56, fractal(size, 5, rng, 4, stretch=2.4))
    sunny = ramp(fractal(size, 9, rng, 3), palette("8fca3a c8dc4a f2e05a 9fc83a"))
    dark = ramp(fractal(size, 9, rng, 3), palette("1a4a5a 1f6a4a 2a3f86 2f8a4a"))
    grass = mix(sunny, dark, np.maximum(shade, smoothstep(0.82, 0.98, y)))
    blooms = smoothstep(0.74, 0.80, fractal(size, 26, rng, 2))
    bloom = ramp(fractal(size, 6, rng, 2), palette("e8402c ff7a9a fff1c4 c02a5c ffb21f"))
    grass = mix(grass, bloom, blooms * smoothstep(0.62, 0.8, y))
    return np.where((y > edge)[..., None], grass, colour)


def _trees(colour: Field, x: Field, y: Field, rng: Rng) -> Field:
    size = len(x)
    ragged = fractal(size, 9, rng, 4) - 0.5
    crowns = ((0.84, 0.20, 0.24, 0.19), (0.05, 0.30, 0.16, 0.17), (0.97, 0.36, 0.15, 0.12))
    for cx, foot in ((0.80, 0.78), (0.885, 0.83), (0.035, 0.66)):
        bark = ramp(np.clip((cx - x) * 28 + 0.5, 0, 1), palette("2a1a5c 7a3a5a d07a3a"))
        trunk = (np.abs(x - cx - 0.02 * np.sin(y * 9)) < 0.013) & (y > 0.25) & (y < foot)
        colour = np.where(trunk[..., None], bark, colour)
    for cx, cy, wide, tall in crowns:
        reach = np.hypot((x - cx) / wide, (y - cy) / tall) + ragged * 0.85
        sun = 0.5 - (x - cx) / wide * 0.35 - (y - cy) / tall * 0.4 + ragged * 0.9
        leaf = ramp(np.clip(sun, 0, 1), palette("17306a 1a5a4c 2f9a44 9fcc3a f4dc4a"))
        colour = np.where((reach < 0.95)[..., None], leaf, colour)
    return colour


def _sails(colour: Field, x: Field, y: Field) -> Field:
    for cx, foot, tall, hue in (
        (0.28, 0.52, 0.17, "fff3d8"),
        (0.55, 0.45, 0.095, "ffc8a0"),
        (0.405, 0.42, 0.055, "fff3d8"),
        (0.65, 0.42, 0.05, "ffd9b0"),
    ):
        up = (foot - y) / tall
        main = (up > 0.06) & (x > cx) & (x - cx < (1 - up) * tall * 0.5)
        jib = (up > 0.1) & (x < cx - 0.004) & (cx - x < (0.85 - up) * tall * 0.36)
        hull = (up < 0.04) & (up > -0.07) & (np.abs(x - cx - tall * 0.06) < tall * (0.42 + up))
        echo = (up < -0.07) & (up > -0.75) & (np.abs(x - cx - tall * 0.1) < tall * 0.2 * (1 + up))
        colour = np.where((main | jib)[..., None], palette(hue)[0], colour)
        colour = np.where(hull[..., None], palette("8a2a3c")[0], colour)
        colour = mix(colour, palette(hue)[0], echo * 0.55)
    return colour


def _strollers(colour: Field, x: Field, y: Field) -> Field:
    for cx, foot, tall, coat, top in ((0.50, 0.86, 0.17, "3a2a86", "e8402c"),
                                      (0.565, 0.85, 0.15, "c02a5c", "fff1c4"),
                                      (0.22, 0.76, 0.11, "2450b0", "ffb21f")):  # fmt: skip
        up = (foot - y) / tall
        skirt = (up > 0) & (up < 0.72) & (np.abs(x - cx) < tall * (0.21 - 0.15 * up))
        head = np.hypot(x - cx, y - foot + tall * 0.79) < tall * 0.075
        lid = np.hypot((x - cx) / 1.5, y - foot + tall * 0.93) < tall * 0.15
        lid &= y < foot - tall * 0.90
        cast = np.hypot((x - cx - tall * 0.3) / 3.4, (y - foot) / 0.55) < tall * 0.1
        for mask, hue in ((cast, "17306a"), (skirt, coat), (head, "f6b8a8"), (lid, top)):
            colour = np.where(mask[..., None], palette(hue)[0], colour)
    return colour


def _separate(colours: Field, rng: Rng) -> Field:
    """Replace each wanted colour by a pure pigment near it; a tenth by a complement."""
    wanted = jitter(colours, rng, 0.075, 0.085)
    pure = _PURE[nearest(wanted, _PURE)]
    dots = 0.62 * pure + 0.38 * wanted
    far = rng.random(len(dots)) < 0.07
    opposite = _ACROSS[rng.integers(0, len(_ACROSS), len(dots))]
    return np.where(far[:, None], 0.75 * opposite + 0.25 * colours, dots)


def _dab(image: Field, seeds: Field, colours: Field, radius: float, rng: Rng) -> None:
    size = image.shape[0]
    centres = np.round(seeds * size * 16).astype(int).tolist()
    radii = radius * size * 16 * rng.uniform(0.75, 1.2, len(seeds))
    axes = np.stack([radii * rng.uniform(1.0, 1.25, len(seeds)), radii], -1).astype(int).tolist()
    turns = rng.integers(0, 180, len(seeds)).tolist()
    for at, axis, turn, rgb in zip(centres, axes, turns, (colours * 255).tolist(), strict=True):
        box = ((at[0] / 16, at[1] / 16), (axis[0] / 8, axis[1] / 8), turn)
        cv2.ellipse(image, box, rgb, -1, cv2.LINE_AA)


def draw(size: int, seed: int) -> Picture:
    """Dotted lakeside park, uint8 RGB size x size."""
    rng = np.random.default_rng(seed)
    side = size * 2
    x, y = grid(side)
    scene = _meadow(_sky_and_lake(x, y, rng), x, y, rng)
    scene = _strollers(_trees(_sails(scene, x, y), x, y, rng), x, y)
    ground = 0.55 * scene + 0.45 * palette("e8dcc0")[0]
    image = np.ascontiguousarray(np.clip(ground * 255, 0, 255).astype(np.uint8))
    for radius, count in ((0.0078, 9000), (0.0058, 22000), (0.0042, 16000)):
        seeds = scatter(count, rng)
        _dab(image, seeds, _separate(look_up(scene, seeds), rng), radius, rng)
    return to_picture(image.astype(np.float32) / 255, size)
