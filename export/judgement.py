"""Whether 8 bits cost a painting what `python -m evaluation` judges it by."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

import models
from engines import Frames
from engines.bearing import smooth
from engines.runtime import pad
from evaluation.course import load_vgg
from evaluation.scene import Judge, Scene
from export.options import Size
from export.parity import Open, as_torch, scalars
from export.pixels import Form
from models.pictures import STYLE_SIDE, read_style, style_sized

SHIPPED = Path(__file__).parents[1] / "styles"
JUDGE = "vgg_narrow"
"""Sees where no --vgg is named: the narrow encoder that ships."""
MOST_CHANGE = 0.05


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of evaluation, averaged over all paintings, of torch's and of the graphs'."""

    name: str
    torch: float
    exported: float

    def passes(self) -> bool:
        """Whether the graphs' is within 5 % of torch's."""
        return abs(self.exported - self.torch) <= MOST_CHANGE * self.torch

    def __str__(self) -> str:
        return f"{self.name} {self.exported:.4f}, torch {self.torch:.4f}"


def sight(vgg: str | None) -> Judge:
    """What judges, by this VGG-19 or by the encoder that ships. ConfigError: it is none."""
    return load_vgg(vgg or str(models.weights_file(JUDGE)))


def judge(
    model: nn.Module,
    form: Form,
    opened: Open,
    style: Path,
    frame: tuple[Size, Path],
    clip: list[Frames],
    see: Judge,
) -> list[Figure]:
    """Frames of the clip (1,H,W,3), scaled to the size of a frame side, in every style that ships
    (in made-up ones where none is installed), as `see` finds them."""
    (width, height), graph = frame
    encode, paint = opened(style), opened(graph)
    given, numbers = scalars(1.0)
    found: dict[str, list[tuple[float, float]]] = {}
    with torch.inference_mode():
        codes = [
            (name, look, model.encode_style(as_torch(look)), encode({"picture": look}))
            for name, look in looks()
        ]
        for i, whole in enumerate(clip):
            scaled = cv2.resize(whole[0], (width, height), interpolation=cv2.INTER_AREA)
            pixels = form.inputs(pad(np.asarray(scaled, np.uint8))[None])
            tensors = [torch.from_numpy(array) for array in pixels.values()]
            for name, look, theirs, ours in codes:
                scene = Scene(str(i), name, form.picture(*tensors), as_torch(look))
                out = form.side(model)(*tensors, *numbers, theirs)
                wanted = form.picture(*(out if isinstance(out, tuple) else (out,)))
                got = paint({**pixels, **given, **ours})
                exported = form.picture(*(torch.from_numpy(got[n]) for n in form.outputs))
                after = see(exported, scene)
                for key, before in see(wanted, scene).items():
                    found.setdefault(key, []).append((before, after[key]))
    return [Figure(key, *map(float, np.mean(pairs, 0))) for key, pairs in found.items()]


def looks() -> list[tuple[str, Frames]]:
    """Name and pixels (1,H,W,3) of each style."""
    shipped = [
        (p.stem, style_sized(read_style(p)[0])[None].copy()) for p in sorted(SHIPPED.glob("*.jpg"))
    ]
    return shipped or [(str(i), smooth(STYLE_SIDE, STYLE_SIDE, i)) for i in range(5)]
