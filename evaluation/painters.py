"""What is judged: models that paint by the name of a style, and the photograph left alone."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import models
from evaluation.appearance import to_pixels
from models import styles
from pipeline.errors import ConfigError
from pipeline.frame import Frame, Pixels
from pipeline.keyframes import KeyFrames, Painting

UNTOUCHED = "untouched"
RATE = Fraction(1, 25)

Painter = Callable[[Tensor, str], Tensor]
"""Frames (N,3,H,W) in [0, 1], of one clip in their order, and the name of a style -> painted
frames."""


class ModelPainter:
    """A model at full strength, a frame at a time as in a stream, or as a picture that stands
    alone; each style is encoded once."""

    def __init__(self, model: nn.Module, pictures: dict[str, Tensor]) -> None:
        self._model, self._pictures = model, pictures
        self.paints_stills = hasattr(model, "still")
        self._codes: dict[str, dict[str, Tensor]] = {}

    def __call__(self, frames: Tensor, style: str) -> Tensor:
        if style not in self._codes:
            self._codes[style] = styles.encode(self._model, to_pixels(self._pictures[style]))
        paint = self._model
        if len(frames) == 1:
            paint = getattr(self._model, "still", paint)
        return torch.cat([paint(frame[None], self._codes[style], 1.0) for frame in frames])


class KeyFramePainter(ModelPainter):
    """A model whose clips are painted by key frames, and follow these by their motion."""

    def __call__(self, frames: Tensor, style: str) -> Tensor:
        if len(frames) == 1:
            return super().__call__(frames, style)
        clip = [Frame(i, i, RATE, to_pixels(frame[None])) for i, frame in enumerate(frames)]
        keys = KeyFrames(lambda: iter(clip), (), partial(self._paint_key, style))
        return torch.cat([as_frames(ended(keys.paint(f.index, f.pixels))) for f in clip])

    def _paint_key(self, style: str, time_s: float, pixels: Pixels) -> Painting:
        yield 0.0
        return to_pixels(super().__call__(as_frames(pixels), style))


def as_frames(pixels: Pixels) -> Tensor:
    """(H,W,3) uint8 -> (1,3,H,W) in [0, 1]."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


def ended(painting: Painting) -> Pixels:
    """What it comes to."""
    while True:
        try:
            next(painting)
        except StopIteration as finished:
            pixels: Pixels = finished.value
            return pixels


def untouched(frames: Tensor, style: str) -> Tensor:
    """The frames themselves: what every figure says of a photograph that nobody painted."""
    return frames


def painter(name: str) -> type[ModelPainter]:
    """What paints clips as `run_stream.py` would."""
    return KeyFramePainter if models.optimises(name) else ModelPainter


def load_painters(names: list[str], pictures: dict[str, Tensor]) -> dict[str, Painter]:
    """{name shown: painter} of models that ship and of weights files; ConfigError for others."""
    if len(set(names)) < len(names):
        raise ConfigError("a model is named twice")
    short = [Path(name).stem if Path(name).suffix else name for name in names]
    shown = short if len(set(short)) == len(short) and UNTOUCHED not in short else names
    try:
        return {
            label: painter(name)(models.load(name), pictures)
            for label, name in zip(shown, names, strict=True)
        }
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error
