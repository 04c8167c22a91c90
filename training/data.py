"""Pictures in memory, random crops, and second views of a photograph under a known motion."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


class Pictures:
    """All pictures of some folders, decoded once; `batch` draws random square crops."""

    def __init__(self, folders: list[Path], short_side: int) -> None:
        paths = sorted(p for f in folders for p in f.rglob("*") if p.suffix.lower() in SUFFIXES)
        if not paths:
            raise ValueError(f"no pictures in {', '.join(map(str, folders))}")
        self.pictures = [p for p in (load(path, short_side) for path in paths) if p is not None]

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, count: int, side: int, closest: float, rng: np.random.Generator) -> Tensor:
        """`count` crops (N,3,side,side) in [0, 1]: flipped at random, from the whole short side
        down to `closest` of it, at random."""
        crops = [self._crop(side, closest, rng) for _ in range(count)]
        batch = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
        return batch.contiguous(memory_format=torch.channels_last).float() / 255

    def _crop(self, side: int, closest: float, rng: np.random.Generator) -> np.ndarray:
        picture = self.pictures[rng.integers(len(self.pictures))]
        h, w = picture.shape[:2]
        n = round(min(h, w) * rng.uniform(closest, 1))
        y, x = rng.integers(h - n + 1), rng.integers(w - n + 1)
        crop = cv2.resize(picture[y : y + n, x : x + n], (side, side), interpolation=cv2.INTER_AREA)
        return crop[:, ::-1] if rng.random() < 0.5 else crop


def load(path: Path, short_side: int) -> np.ndarray | None:
    """Decode to RGB uint8 with at most `short_side` px; None for what is no picture."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        return None
    scale = short_side / min(picture.shape[:2])
    if scale >= 1:
        return picture
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def second_view(x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Photographs NCHW -> the same after a small smooth motion, exposure change and noise, with
    the sampling grid (N,H,W,2) of the motion. The flow is known exactly, nothing is estimated."""
    n, _, h, w = x.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng) * 2 - 1

    theta = torch.eye(2, 3).repeat(n, 1, 1) + 0.04 * uniform(n, 2, 3)
    bend = F.interpolate(0.02 * uniform(n, 2, 4, 4), (h, w), mode="bicubic", align_corners=True)
    grid = F.affine_grid(theta, [n, 3, h, w], align_corners=False) + bend.movedim(1, 3)
    view = F.grid_sample(x, grid, align_corners=False, padding_mode="reflection")
    noise = torch.randn(x.shape, generator=rng) * 0.03 * torch.rand(n, 1, 1, 1, generator=rng)
    return (view * (1 + 0.04 * uniform(n, 1, 1, 1)) + noise).clamp(0, 1), grid
