"""A model as two ONNX graphs, for pictures and frames of any size.

`style`: `picture` uint8 RGB (1,H,W,3), sized as by models.pictures.style_sized -> the tensors of
its code by their names. `frame`, one for every style: `frames` uint8 RGB (1,H,W,3), sides whole
multiples of MULTIPLE, two of them at least; `strength` and `keep_color`, float scalars; and the
tensors of a code -> `painted` like `frames`. What the engines around it do: pad and crop.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from onnxscript.optimizer import optimize
from torch import Tensor, nn

from engines.pytorch import LUMA
from engines.runtime import LEAST, MULTIPLE
from models.styles import Code

SIDE = 256
"""px, of the example that the graph is traced with."""
MOST = 1024
"""Multiples a side: pictures up to 16,384 px."""


class FrameSide(nn.Module):
    """What happens to a frame: from bytes to bytes, with colour kept or not by a factor."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor, strength: Tensor, keep_color: Tensor, code: Code) -> Tensor:
        return rounded(*self.levels(frames, strength, keep_color, code))

    def levels(
        self, frames: Tensor, strength: Tensor, keep_color: Tensor, code: Code
    ) -> tuple[Tensor]:
        """What is rounded to the bytes that come out: NHWC, 0 to 255."""
        return (self.paint(frames.float() / 255, strength, keep_color, code) * 255,)

    def paint(self, content: Tensor, strength: Tensor, keep_color: Tensor, code: Code) -> Tensor:
        """Float NHWC in [0, 1] -> the same, in the order in which bytes lie: copies of a whole
        frame into another cost OpenVINO as much as large convolutions."""
        painted = self.model(content.permute(0, 3, 1, 2), code, strength).permute(0, 2, 3, 1)
        colour = torch.eye(3, device=painted.device) - painted.new_tensor(LUMA)[:, None]
        # The factor first: it has no axes, and so OpenVINO leaves the order of these.
        return (painted + (keep_color * (content - painted)) @ colour).clamp(0, 1)


class StyleSide(nn.Module):
    """What happens to a style: from the bytes of a picture to its code, in the order of names."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.encode_style(scaled(picture)).values())


def scaled(picture: Tensor) -> Tensor:
    """Bytes NHWC -> float NCHW in [0, 1]. TensorRT takes bytes at the very ends of a graph only, so
    here they are cast first, and last at the other end."""
    return (picture.float() / 255).permute(0, 3, 1, 2)


def rounded(levels: Tensor) -> Tensor:
    """0 to 255 -> bytes."""
    return levels.round().to(torch.uint8)


def adds(code: Code) -> bool:
    """Whether codes of this model have one shape for every style: only then does one graph do."""
    return not any(name.endswith(".share") for name in code)


def example(model: nn.Module) -> Code:
    """A code of this model. ValueError: its codes have no fixed shape."""
    with torch.inference_mode():
        code: Code = model.encode_style(torch.rand(1, 3, 64, 64))
    if not adds(code):
        raise ValueError(
            "its style codes hold whole pictures, so no graph fits every style: only torch runs it"
        )
    return {name: tensor.clone() for name, tensor in code.items()}


def write_style(model: nn.Module, path: Path) -> None:
    """Trace the style side and write its graph."""
    trace(StyleSide(model), path, [bytes_of(3)], {}, ["picture"], list(example(model)))


def write_frame(model: nn.Module, path: Path) -> None:
    """Trace the frame side and write its graph."""
    code = example(model)
    # Two tensors: one tensor in two places would be traced as one input.
    beside = {"strength": torch.tensor(1.0), "keep_color": torch.tensor(0.0), "code": code}
    names = ["frames", "strength", "keep_color", *code]
    trace(FrameSide(model), path, [bytes_of(3)], beside, names, ["painted"])


def bytes_of(channels: int, part: int = 1) -> Tensor:
    """The example that graphs are traced with; `part`: of a plane whose sides are that much less.

    Not square, and apart from the width of any layer: equal numbers would be taken for one.
    """
    return torch.zeros(1, SIDE // part, (SIDE + 5 * MULTIPLE) // part, channels, dtype=torch.uint8)


def trace(
    module: nn.Module,
    path: Path,
    pictures: list[Tensor],
    beside: dict[str, Any],
    inputs: list[str],
    outputs: list[str],
) -> None:
    """Write a module as an ONNX file. Its first inputs are `pictures` (1,H,W,C) of any size; those
    `beside` them are of fixed shape."""
    high, wide = (torch.export.Dim(n, min=LEAST, max=MOST) for n in ("high", "wide"))
    shapes: dict[str, Any] = {
        n: dict.fromkeys(v) if isinstance(v, dict) else None for n, v in beside.items()
    }
    for name, picture in zip(inputs, pictures, strict=False):
        step = MULTIPLE * picture.shape[1] // SIDE
        shapes[name] = {1: step * high, 2: step * wide}
    # It warns of torchvision, which is not wanted, and of its own deprecations.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            tuple(pictures),
            kwargs=beside,
            dynamo=True,
            verbose=False,
            optimize=False,  # below
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
        )
    # Parts of weights stand in the graph as such: unasked the larger ones are cut out at each run.
    optimize(program.model, input_size_limit=1 << 20)
    program.save(path, external_data=False)
