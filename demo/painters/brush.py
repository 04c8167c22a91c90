"""Bristled brush strokes that follow a direction field, with paint relief."""

from dataclasses import dataclass

import cv2
import numpy as np

from demo.painters.colour import jitter
from demo.painters.noise import Field, Rng

_SHIFT = 3  # cv2 fixed-point bits: sub-pixel strokes


@dataclass(frozen=True, slots=True)
class Brush:
    """Stroke shape in fractions of the picture's side, and how unevenly it is loaded."""

    length: float
    width: float
    bristles: int = 7
    light: float = 0.05
    tint: float = 0.025
    streak: float = 0.04
    wobble: float = 0.12
    ridge: float = 1.0


@dataclass(slots=True)
class Canvas:
    """Wet paint: colour uint8 RGB and thickness uint8, both the same side."""

    colour: Field
    height: Field

    @classmethod
    def primed(cls, ground: Field) -> "Canvas":
        """A flat canvas with a float RGB ground colour image."""
        colour = np.ascontiguousarray(np.clip(ground * 255, 0, 255).astype(np.uint8))
        return cls(colour, np.full(colour.shape[:2], 70, np.uint8))

    def lit(self, depth: float = 1.0, gloss: float = 0.12, blur_px: float = 0.8) -> Field:
        """Float RGB under raking light from the upper left; depth scales the relief."""
        height = cv2.GaussianBlur(self.height.astype(np.float32) / 255, (0, 0), blur_px)
        slope = np.roll(height, -1, 0) - np.roll(height, 1, 0)
        slope += np.roll(height, -1, 1) - np.roll(height, 1, 1)
        slope = np.tanh(slope * depth * 1.6)[..., None]
        base = self.colour.astype(np.float32) / 255
        shaded = base * (1 + 0.42 * slope) + gloss * np.maximum(slope, 0) ** 2
        return np.asarray(np.clip(shaded, 0, 1))


def scatter(count: int, rng: Rng, mask: Field | None = None) -> Field:
    """About `count` jittered-grid seeds (N x 2 unit xy, shuffled), kept where mask > random."""
    side = max(1, round(count**0.5))
    cell = (np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1)).reshape(-1, 2)
    seeds = (cell + rng.uniform(0, 1, cell.shape)) / side * 1.06 - 0.03
    if mask is not None:
        seeds = seeds[look_up(mask, seeds) > rng.random(len(seeds))]
    return np.asarray(rng.permutation(seeds))


def look_up(field: Field, points: Field) -> Field:
    """Nearest-pixel values of a field at unit xy points (... x 2), clamped to the border."""
    size = field.shape[0]
    at = np.clip((points * size).astype(int), 0, size - 1)
    return np.asarray(field[at[..., 1], at[..., 0]])


def trace(angle: Field, seeds: Field, length: Field, steps: int = 7) -> Field:
    """Streamlines of a direction field centred on seeds: N x steps x 2 unit xy."""
    halves = []
    for sign, count in ((-1, steps // 2), (1, steps - 1 - steps // 2)):
        point, path = seeds.copy(), []
        for _ in range(count):
            turn = look_up(angle, point)
            heading = np.stack([np.cos(turn), np.sin(turn)], -1)
            point = point + sign * heading * (length / (steps - 1))[:, None]
            path.append(point)
        halves.append(path)
    return np.stack([*halves[0][::-1], seeds, *halves[1]], 1)


def _normals(paths: Field) -> Field:
    tangent = np.gradient(paths, axis=1)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-9
    return np.stack([-tangent[..., 1], tangent[..., 0]], -1)


def _bristle_paths(paths: Field, brush: Brush, scale: Field, rng: Rng) -> Field:
    across = np.linspace(-0.5, 0.5, brush.bristles)
    belly = np.sin(np.linspace(0.35, np.pi - 0.25, paths.shape[1])) ** 0.5
    spread = across[None, :, None] * belly[None, None, :] * (brush.width * scale)[:, None, None]
    spread = spread + rng.normal(0, brush.width * brush.wobble / brush.bristles, spread.shape)
    return np.asarray(paths[:, None] + _normals(paths)[:, None] * spread[..., None])


def stroke(canvas: Canvas, paths: Field, colours: Field, brush: Brush, rng: Rng) -> None:
    """Lay strokes along paths (N x K x 2) in order, one RGB float colour each."""
    size = canvas.colour.shape[0]
    scale = rng.uniform(0.7, 1.25, len(paths))
    lines = _bristle_paths(paths, brush, scale, rng) * size * 2**_SHIFT
    lines = np.round(lines).astype(np.int32)
    body = jitter(colours, rng, brush.light, brush.tint)[:, None]
    tones = jitter(np.repeat(body, brush.bristles, 1), rng, brush.streak, brush.streak / 4) * 255
    relief = 168 + rng.uniform(-88, 87, tones.shape[:2]) * brush.ridge
    relief *= rng.uniform(0.6, 1, (len(paths), 1))
    relief[:, [0, -1]] = np.maximum(relief[:, [0, -1]], 190)  # paint is pushed to the rims
    thick = max(1, round(brush.width * size / brush.bristles * 1.5))
    for bundle, tint, high in zip(lines, tones.tolist(), relief.tolist(), strict=True):
        for line, rgb, level in zip(bundle, tint, high, strict=True):
            cv2.polylines(canvas.colour, [line], False, rgb, thick, cv2.LINE_AA, _SHIFT)
            cv2.polylines(canvas.height, [line], False, level, thick, cv2.LINE_AA, _SHIFT)


def paint(
    canvas: Canvas, reference: Field, angle: Field, brush: Brush, seeds: Field, rng: Rng
) -> None:
    """Cover seeds with strokes coloured by a float RGB reference and led by an angle field."""
    length = brush.length * rng.uniform(0.6, 1.3, len(seeds))
    paths = trace(angle, seeds, length)
    stroke(canvas, paths, look_up(reference, seeds), brush, rng)
