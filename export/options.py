"""What can be asked of an export."""

import re
from dataclasses import dataclass

from pipeline.limits import MAX_SIDE_PX
from pipeline.options import option

Size = tuple[int, int]
"""Width and height, px."""

CHECKED: list[Size] = [(512, 512), (640, 360)]
"""Where a graph for any size is held against torch, if no sizes are named."""


def sizes(text: str) -> list[Size]:
    """`1280x720`, or several with commas between."""
    found = [re.fullmatch(r"(\d+)x(\d+)", part) for part in text.split(",")]
    named = [(int(each[1]), int(each[2])) for each in found if each]
    sides = [side for size in named for side in size]
    if len(named) < len(found) or min(sides) < 16 or max(sides) > MAX_SIDE_PX:
        raise ValueError(f"a size is WIDTHxHEIGHT, 16 to {MAX_SIDE_PX} px a side")
    return named


@dataclass(frozen=True)
class ExportOptions:
    """Every option of `python -m export`."""

    output: str | None = option(None, "folder to write; default: MODEL_FORMAT", metavar="DIR")
    format: str = option("onnx", "of the graphs", choices=("onnx", "openvino", "tensorrt"))
    precision: str = option(
        "fp32",
        "fp16 halves the files; bf16 is faster in openvino on CPUs that have it; int8 needs --clip",
        choices=("fp32", "fp16", "bf16", "int8"),
    )
    vgg: str | None = option(
        None,
        "VGG-19 that judges int8, torchvision or a file as of python -m evaluation; default: the "
        "narrow encoder that ships",
        metavar="FILE",
    )
    clip: str | None = option(
        None, "video whose frames int8 is calibrated and judged with", metavar="FILE"
    )
    sizes: list[Size] = option(
        [],
        "a frame graph for each of these sizes alone, which is faster; none: one graph for any "
        "size, and for tensorrt an engine for 512x512 and 640x360",
        parse=sizes,
        metavar="WxH",
    )
    dynamic: bool = option(
        False, "one frame graph for any size (tensorrt: up to the largest) also with --sizes"
    )
    style_independent: bool = option(
        False,
        "say that one frame graph is to serve every style; it does in any case, and a model that "
        "cannot says so",
    )
    pixels: str = option(
        "rgb",
        "of frames, in and out; nv12: planes as video hardware has them, BT.709, limited range "
        "(onnx and openvino)",
        choices=("rgb", "nv12"),
    )
    overwrite: bool = option(False, "replace a folder that exists")

    @property
    def checked(self) -> list[Size]:
        """Where the graphs are held against torch."""
        return self.sizes or CHECKED

    @property
    def fixed(self) -> list[Size]:
        """The sizes that have a frame graph of their own."""
        return [] if self.dynamic or self.format == "tensorrt" else self.sizes
