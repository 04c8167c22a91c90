"""Graphs as TensorRT engines: for which sizes, and what is needed to build them.

The style side runs once for each style and stays in float32. The frame side has a profile for each
of the sizes asked for. Engines are built to be carried to later versions of TensorRT and to other
GPUs from Ampere on.
"""

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from engines.precision import cast_bytes_first, lower
from engines.runtime import MULTIPLE, pad
from engines.tensorrt import SMALLEST, Plan, Profile, build, gpu_of, installed_version
from export.options import ExportOptions
from models.pictures import STYLE_SIDE

Arrays = dict[str, NDArray[np.generic]]

STYLES = (Profile(SMALLEST, (STYLE_SIDE, STYLE_SIDE), (3 * STYLE_SIDE, 3 * STYLE_SIDE)),)


def check() -> None:
    """Whether such an export can be made here. ValueError: no TensorRT, or no GPU."""
    installed_version()
    if not torch.cuda.is_available():
        raise ValueError("TensorRT builds engines on a CUDA GPU, and there is none")


def profiles(options: ExportOptions) -> list[Profile]:
    """Those of the frame side: one for each of the sizes, padded as frames are, which kernels are
    chosen for, and which alone it holds unless the engine is to be dynamic."""
    padded = [pad(np.empty((h, w, 3), np.uint8)).shape[:2] for w, h in options.checked]
    sizes = list(dict.fromkeys(padded))
    if not options.dynamic:
        return [Profile(size, size, size) for size in sizes]
    most = max(h for h, _ in sizes), max(w for _, w in sizes)
    return [Profile(SMALLEST, size, most) for size in sizes]


def details(options: ExportOptions) -> dict[str, Any]:
    """What the manifest says of engines only: sides, and what they were built with."""
    frames = [
        {name: f"{w}x{h}" for name, (h, w) in asdict(profile).items()}
        for profile in profiles(options)
    ]
    low, high = STYLES[0].least[0], STYLES[0].most[0]
    return {
        "sides": {
            "frames": frames,
            "picture": f"multiples of {MULTIPLE}, from {low} to {high} px",
        },
        "built_with": {
            "tensorrt": installed_version(),
            "gpu": asdict(gpu_of(torch.device("cuda"))),
        },
    }


def to_tensorrt(
    graph: Path,
    options: ExportOptions,
    bearing: dict[str, float],
    pinned: Collection[str],
    size: None,
) -> Path:
    """NAME.onnx -> NAME.engine; the ONNX file goes. `size`: an engine holds all of them."""
    model, device, path = onnx.load(graph), torch.device("cuda"), graph.with_suffix(".engine")
    cast_bytes_first(model)
    if graph.stem == "style":
        build(model, STYLES, device, path, portable=True)
    else:
        lower(model, options.precision, bearing, "fp16", pinned)
        build(model, profiles(options), device, path, portable=True)
    graph.unlink()
    return path


def open_tensorrt(path: Path) -> Plan:
    """An engine that was built here, as a function: inputs by name -> outputs by name."""
    return Plan(path, torch.device("cuda"), portable=True)
