"""Lower precision as it stands in the graph itself, so that every runtime reads the same.

Convolutions, and what only moves their values on, become half precision or, between steps of
quantisation, 8 bits; the statistics of attention and of normalisation stay in float32.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

TYPES = {
    "fp32": TensorProto.FLOAT,
    "fp16": TensorProto.FLOAT16,
    "bf16": TensorProto.BFLOAT16,
}
"""What convolutions compute in."""
MOVERS = {"Add", "AveragePool", "Concat", "DepthToSpace", "Pad", "Relu", "Resize", "Slice"}
"""Keep the type of what they are given. Whatever else lies between convolutions (sums, squares and
roots: the statistics of attention and normalisation) stays in float32."""
AS_IT_IS, CENTRED = 0.0, 1.0
"""How a convolution is lowered. Centred: what is rounded is how far its input and its output are
from their means over the frame; what these come to is added in float32. Where little varies around
a large mean, most of a few bits would be the mean's."""
OFFSET, WHOLE = ".offset", ".whole"
"""Ends of the names of two nodes of a centred convolution: that of the means, and the sum."""
OPSET_OF_BF16 = 22
"""The first opset whose convolutions take it; for our operators nothing else changed since 20."""


def lower(
    model: onnx.ModelProto,
    precision: str,
    bearing: Mapping[str, float] | None = None,
    rest: str = "fp16",
    pinned: Collection[str] = (),
) -> None:
    """Rewrite a graph of graph.py, in place, so that it computes in this precision.

    `bearing`: the convolutions that bear it, by the names of their nodes; None: all. For int8 each
    with the largest magnitude that its input may have, else AS_IT_IS or CENTRED. The others stay in
    float32; with int8 they become `rest`, because CPUs that know 8 bits are slow in float16.
    `pinned`: stay in float32 in any case.
    """
    if precision != "fp32":
        kind = TYPES[rest if precision == "int8" else precision]
        if bearing is None:
            bearing = dict.fromkeys(convolutions(model.graph), 0.0)
        Lowering(model.graph, precision, kind, bearing, pinned).run()
    if precision == "bf16":
        model.opset_import[0].version = OPSET_OF_BF16


def convolutions(graph: onnx.GraphProto) -> list[str]:
    """The names of all of them, in order."""
    return [node.name for node in graph.node if node.op_type == "Conv"]


def pads(conv: onnx.NodeProto) -> bool:
    """Whether it pads, by zeros, itself."""
    return any(any(a.ints) or a.s.startswith(b"SAME") for a in conv.attribute if "pad" in a.name)


def cast_bytes_first(model: onnx.ModelProto) -> None:
    """Let sizes be read off the cast picture: in TensorRT bytes are for nothing but a cast."""
    graph = model.graph
    picture = graph.input[0].name
    cast = next(n for n in graph.node if n.op_type == "Cast" and n.input[0] == picture)
    graph.node.remove(cast)
    graph.node.insert(0, cast)
    for node in graph.node:
        if node.op_type == "Shape" and node.input[0] == picture:
            node.input[0] = cast.output[0]


