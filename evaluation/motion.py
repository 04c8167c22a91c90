"""Clips with exactly known flow: a camera over a still photograph, a plane without occlusion.

A camera is a 3x3 matrix from pixels of the frame to pixels of the photograph. A pixel x of frame j
was at inverse(camera i) @ camera j @ x in frame i: closed form, nothing is estimated.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.temporal import Clip, Link, inside, linked, pixel_grid, sample

Cameras = NDArray[np.float64]

WINDOW = 2 / 3
"""Side of the frame as a share of the photograph's: the rest is room to move."""
NOISE = 3 / 255
"""Standard deviation of the noise of a resting camera in dim light."""


def travelling(photograph: Tensor, frames: int, rng: np.random.Generator) -> Cameras:
    """A smooth path (N,3,3): a pan on an ellipse of 1 to 2 percent of the frame a frame, a turn of
    up to 5 degrees, and a zoom in by up to a quarter (never out, which would alias)."""
    (height, width), size = photograph.shape[2:], frame_size(photograph)
    start, turn, zoom = rng.uniform(0, 2 * np.pi, 3)
    reach, direction = 0.15 * min(size), rng.choice([-1, 1])
    path = []
    for t in range(frames):
        angle = start + direction * 0.1 * t
        middle = (width - 1) / 2 + reach * np.cos(angle), (height - 1) / 2 + reach * np.sin(angle)
        tilt = np.radians(5) * np.sin(turn + 0.15 * t)
        scale = 1 - 0.125 * (1 + np.sin(zoom + 0.1 * t))
        path.append(camera(size, middle, tilt, scale))
    return np.stack(path)


def frame_size(photograph: Tensor) -> tuple[int, int]:
    """(height, width) of the frames over a photograph NCHW."""
    height, width = photograph.shape[2:]
    return round(height * WINDOW), round(width * WINDOW)


def camera(
    size: tuple[int, int], middle: tuple[float, float], tilt: float, scale: float
) -> NDArray[np.float64]:
    """The camera (3,3) whose frame of `size` has its middle at (x, y) px of the photograph, turned
    by `tilt` radians; a pixel of it is `scale` px of the photograph."""
    height, width = size
    c, s = scale * np.cos(tilt), scale * np.sin(tilt)
    turn = np.array([[c, -s, middle[0]], [s, c, middle[1]], [0, 0, 1]])
    centre = np.array([[1, 0, -(width - 1) / 2], [0, 1, -(height - 1) / 2], [0, 0, 1]])
    return np.asarray(turn @ centre, np.float64)


def moved(name: str, photograph: Tensor, cameras: Cameras, size: tuple[int, int]) -> Clip:
    """What the cameras see of a photograph (1,3,H,W). Frames stay float: rounding to 8 bits would
    add an error that no model makes."""
    grid = pixel_grid(*size)
    frames = torch.cat([sample(photograph, through(c, grid), "reflection") for c in cameras])
    links = []
    for early, late in linked(len(cameras)):
        positions = through(np.linalg.inv(cameras[early]) @ cameras[late], grid)
        links.append(Link(early, late, positions.float(), inside(positions, *size)))
    return Clip(name, frames.clamp(0, 1), links)


def resting(name: str, picture: Tensor, frames: int, seed: int) -> Clip:
    """A still picture (1,3,H,W) under fresh noise in each frame: all change is the noise's."""
    rng = torch.Generator().manual_seed(seed)
    noise = NOISE * torch.randn(frames, *picture.shape[1:], generator=rng)
    size = picture.shape[2], picture.shape[3]
    positions, seen = pixel_grid(*size).float(), torch.ones(size, dtype=torch.bool)
    links = [Link(t, t + 1, positions, seen) for t in range(frames - 1)]
    return Clip(name, (picture + noise).clamp(0, 1), links)


def through(matrix: NDArray[np.float64], grid: Tensor) -> Tensor:
    """Positions (H,W,2) mapped by a 3x3 matrix without perspective."""
    turn, shift = torch.from_numpy(matrix[:2, :2]), torch.from_numpy(matrix[:2, 2])
    return grid @ turn.mT + shift
