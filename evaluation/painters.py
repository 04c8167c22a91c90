"""What is judged: models that paint by the name of a style, and the photograph left alone."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

import models
from pipeline.errors import ConfigError

UNTOUCHED = "untouched"

Painter = Callable[[Tensor, str], Tensor]
"""Frames (N,3,H,W) in [0, 1] and the name of a style -> painted frames."""


class ModelPainter:
    """A model at full strength; each style is encoded once."""

    def __init__(self, model: nn.Module, styles: dict[str, Tensor]) -> None:
        self._model, self._styles = model, styles
        self._codes: dict[str, dict[str, Tensor]] = {}

    def __call__(self, frames: Tensor, style: str) -> Tensor:
        if style not in self._codes:
            self._codes[style] = self._model.encode_style(self._styles[style])
        return self._model(frames, self._codes[style], 1.0)


def untouched(frames: Tensor, style: str) -> Tensor:
    """The frames themselves: what every figure says of a photograph that nobody painted."""
    return frames


def load_painters(names: list[str], styles: dict[str, Tensor]) -> dict[str, Painter]:
    """{name shown: painter} of models that ship and of weights files; ConfigError for others."""
    if len(set(names)) < len(names):
        raise ConfigError("a model is named twice")
    short = [Path(name).stem if Path(name).suffix else name for name in names]
    shown = short if len(set(short)) == len(short) and UNTOUCHED not in short else names
    try:
        return {
            label: ModelPainter(models.load(name), styles)
            for label, name in zip(shown, names, strict=True)
        }
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error
