"""How frames go into a frame side and come out: RGB, or the two planes of NV12.

NV12 is what video hardware decodes to and encodes from: `y` (1,H,W,1) and `uv` (1,H/2,W/2,2), Cb
and Cr beside each other, each pair for four pixels; uint8, limited range, here by the matrix of
BT.709 (ITU-R BT.709-6, section 3), which HD video has.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.compose
import onnx.utils
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from engines import Frames
from engines.graph import FrameSide, bytes_of, rounded, scaled, trace
from engines.precision import cast_bytes_first
from models.styles import Code

Arrays = Mapping[str, NDArray[np.generic]]

RED, BLUE = 0.2126, 0.0722
"""Shares of luma in BT.709."""
GREEN = 1 - RED - BLUE


class Nv12Side(nn.Module):
    """What happens to a frame in NV12: from planes to planes, with FrameSide's painting between."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.side = FrameSide(model)

    def forward(
        self, y: Tensor, uv: Tensor, strength: Tensor, keep_color: Tensor, code: Code
    ) -> tuple[Tensor, Tensor]:
        luma, chroma = self.levels(y, uv, strength, keep_color, code)
        return rounded(luma), rounded(chroma)

    def levels(
        self, y: Tensor, uv: Tensor, strength: Tensor, keep_color: Tensor, code: Code
    ) -> tuple[Tensor, Tensor]:
        """As of FrameSide, of both planes."""
        content = unpacked(y, uv).permute(0, 2, 3, 1)
        return packed(self.side.paint(content, strength, keep_color, code))


def unpacked(y: Tensor, uv: Tensor) -> Tensor:
    """The bytes of both planes -> RGB NCHW in [0, 1]."""
    luma = (scaled(y) * 255 - 16) / 219
    chroma = F.interpolate(
        (scaled(uv) * 255 - 128) / 224, scale_factor=2.0, mode="bilinear", align_corners=False
    )
    return rgb(luma, chroma)


def rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    """Luma (N,1,H,W) in [0, 1], Cb and Cr (N,2,H,W) in [-1/2, 1/2] -> RGB (N,3,H,W)."""
    cb, cr = chroma.chunk(2, 1)
    red, blue = luma + 2 * (1 - RED) * cr, luma + 2 * (1 - BLUE) * cb
    green = (luma - RED * red - BLUE * blue) / GREEN
    return torch.cat([red, green, blue], 1).clamp(0, 1)


def packed(x: Tensor) -> tuple[Tensor, Tensor]:
    """RGB (N,H,W,3) in [0, 1], even sides -> both planes, NHWC, 0 to 255, not yet rounded."""
    red, green, blue = x.permute(0, 3, 1, 2).chunk(3, 1)
    luma = RED * red + GREEN * green + BLUE * blue
    chroma = torch.cat([(blue - luma) / (2 - 2 * BLUE), (red - luma) / (2 - 2 * RED)], 1)
    planes = 219 * luma + 16, 224 * F.avg_pool2d(chroma, 2) + 128
    return planes[0].permute(0, 2, 3, 1), planes[1].permute(0, 2, 3, 1)


def planes(frames: Frames) -> Arrays:
    """RGB bytes (1,H,W,3) as inputs in NV12."""
    y, uv = map(rounded, packed(torch.from_numpy(frames).float() / 255))
    return {"y": y.numpy(), "uv": uv.numpy()}


class Unpacking(nn.Module):
    """The bytes of both planes -> what bytes of RGB are cast to: float NHWC, 0 to 255."""

    def forward(self, y: Tensor, uv: Tensor) -> Tensor:
        return unpacked(y, uv).permute(0, 2, 3, 1) * 255


class Packing(nn.Module):
    """What bytes of RGB are rounded from: float NHWC, 0 to 255 -> the bytes of both planes."""

    def forward(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        luma, chroma = packed(levels / 255)
        return rounded(luma), rounded(chroma)


def write_nv12(frame: Path, path: Path) -> None:
    """The graph of a frame side with planes in the place of its bytes. Its inside stays as it is:
    to trace a model once more would take a minute."""
    whole = onnx.load(frame)
    cast_bytes_first(whole)
    (taken,) = whole.graph.node[0].output
    given = next(n.input[0] for n in reversed(whole.graph.node) if n.op_type == "Round")
    beside = [value.name for value in whole.graph.input][1:]
    inside = onnx.utils.Extractor(whole).extract_model([taken, *beside], [given])
    before, after = path.with_name("before.onnx"), path.with_name("after.onnx")
    trace(Unpacking(), before, [bytes_of(1), bytes_of(2, part=2)], {}, ["y", "uv"], ["rgb"])
    trace(Packing(), after, [bytes_of(3).float()], {}, ["levels"], ["painted_y", "painted_uv"])
    first, last = (
        onnx.compose.add_prefix(
            onnx.load(p), f"{p.stem}.", rename_inputs=False, rename_outputs=False
        )
        for p in (before, after)
    )
    joined = onnx.compose.merge_models(first, inside, [("rgb", taken)])
    onnx.save(onnx.compose.merge_models(joined, last, [(given, "levels")]), path)


@dataclass(frozen=True, slots=True)
class Form:
    """One way for frames to go in and come out."""

    side: Callable[[nn.Module], nn.Module]
    picture: Callable[..., Tensor]
    """Frames as they go in or come out, as tensors -> RGB NCHW in [0, 1]."""
    write: Callable[[Path, Path], object]
    """Makes of a frame side between bytes of RGB one of this form, as another file."""
    inputs: Callable[[Frames], Arrays]
    outputs: tuple[str, ...]
    about: dict[str, str]
    """Inputs and outputs, in words."""

    def shapes(self, width: int, height: int) -> dict[str, list[int]]:
        """Of the inputs that hold frames of a size, whose sides are whole multiples."""
        empty = np.zeros((1, height, width, 3), np.uint8)
        return {name: list(array.shape) for name, array in self.inputs(empty).items()}


FORMS = {
    "rgb": Form(
        FrameSide,
        scaled,
        shutil.copy,
        lambda frames: {"frames": frames},
        ("painted",),
        {"frames": "uint8 RGB (1,H,W,3)", "painted": "uint8 RGB (1,H,W,3)"},
    ),
    "nv12": Form(
        Nv12Side,
        unpacked,
        write_nv12,
        planes,
        ("painted_y", "painted_uv"),
        {
            "y": "uint8 (1,H,W,1), BT.709, limited range",
            "uv": "uint8 (1,H/2,W/2,2), Cb and Cr",
            "painted_y": "as y",
            "painted_uv": "as uv",
        },
    ),
}
