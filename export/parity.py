"""Whether exported graphs still paint the same picture as eager torch.

The exported style side makes the code of a picture, the exported frame side paints with it; torch
does both itself. Compared are the bytes that come out and, in fp32, what they are rounded from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, nn

from engines import Frames
from engines.bearing import smooth
from engines.choice import CLOSE, psnr_db
from engines.graph import rounded
from engines.runtime import pad
from export.options import Size
from export.pixels import Form
from models.pictures import STYLE_SIDE

Arrays = dict[str, NDArray[np.generic]]
Open = Callable[[Path], Callable[[Arrays], Arrays]]
"""A file of a format as a function."""
MOST_APART = 1e-3
"""Of a painting in [0, 1] before it is rounded, in fp32."""
EXACT = ".exact"
LEAST_DB = {"fp16": 40.0, "bf16": 35.0, "int8": 32.0}
"""Peak signal to noise ratio that the other precisions must reach. fp16 has three bits more than
bf16, and none of our values needs the range of that."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How far a painting of the exported graphs is from torch's."""

    size: str
    strength: float
    levels: int
    """Of 255, between bytes."""
    psnr_db: float
    apart: float | None = None
    """In [0, 1], before rounding; None: of lower precision only bytes are compared."""

    def passes(self, precision: str) -> bool:
        """Whether that is as close as this precision must come."""
        if precision == "fp32":
            return self.apart is not None and self.apart <= MOST_APART and self.levels <= CLOSE
        return self.psnr_db >= LEAST_DB[precision]

    def __str__(self) -> str:
        exact = "" if self.apart is None else f" ({self.apart:.1e} of 1 before rounding)"
        return f"{self.levels} levels apart{exact}, {self.psnr_db} dB at {self.size}"


def compare(
    model: nn.Module,
    form: Form,
    opened: Open,
    style: Path,
    frames: dict[Size, Path],
    probes: dict[Size, Path],
) -> list[Parity]:
    """Paint a frame of each size with torch and with the graphs, at two strengths. `probes`: of the
    frame sides, for the sizes at which more than bytes is to be compared."""
    found = []
    opened = cache(opened)  # once each, for all strengths and, of a graph for any size, all sizes
    picture = smooth(STYLE_SIDE, STYLE_SIDE, 1)
    ours = opened(style)({"picture": picture})
    with torch.inference_mode():
        theirs: dict[str, Tensor] = model.encode_style(as_torch(picture))
        for (width, height), graph in frames.items():
            paint = opened(graph)
            pixels = form.inputs(pad(smooth(height, width, 2)[0])[None])
            for strength in (1.0, 0.5):
                given, numbers = scalars(strength)
                given |= {**pixels, **ours}
                painted = paint(given)
                tensors = [torch.from_numpy(array) for array in pixels.values()]
                levels = form.side(model).levels(*tensors, *numbers, theirs)
                a = flat([painted[name] for name in form.outputs])
                b = flat([rounded(t).numpy() for t in levels])
                apart = None
                if (width, height) in probes:
                    seen = opened(probes[width, height])(given)
                    exact = flat([seen[name + EXACT] for name in form.outputs])
                    wanted = flat([t.numpy() for t in levels])
                    apart = float(np.abs(exact - wanted).max()) / 255
                found.append(difference(f"{width}x{height}", strength, a, b, apart))
    return found


def probe(graph: Path, outputs: tuple[str, ...], path: Path) -> Path:
    """Write a copy of a frame side that also gives, as NAME + EXACT, what its outputs are rounded
    from."""
    model = onnx.load(graph)
    makers = {name: node for node in model.graph.node for name in node.output}
    for name in outputs:
        node = makers[name]
        while node.op_type != "Round":
            node = makers[node.input[0]]
        exact = name + EXACT
        model.graph.node.append(helper.make_node("Identity", node.input[:1], [exact]))
        model.graph.output.append(helper.make_tensor_value_info(exact, TensorProto.FLOAT, None))
    onnx.save(model, path)
    return path


def scalars(strength: float) -> tuple[Arrays, list[Tensor]]:
    """What goes in beside frame and code, for graphs and for torch."""
    values = {"strength": strength, "keep_color": 0.0}
    arrays: Arrays = {name: np.array(value, np.float32) for name, value in values.items()}
    return arrays, [torch.tensor(value) for value in values.values()]


def flat(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """All their numbers in one row."""
    return np.concatenate([array.ravel() for array in arrays])


def as_torch(picture: Frames) -> Tensor:
    """Bytes (1,H,W,3) as models take them."""
    return torch.from_numpy(picture).permute(0, 3, 1, 2).float() / 255


def difference(
    size: str, strength: float, a: NDArray[Any], b: NDArray[Any], apart: float | None = None
) -> Parity:
    """Two paintings, uint8, held against each other."""
    levels = int(np.abs(a.astype(int) - b).max())
    return Parity(size, strength, levels, round(psnr_db(a, b), 1), apart)
