"""The kinds of files that a graph can become, and how each is run to check it."""

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.precision import lower
from export.options import ExportOptions
from export.pixels import FORMS
from export.tensorrt import open_tensorrt, to_tensorrt

Arrays = dict[str, NDArray[np.generic]]
Bearing = dict[str, float]
Size = tuple[int, int] | None
"""Width and height that a frame side is for, whole multiples; None: any."""

PRECISIONS = {
    "onnx": ("fp32", "fp16", "int8"),
    "openvino": ("fp32", "fp16", "bf16", "int8"),
    "tensorrt": ("fp32", "fp16", "bf16", "int8"),
}
"""What each can be written in: ONNX Runtime has no convolutions of bfloat16 on CPUs."""


def lowers(options: ExportOptions) -> bool:
    """Whether the precision stands in the graph itself, where layers can be left out of it:
    OpenVINO's own fp16 is of weights alone, all of them."""
    own = options.format == "openvino" and options.precision == "fp16"
    return options.precision != "fp32" and not own


def to_onnx(
    graph: Path, options: ExportOptions, bearing: Bearing, pinned: Collection[str], size: Size
) -> Path:
    """Lower its precision where that is asked for; the style side stays as it is."""
    model = onnx.load(graph)
    if lowers(options) and graph.stem != "style":
        lower(model, options.precision, bearing, "fp32", pinned)
    if size:
        form = FORMS[options.pixels]
        shapes = form.shapes(*size)
        shapes |= dict(zip(form.outputs, list(shapes.values()), strict=True))
        del model.graph.value_info[:]  # they are of any size
        for value in (*model.graph.input, *model.graph.output):
            sides = value.type.tensor_type.shape.dim
            for dim, side in zip(sides, shapes.get(value.name, ()), strict=False):
                dim.dim_value = side
    onnx.save(model, graph)
    return graph


def to_openvino(
    graph: Path, options: ExportOptions, bearing: Bearing, pinned: Collection[str], size: Size
) -> Path:
    """NAME.onnx -> NAME.xml beside NAME.bin; the ONNX file goes."""
    import openvino

    path, half = graph.with_suffix(".xml"), options.precision == "fp16"
    if lowers(options) and graph.stem != "style":
        lowered = onnx.load(graph)
        lower(lowered, options.precision, bearing, "fp32", pinned)
        onnx.save(lowered, graph)
    model = openvino.convert_model(graph)
    if size:
        model.reshape(FORMS[options.pixels].shapes(*size))
    openvino.save_model(model, path, compress_to_fp16=half)
    graph.unlink()
    return path


def open_onnx(path: Path) -> Callable[[Arrays], Arrays]:
    """A graph as a function, by ONNX Runtime: inputs by name -> outputs by name."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


def open_openvino(path: Path) -> Callable[[Arrays], Arrays]:
    """A graph as a function, by OpenVINO, in float32: inputs by name -> outputs by name."""
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda inputs: {
        port.get_any_name(): np.array(values) for port, values in compiled(inputs).items()
    }


FORMATS = {
    "onnx": (to_onnx, open_onnx),
    "openvino": (to_openvino, open_openvino),
    "tensorrt": (to_tensorrt, open_tensorrt),
}
