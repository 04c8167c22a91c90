"""Whether exported graphs still paint the same picture as eager torch.

The exported style side makes the code of a picture, the exported frame side paints with it; torch
does both itself. What is compared are the bytes that come out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines import Frames
from engines.choice import CLOSE, psnr_db
from engines.runtime import pad
from export.options import Size
from export.pixels import Form
from models.pictures import STYLE_SIDE

Run = Callable[[Path, dict[str, NDArray[np.generic]]], dict[str, NDArray[np.generic]]]
LEAST_DB = {"fp16": 40.0, "bf16": 35.0, "int8": 32.0}
"""Peak signal to noise ratio that the other precisions must reach. fp16 has three bits more than
bf16, and none of our values needs the range of that."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How far a painting of the exported graphs is from torch's."""

    size: str
    strength: float
    levels: int
    psnr_db: float

    def passes(self, precision: str) -> bool:
        """Whether that is as close as this precision must come."""
        if precision == "fp32":
            return self.levels <= CLOSE
        return self.psnr_db >= LEAST_DB[precision]


def compare(
    model: nn.Module, form: Form, run: Run, style: Path, frames: dict[Size, Path]
) -> list[Parity]:
    """Paint a frame of each size with torch and with the graphs, at two strengths."""
    found = []
    picture = smooth(STYLE_SIDE, STYLE_SIDE, 1)
    ours = run(style, {"picture": picture})
    with torch.inference_mode():
        theirs: dict[str, Tensor] = model.encode_style(as_torch(picture))
        for (width, height), graph in frames.items():
            pixels = form.inputs(pad(smooth(height, width, 2)[0])[None])
            for strength in (1.0, 0.5):
                scalars = {"strength": strength, "keep_color": 0.0}
                given = {n: np.array(v, np.float32) for n, v in scalars.items()}
                painted = run(graph, {**pixels, **given, **ours})
                numbers = [torch.tensor(v) for v in scalars.values()]
                tensors = [torch.from_numpy(array) for array in pixels.values()]
                out = form.side(model)(*tensors, *numbers, theirs)
                wanted = out if isinstance(out, tuple) else (out,)
                found.append(
                    difference(
                        f"{width}x{height}",
                        strength,
                        flat([painted[name] for name in form.outputs]),
                        flat(
                            [t.numpy() for t in (wanted if isinstance(wanted, tuple) else [wanted])]
                        ),
                    )
                )
    return found


def flat(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """All their numbers in one row."""
    return np.concatenate([array.ravel() for array in arrays])


def as_torch(picture: Frames) -> Tensor:
    """Bytes (1,H,W,3) as models take them."""
    return torch.from_numpy(picture).permute(0, 3, 1, 2).float() / 255


def difference(size: str, strength: float, a: NDArray[Any], b: NDArray[Any]) -> Parity:
    """Two paintings, uint8, held against each other."""
    levels = int(np.abs(a.astype(int) - b).max())
    return Parity(size, strength, levels, round(psnr_db(a, b), 1))


def smooth(height: int, width: int, seed: int) -> Frames:
    """A picture of waves with some grain, always the same, (1,H,W,3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / a + y / b) for a, b in rng.uniform(9, 60, (3, 2))]
    grain = rng.normal(0, 8, (height, width, 3))
    return (np.stack(waves, 2) * 100 + 128 + grain).clip(0, 255).astype(np.uint8)[None]
