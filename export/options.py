"""What can be asked of an export."""

import re
from dataclasses import dataclass

from pipeline.options import option


def size(text: str) -> tuple[int, int]:
    """`1280x720` -> width and height, px."""
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found or min(map(int, found.groups())) < 16:
        raise ValueError("a size is WIDTHxHEIGHT, at least 16 px a side")
    return int(found[1]), int(found[2])


@dataclass(frozen=True)
class ExportOptions:
    """Every option of `python -m export`."""

    output: str | None = option(None, "folder to write; default: MODEL_FORMAT", metavar="DIR")
    format: str = option("onnx", "of the graphs", choices=("onnx", "openvino", "tensorrt"))
    precision: str = option(
        "fp32",
        "fp16 halves the files; int8: onnx and tensorrt; bf16: tensorrt",
        choices=("fp32", "fp16", "bf16", "int8"),
    )
    clip: str | None = option(None, "video whose frames int8 is calibrated with", metavar="FILE")
    sizes: list[tuple[int, int]] = option(
        [(512, 512), (640, 360)],
        "frame sizes to check against torch; graphs take any size, tensorrt engines only these",
        parse=size,
        metavar="WxH",
    )
    overwrite: bool = option(False, "replace a folder that exists")
