"""The kinds of files that a graph can become, and how each is run to check it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]


def to_onnx(graph: Path, precision: str) -> Path:
    """It is one already. ValueError: fp16, which only a GPU's provider runs well."""
    if precision != "fp32":
        raise ValueError("onnx is written as fp32: --format openvino can halve the weights")
    return graph


def to_openvino(graph: Path, precision: str) -> Path:
    """NAME.onnx -> NAME.xml beside NAME.bin; the ONNX file goes."""
    import openvino

    path = graph.with_suffix(".xml")
    openvino.save_model(openvino.convert_model(graph), path, compress_to_fp16=precision == "fp16")
    graph.unlink()
    return path


def run_onnx(path: Path, inputs: Arrays) -> Arrays:
    """Run a graph once in ONNX Runtime -> its outputs by name."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def run_openvino(path: Path, inputs: Arrays) -> Arrays:
    """Run a graph once in OpenVINO, in float32 -> its outputs by name."""
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = compiled(inputs)
    return {port.get_any_name(): np.array(outputs[port]) for port in compiled.outputs}


FORMATS = {"onnx": (to_onnx, run_onnx), "openvino": (to_openvino, run_openvino)}
