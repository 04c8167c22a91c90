"""Pictures in memory, random crops, and second views of a photograph under a known motion."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models import pictures
from training.names import printable

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
SURVEY = 32

Pixels = NDArray[Any]


class Window(NamedTuple):
    """A square of a picture, px, mirrored or not."""

    y: int
    x: int
    side: int
    mirrored: bool


class Pictures:
    """Decoded RGB pictures (H,W,3); `batch` draws random square crops of them."""

    def __init__(self, pictures: Sequence[Pixels]) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(
        self, count: int, side: int, closest: float, rng: np.random.Generator, times: int = 1
    ) -> Tensor:
        """`count` crops (N,3,side,side) in [0, 1]: flipped at random, from the whole short side
        down to `closest` of it, at random. `times`: then as many others of the same pictures."""
        crops = []
        for _ in range(count):
            picture = self.pictures[rng.integers(len(self.pictures))]
            crops.append([crop(picture, window(picture, closest, rng), side) for _ in range(times)])
        return batch([views[i] for i in range(times) for views in crops])

    def survey(self, count: int, side: int) -> Iterator[Tensor]:
        """The same batches every time, of crops over the whole short side: for calibration."""
        rng = np.random.default_rng(0)
        for _ in range(SURVEY):
            yield self.batch(count, side, 1.0, rng)


def window(picture: Pixels, closest: float, rng: np.random.Generator) -> Window:
    """Where to crop a picture, at random."""
    h, w = picture.shape[:2]
    n = round(min(h, w) * rng.uniform(closest, 1))
    y, x = rng.integers(h - n + 1), rng.integers(w - n + 1)
    return Window(int(y), int(x), n, rng.random() < 0.5)


def crop(picture: Pixels, at: Window, side: int) -> Pixels:
    """The window of a picture, scaled to (side,side,3)."""
    part = picture[at.y : at.y + at.side, at.x : at.x + at.side]
    # INTER_AREA repeats pixels where it enlarges.
    how = cv2.INTER_AREA if at.side > side else cv2.INTER_CUBIC
    part = cv2.resize(part, (side, side), interpolation=how)
    return part[:, ::-1] if at.mirrored else part


def batch(crops: list[Pixels]) -> Tensor:
    """RGB uint8 pictures (H,W,3) of one size -> (N,3,H,W) in [0, 1], channels last in memory."""
    stacked = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
    return stacked.contiguous(memory_format=torch.channels_last).float() / 255


def read(folders: Sequence[str], short_side: int) -> list[Pixels]:
    """All pictures of some folders, decoded. Those that cannot be used are named and left out.
    ValueError when there is none."""
    if not folders:
        raise ValueError("no pictures: name folders of them with --content (or --clips), --style")
    found = []
    for path in files(folders, SUFFIXES, "pictures"):
        try:
            found.append(load(path, short_side))
        except (ValueError, OSError) as error:
            print(printable(f"left out: {path}: {error}"), flush=True)
    if not found:
        raise ValueError(f"no pictures in {', '.join(folders)}")
    return found


def files(folders: Sequence[str], suffixes: set[str], what: str) -> list[Path]:
    """All files with these suffixes, sorted. ValueError names a folder without any: beside others
    that have some, a misspelt one would be missed by nobody."""
    found: list[Path] = []
    for folder in folders:
        inside = [p for p in Path(folder).rglob("*") if p.suffix.lower() in suffixes]
        if not inside:
            why = "" if Path(folder).is_dir() else ": there is no such folder"
            raise ValueError(f"no {what} in {folder}{why}")
        found += inside
    return sorted(found)


def load(path: Path, short_side: int) -> Pixels:
    """Decode to RGB uint8 with at most `short_side` px, as styles of a stream are. ValueError for
    what is no picture, or too small or too large a one; OSError."""
    picture, _ = pictures.read_style(path)
    scale = short_side / min(picture.shape[:2])
    if scale >= 1:
        return picture
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def second_view(x: Tensor) -> tuple[Tensor, Tensor]:
    """Photographs NCHW -> the same after a small smooth motion, exposure change and noise, with
    the sampling grid (N,H,W,2) of the motion. The flow is known exactly, nothing is estimated."""
    n, _, h, w = x.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape) * 2 - 1

    theta = torch.eye(2, 3).repeat(n, 1, 1) + 0.04 * uniform(n, 2, 3)
    bend = F.interpolate(0.02 * uniform(n, 2, 4, 4), (h, w), mode="bicubic", align_corners=True)
    grid = F.affine_grid(theta, [n, 3, h, w], align_corners=False) + bend.movedim(1, 3)
    view = F.grid_sample(x, grid, align_corners=False, padding_mode="reflection")
    noise = torch.randn(x.shape) * 0.03 * torch.rand(n, 1, 1, 1)
    return (view * (1 + 0.04 * uniform(n, 1, 1, 1)) + noise).clamp(0, 1), grid