class Lowering:
    """One rewriting of a float32 graph. A tensor keeps its name, in the type in which it is made;
    its twin in the other type is made at most once."""

    def __init__(
        self,
        graph: onnx.GraphProto,
        precision: str,
        kind: int,
        bearing: Mapping[str, float],
        pinned: Collection[str],
    ) -> None:
        self._graph, self._kind = graph, kind
        self._ranges = bearing if precision == "int8" else {}
        self._centred = {n for n, how in bearing.items() if how == CENTRED} - self._ranges.keys()
        lowered = convolutions(graph) if precision == "int8" else bearing
        self._chosen = {name for name in lowered if name not in pinned}
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._low: set[str] = set()
        self._made: set[str] = set()
        self._nodes: list[onnx.NodeProto] = []

    def run(self) -> None:
        """Chosen convolutions, and what moves their values on to the next, become low."""
        for node in list(self._graph.node):
            data = node.input if node.op_type in ("Add", "Concat") else node.input[:1]
            if node.name in self._chosen & self._centred:
                self._centre(node)
                continue
            if node.name in self._chosen:
                node.input[:] = self._inputs(node)
                self._low.update(node.output)
            elif node.op_type in MOVERS and all(name in self._low for name in data):
                self._low.update(node.output)
            else:
                node.input[:] = [self._as_float32(name) for name in node.input]
            self._nodes.append(node)
        del self._graph.node[:], self._graph.value_info[:]
        self._graph.node.extend(self._nodes)

    def _inputs(self, conv: onnx.NodeProto) -> list[str]:
        picture, weight, *bias = map(self._as_low, conv.input)
        if conv.name in self._ranges:
            values = numpy_helper.to_array(self._weights[conv.input[1]])
            most = np.abs(values).max(axis=(1, 2, 3))
            picture = self._quantised(picture, conv.name, np.array(self._ranges[conv.name]))
            weight = self._quantised(weight, f"{conv.name}.weight", most, axis=0)
        return [picture, weight, *bias]

    def _centre(self, conv: onnx.NodeProto) -> None:
        """The convolution of what is left without the mean of each channel, and that of the means,
        which are the same everywhere: its weights summed over their places are enough. Padding
        stands in nodes of its own."""
        if pads(conv):
            raise ValueError(f"{conv.name} pads by zeros, where no mean is to be taken out")
        name, (picture, weight, *bias) = conv.name, conv.input
        picture = self._as_float32(picture)
        axes = self._constant("centred.axes", TensorProto.INT64, np.array([2, 3]))
        mean = self._node("ReduceMean", [picture, axes], f"{picture}.mean", keepdims=1)
        apart = self._node("Sub", [picture, mean], f"{picture}.apart")
        summed = numpy_helper.to_array(self._weights[weight]).sum((2, 3), keepdims=True)
        sums = self._constant(f"{name}.sums", TensorProto.FLOAT, summed)
        groups = {a.name: a.i for a in conv.attribute if a.name == "group"}
        offset = self._node("Conv", [mean, sums, *bias], name + OFFSET, **groups)
        whole = conv.output[0]
        conv.input[:] = [self._as_low(apart), self._as_low(weight)]
        conv.output[:] = [f"{name}.around"]
        self._nodes.append(conv)
        self._low.add(f"{name}.around")
        around = self._as_float32(f"{name}.around")
        self._nodes.append(helper.make_node("Add", [around, offset], [whole], name + WHOLE))

    def _as_low(self, name: str) -> str:
        if name in self._low:
            return name
        twin = f"{name}.low"
        if name not in self._weights:
            return self._node("Cast", [name], twin, to=self._kind)
        values = numpy_helper.to_array(self._weights[name])
        return self._constant(twin, self._kind, values)

    def _as_float32(self, name: str) -> str:
        if name not in self._low:
            return name
        return self._node("Cast", [name], f"{name}.float32", to=TensorProto.FLOAT)

    def _quantised(self, name: str, to: str, most: NDArray[Any], **where: int) -> str:
        """To 8 bits and back, which TensorRT makes a convolution of 8 bits of. Symmetric: it knows
        no other zero. Per channel along the `axis` where there is one."""
        # A scale of 0 (an unused channel) divides nothing.
        scale = self._constant(f"{to}.scale", self._kind, np.maximum(most / 127, 1e-6))
        zero = self._constant(f"{to}.zero", TensorProto.INT8, np.zeros(most.shape, np.int8))
        small = self._node("QuantizeLinear", [name, scale, zero], f"{to}.int8", **where)
        return self._node("DequantizeLinear", [small, scale, zero], f"{to}.back", **where)

    def _node(self, kind: str, inputs: list[str], output: str, **about: int) -> str:
        if output not in self._made:
            self._made.add(output)
            self._nodes.append(helper.make_node(kind, inputs, [output], name=output, **about))
        return output

    def _constant(self, name: str, kind: int, values: NDArray[Any]) -> str:
        if name not in self._made:
            self._made.add(name)
            with np.errstate(over="ignore"):  # what is infinite then leaves float32, and is found
                small = values.astype(helper.tensor_dtype_to_np_dtype(kind))
            # As raw bytes: OpenVINO misreads numbers of bfloat16 that stand one by one.
            self._graph.initializer.append(numpy_helper.from_array(small, name))
        return name
