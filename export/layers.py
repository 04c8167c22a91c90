"""Where a graph leaves torch: its convolutions, one after the other, against those of the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from engines.graph import FrameSide
from engines.precision import OFFSET, WHOLE
from models.styles import Code

FURTHEST = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 1e-1, "int8": 2e-1}
"""Largest error of a convolution's output that a precision explains, relative to its largest
value."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution: its name in the model and in the graph, and its relative error."""

    module: str
    node: str
    error: float


def layers(model: nn.Module, graph: Path, code: Code, frame: NDArray[np.uint8]) -> list[Layer]:
    """All convolutions of an ONNX graph of the frame side, in order, held against torch's for a
    frame (1,H,W,3)."""
    nodes = onnx.load(graph).graph.node
    outputs = {n.name: n.output[0] for n in nodes}
    convs = [n.name for n in nodes if n.op_type == "Conv" and not n.name.endswith(OFFSET)]
    names = [(name, outputs.get(name + WHOLE, outputs[name])) for name in convs]
    theirs = in_torch(model, code, frame)
    ours = in_graph(graph, [output for _, output in names], code, frame)
    return [
        Layer(module, node, float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-6)))
        for (node, _), (module, wanted), found in zip(names, theirs, ours, strict=True)
    ]


def first_apart(held: list[Layer], precision: str) -> Layer | None:
    """The first whose output is not torch's; None when all are."""
    # Nor are those that are not a number.
    return next((layer for layer in held if not layer.error <= FURTHEST[precision]), None)


def in_torch(
    model: nn.Module, code: Code, frame: NDArray[np.uint8]
) -> list[tuple[str, NDArray[np.float32]]]:
    """Name and output of each convolution, in the order in which they are called."""
    with torch.inference_mode(), Convolutions(model) as convolutions:
        FrameSide(model)(torch.from_numpy(frame), torch.tensor(1.0), torch.tensor(0.0), code)
    return convolutions.seen


class Convolutions(TorchFunctionMode):
    """Watches a model's convolutions, those too whose weights are made of a module's weight."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        tensors = (*model.named_parameters(), *model.named_buffers())
        self._names = {place(tensor): name.removesuffix(".weight") for name, tensor in tensors}
        self._made: list[Tensor] = []
        self.seen: list[tuple[str, NDArray[np.float32]]] = []

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), words: Any = None
    ) -> Any:
        """Called in place of every function of torch."""
        output = function(*arguments, **(words or {}))
        if function is torch.conv2d:
            self.seen.append((self._names[place(arguments[1])], output.numpy().copy()))
        elif isinstance(output, Tensor):
            given = [x for x in tree_leaves(arguments) if isinstance(x, Tensor)]
            names = {self._names.get(place(x)) for x in given}
            if len(names) == 1 and (name := names.pop()):
                self._names[place(output)] = name
                self._made.append(output)  # its place stays its own
        return output


def place(tensor: Tensor) -> int:
    """Where it lies in memory: the same for any part of it."""
    return tensor.untyped_storage().data_ptr()


def in_graph(
    graph: Path, outputs: list[str], code: Code, frame: NDArray[np.uint8]
) -> list[NDArray[np.float32]]:
    """What a graph has at these names."""
    probe = onnx.load(graph)
    known = onnx.shape_inference.infer_shapes(probe).graph.value_info
    types = {value.name: value.type.tensor_type.elem_type for value in known}
    probe.graph.output.extend(
        helper.make_tensor_value_info(name, types.get(name, TensorProto.FLOAT), None)
        for name in outputs
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        probe.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    about = {"strength": np.array(1, np.float32), "keep_color": np.array(0, np.float32)}
    arrays = {name: tensor.numpy() for name, tensor in code.items()}
    found = session.run(outputs, {"frames": frame, **about, **arrays})
    return [np.asarray(values, np.float32) for values in found]
