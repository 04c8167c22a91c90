"""Molten: poured enamel, folded ribbons of magma and teal with glossy cells and drips."""

import cv2
import numpy as np

from demo.painters.colour import mix, palette, ramp, to_picture
from demo.painters.noise import Field, Picture, Rng, fractal, grid, sample, smoothstep

_POUR = palette(
    "12081f 3a0f3f 8f1238 d42a22 f4661b ffa928 fff0b0 f4b23c d2491f 5a1040 14122e 0c3f5a "
    "128a8f 4fd0b8 e8f4d8 1aa09a 0b3a5f 1a0c2c 7a1050 e83a6a ffb070 fff4d6 d88a2c 2a0c24"
)


def _folded(x: Field, y: Field, rng: Rng) -> Field:
    """A scalar in [0, 1] whose level lines are folded like poured paint."""
    size = len(x)
    for cells, push in ((1.6, 0.46), (3.0, 0.20), (7.0, 0.05)):
        shift = [fractal(size, cells, rng, 3) - 0.5 for _ in range(2)]
        x, y = x + push * sample(shift[0], x, y), y + push * sample(shift[1], x, y)
    base = fractal(size, 2.2, rng, 3, stretch=0.6)
    return sample(base, x, y)


def _cells(size: int, rng: Rng, count: int) -> tuple[Field, Field]:
    """Round silicone cells: their depth (0 outside to 1 centre) and a random number each."""
    depth, label = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    for _ in range(count):
        cx, cy = rng.random(2) * size
        radius = size * 0.010 * rng.pareto(2.2) + size * 0.004
        radius = min(radius, size * 0.045)
        left, top = int(max(cx - radius, 0)), int(max(cy - radius, 0))
        right, bottom = int(min(cx + radius, size - 1)) + 1, int(min(cy + radius, size - 1)) + 1
        down, across = np.mgrid[top:bottom, left:right]
        bowl = 1 - np.hypot(across - cx, down - cy) / radius
        patch = depth[top:bottom, left:right]
        label[top:bottom, left:right][bowl > patch] = rng.random()
        np.maximum(patch, bowl, out=patch)
    return depth, label


def _gloss(image: Field, height: Field, strength: float) -> Field:
    size = len(height)
    soft = cv2.GaussianBlur(height.astype(np.float32), (0, 0), size / 420)
    down, across = np.gradient(soft)
    slope = np.tanh((down + across) * size * 0.045)
    shine = smoothstep(0.55, 0.95, slope) * strength
    shaded = image * (1 + 0.20 * slope[..., None])
    return np.asarray(np.clip(shaded + shine[..., None] * 0.55, 0, 1))


def draw(size: int, seed: int) -> Picture:
    """Poured-paint abstraction, uint8 RGB size x size."""
    rng = np.random.default_rng(seed)
    side = size * 2
    x, y = grid(side)
    depth, label = _cells(side, rng, 300)
    warp = 0.03 * np.stack([fractal(side, 6, rng, 3) - 0.5 for _ in range(2)])
    depth, label = sample(depth, x + warp[0], y + warp[1]), sample(label, x + warp[0], y + warp[1])
    fold = _folded(x, y, rng)
    pour = fold * 2.9 + 0.55 * label * (depth > 0) + 0.10 * np.sqrt(np.clip(depth, 0, 1))
    turn = np.abs(pour % 2 - 1)
    colour = ramp(turn, _POUR)
    threads = np.abs((fold * 58) % 1 - 0.5) * 2
    dense = smoothstep(0.45, 0.65, fractal(side, 5, rng, 3))
    colour = mix(colour, palette("fff3d0")[0], smoothstep(0.80, 0.93, threads) * dense * 0.55)
    colour = mix(colour, palette("10061a")[0], smoothstep(0.22, 0.08, threads) * dense * 0.6)
    rim = smoothstep(0.0, 0.05, depth) * smoothstep(0.22, 0.08, depth)
    colour = mix(colour, palette("12081f")[0], rim * 0.8)
    height = 0.10 * np.sin(turn * 12) + np.sqrt(np.clip(depth, 0, 1)) * 0.35 + 0.05 * threads
    return to_picture(_gloss(colour, height, 0.9), size)
