"""How much of the style arrives and how much of the photograph stays, as two ratios.

Both on true VGG-19 maps (LAYERS), each divided by the photograph's mean activation in that layer.
Style: squared differences of channel means and standard deviations between painting and style,
averaged over layers, divided by the same for the untouched photograph: 0 is the style's own
statistics, 1 a photograph that was left alone. Content: mean squared difference of the channels
after each is given zero mean and unit deviation: 0 is the photograph, 2 is unrelated to it.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.data import SUFFIXES, load
from training.loss_network import LossNetwork
from training.losses import moments

LAYERS = ["1_1", "2_1", "3_1", "3_4"]

Maps = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of one photograph in one style."""

    photograph: str
    style: str
    style_ratio: float
    content: float


def read_folder(folder: Path, side: int) -> dict[str, Tensor]:
    """Pictures of a folder by name, NCHW in [0, 1], scaled to a short side of `side` px."""
    found = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES):
        picture = load(path, side)
        if picture is None:
            continue
        scale = side / min(picture.shape[:2])
        if scale > 1:
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        found[path.stem] = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    if not found:
        raise ValueError(f"no pictures in {folder}")
    return found


def style_distance(maps: Maps, style: Maps, scale: dict[str, float]) -> float:
    """Mean over layers of the squared differences of channel means and deviations."""
    total = 0.0
    for name in LAYERS:
        (m, s), (m2, s2) = moments(maps[name]), moments(style[name])
        total += (F.mse_loss(m, m2) + F.mse_loss(s, s2)).item() / scale[name] ** 2
    return total / len(LAYERS)


def content_distance(maps: Maps, photograph: Maps) -> float:
    """Mean over layers of the mean squared difference of normalised channels."""

    def normal(x: Tensor) -> Tensor:
        centred = x - x.mean((2, 3), keepdim=True)
        return centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()

    parts = [F.mse_loss(normal(maps[n]), normal(photograph[n])).item() for n in LAYERS]
    return sum(parts) / len(parts)


@torch.inference_mode()
def score(
    model: nn.Module,
    network: LossNetwork,
    photographs: dict[str, Tensor],
    styles: dict[str, Tensor],
) -> list[Score]:
    """Every photograph in every style."""
    wanted = {name: network(picture, LAYERS) for name, picture in styles.items()}
    codes = {name: model.encode_style(picture) for name, picture in styles.items()}
    scores = []
    for photo, picture in photographs.items():
        own = network(picture, LAYERS)
        scale = {n: m.mean().item() for n, m in own.items()}
        for style, code in codes.items():
            maps = network(model(picture, code), LAYERS)
            before = style_distance(own, wanted[style], scale)
            after = style_distance(maps, wanted[style], scale)
            scores.append(Score(photo, style, after / before, content_distance(maps, own)))
    return scores


def medians(scores: list[Score]) -> tuple[float, float]:
    """Median style ratio and median content distance."""
    return median(s.style_ratio for s in scores), median(s.content for s in scores)
