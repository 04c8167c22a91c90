"""Smooth random fields, coordinate grids and small array types for the painters."""

from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Field: TypeAlias = npt.NDArray[Any]
Picture: TypeAlias = npt.NDArray[np.uint8]
Rng: TypeAlias = np.random.Generator


def grid(size: int) -> tuple[Field, Field]:
    """x and y of every pixel centre, float32 size x size, each in (0, 1)."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid(axis, axis)
    return x, y


def value_noise(size: int, cells: float, rng: Rng, stretch: float = 1.0) -> Field:
    """Smooth noise about [0, 1], `cells` blobs down and cells/stretch across the picture."""
    down, across = max(2, round(cells)) + 3, max(2, round(cells / stretch)) + 3
    coarse = rng.random((down, across)).astype(np.float32)
    big = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(big)


def fractal(size: int, cells: float, rng: Rng, octaves: int = 5, stretch: float = 1.0) -> Field:
    """Sum of octaves of value noise stretched to exactly [0, 1]."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        total += value_noise(size, cells * 2**octave, rng, stretch) * 0.5**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low)


def sample(field: Field, x: Field, y: Field) -> Field:
    """Bilinear look-up of a field at unit coordinates, mirrored beyond the border."""
    size = field.shape[0]
    map_x = np.asarray(x * size - 0.5, np.float32)
    map_y = np.asarray(y * size - 0.5, np.float32)
    return np.asarray(cv2.remap(field, map_x, map_y, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT))


def wander(length: int, bumps: float, rng: Rng) -> Field:
    """Smooth 1-D curve of `length` samples in [-1, 1] with about `bumps` hills."""
    knots = rng.uniform(-1, 1, (1, max(4, round(bumps * 2) + 3))).astype(np.float32)
    curve = cv2.resize(knots, (length, 1), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(curve[0], -1, 1))


def smoothstep(low: float | Field, high: float | Field, value: Field) -> Field:
    """0 below `low`, 1 above `high`, an eased ramp between; low may exceed high."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
