"""A model's style side as an ONNX graph: `picture` uint8 RGB (1,H,W,3) -> the tensors of its code.

Sides are whole multiples of 16, 32 px at least; a short side of 384 px is what the stream uses.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from engines.graph import trace


class StyleSide(nn.Module):
    """From the bytes of a picture to its code, in the order of the code's names."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.encode_style(picture.permute(0, 3, 1, 2).float() / 255).values())


def write_style_graph(model: nn.Module, path: Path) -> None:
    """Trace the style side and write its graph."""
    names = list(model.encode_style(torch.rand(1, 3, 64, 64)))
    trace(StyleSide(model), path, {}, ["picture"], names)
