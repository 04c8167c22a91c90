"""Figures of a painting that need no network: structure kept (SSIM), colours reached (Chamfer),
texture beside edges (halos.py)."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from torch import Tensor

from evaluation.halos import halo
from evaluation.scene import Scene

COLOURS = 4096


class AppearanceJudge:
    """SSIM against the photograph, Chamfer distance of the colours against the style, halos."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, painted: Tensor, scene: Scene) -> dict[str, float]:
        """A painting (1,3,H,W) in [0, 1] -> figure: value."""
        found = {
            "ssim": ssim(to_pixels(painted), to_pixels(scene.picture)),
            "chamfer": chamfer(to_pixels(painted), to_pixels(scene.wanted), self.seed),
        }
        outline = halo(painted, scene.picture)
        return found if outline is None else found | {"halo": outline}


def to_pixels(picture: Tensor) -> NDArray[np.uint8]:
    """(1,3,H,W) or (3,H,W) in [0, 1] -> (H,W,3) uint8."""
    flat = picture.reshape(picture.shape[-3:]).permute(1, 2, 0)
    return flat.clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Structural similarity of the grey pictures (BT.601 luma), scikit-image's defaults: windows
    of 7x7, uniform, 8 bit. 1 is equal."""
    grey = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (a, b))
    return float(structural_similarity(*grey))


def chamfer(a: NDArray[np.uint8], b: NDArray[np.uint8], seed: int = 0) -> float:
    """Mean squared distance of each colour to the nearest one of the other picture, both ways
    added, in units of 0 to 255, on COLOURS pixels of each that `seed` draws."""
    first, second = draw(a, seed), draw(b, seed)
    # Not by matrix product, whose rounding would give equal colours a distance.
    distances = torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
    squares = [distances.amin(axis).square().mean().item() for axis in (0, 1)]
    return sum(squares)


def draw(picture: NDArray[np.uint8], seed: int) -> Tensor:
    """Colours (N,3) of pixels drawn without repetition; pictures of one size share positions."""
    colours = picture.reshape(-1, 3)
    count = min(COLOURS, len(colours))
    chosen = np.random.default_rng(seed).choice(len(colours), count, replace=False)
    return torch.from_numpy(colours[chosen]).float()
