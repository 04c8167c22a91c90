"""Which convolutions of a frame side bear bfloat16 or 8 bits, and the ranges of their inputs.

Found by trying each alone, and then more of them together, in ONNX Runtime on the CPU.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from engines import Frames
from engines.choice import LEAST_DB, psnr_db
from engines.precision import AS_IT_IS, CENTRED, convolutions, lower, pads
from engines.runtime import pad
from models.pictures import STYLE_SIDE, style_sized

Arrays = dict[str, NDArray[np.generic]]

HEADROOM = 1.5
"""Of the largest value seen: other styles and scenes reach further, and clipping costs more than
coarser steps."""
ALONE_DB = {"bf16": 50.0, "int8": 44.0}
"""Convolutions that by themselves cost the picture no more than that are in: a few of the others,
whose outputs vary little around a large mean, would cost nearly everything."""
WHOLE_DB = {"bf16": LEAST_DB, "int8": 34.0}
"""So near the whole has to stay where more come in, the least noisy first: with bfloat16 of those
that take most of the time, centred."""


def calibrate(
    model: onnx.ModelProto, style: Path, frames: list[Frames], precision: str
) -> dict[str, float]:
    """The convolutions of a frame side that bear bf16 or int8, as `lower` takes them. ValueError:
    none does."""
    scenes = list(combined(style, frames))
    names = quantisable(model.graph) if precision == "int8" else convolutions(model.graph)
    seen = largest(model, names, scenes) if precision == "int8" else {}
    looks, n = len(scenes) // len(frames), len(frames)
    few = [scenes[i * looks] for i in sorted({0, n // 2, n - 1})]
    # Half painted is the harder case: raw features and styled ones lie far apart.
    few.append(scenes[-1] | {"strength": np.array(0.5, np.float32)})
    wanted = painted(model, few)

    def near_db(bearing: dict[str, float]) -> float:
        tried = copied(model)
        lower(tried, precision, bearing)
        pairs = zip(painted(rehearsed(tried), few), wanted, strict=True)
        return min(psnr_db(a, b) for a, b in pairs)

    hows = {n: HEADROOM * seen[n] if precision == "int8" else AS_IT_IS for n in names}
    alone_db = {name: near_db({name: how}) for name, how in hows.items()}
    bearing = {name: hows[name] for name in names if alone_db[name] >= ALONE_DB[precision]}
    rest = {name: how for name, how in hows.items() if name not in bearing}
    if precision == "bf16":
        rest = dict.fromkeys(rest.keys() & broad(model.graph), CENTRED)
        alone_db |= {name: near_db({name: CENTRED}) for name in rest}
    for name in sorted(rest, key=alone_db.__getitem__, reverse=True):
        if near_db(bearing | {name: rest[name]}) < WHOLE_DB[precision]:
            break
        bearing[name] = rest[name]
    if not bearing:
        raise ValueError(f"no convolution of it bears {precision}: take a finer precision")
    return bearing


def combined(style: Path, frames: list[Frames]) -> Iterator[Arrays]:
    """Inputs of the frame side: every frame in the look of made-up pictures and of the clip."""
    session = onnxruntime.InferenceSession(str(style), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    waves = [smooth(STYLE_SIDE, STYLE_SIDE, seed)[0] for seed in range(3)]
    # Dark lines on white first: whatever is lost shows in them most.
    y, x = np.mgrid[:STYLE_SIDE, :STYLE_SIDE, :3][:2]
    lines = np.where((x + 2 * y) % 12 < 4, 20, 235).astype(np.uint8)
    looks = [style_sized(look) for look in (lines, *waves, frames[0][0], frames[-1][0])]
    codes = [dict(zip(names, session.run(names, {"picture": x[None]}), strict=True)) for x in looks]
    about = {"strength": np.array(1, np.float32), "keep_color": np.array(0, np.float32)}
    for frame in frames:
        for code in codes:
            yield {"frames": frame, **about, **code}


def made_up(side: int) -> list[Frames]:
    """Three frames (1,H,W,3), always the same, `side` px and padded: one with grain, one almost
    without, and a sky that only darkens upwards. The less varies in one the harder it is, because
    normalisation enlarges it."""
    waves = [smooth(side, side, 3 + i, grain)[0] for i, grain in enumerate((8, 1))]
    sky = np.linspace(120, 200, side).astype(np.uint8)[:, None, None].repeat(side, 1).repeat(3, 2)
    return [pad(frame)[None] for frame in (*waves, sky)]


def smooth(height: int, width: int, seed: int, grain: float = 8) -> Frames:
    """A picture of waves with grain of so many levels, always the same, (1,H,W,3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / a + y / b) for a, b in rng.uniform(9, 60, (3, 2))]
    noise = rng.normal(0, grain, (height, width, 3))
    return (np.stack(waves, 2) * 100 + 128 + noise).clip(0, 255).astype(np.uint8)[None]


def rehearsed(model: onnx.ModelProto) -> onnx.ModelProto:
    """A lowered graph as CPUs can run it, which know bfloat16 only as something to cast from and
    to: its operators compute in float32, and every value is rounded as before."""
    model = copied(model)
    known = onnx.shape_inference.infer_shapes(model).graph
    types = {v.name: v.type.tensor_type.elem_type for v in known.value_info}
    types |= {tensor.name: tensor.data_type for tensor in known.initializer}
    nodes: list[onnx.NodeProto] = []

    def cast(name: str, to: str, kind: int) -> str:
        nodes.append(helper.make_node("Cast", [name], [to], to=kind))
        return to

    for i, node in enumerate(model.graph.node):
        low = [types.get(name) == TensorProto.BFLOAT16 for name in node.output]
        if node.op_type == "Cast" or not any(low):
            nodes.append(node)
            continue
        node.input[:] = [
            cast(name, f"{name}.{i}.{j}", TensorProto.FLOAT)
            if types.get(name) == TensorProto.BFLOAT16
            else name
            for j, name in enumerate(node.input)
        ]
        outputs = list(node.output)
        node.output[:] = [f"{name}.exact" for name in outputs]
        nodes.append(node)
        for name in outputs:
            cast(f"{name}.exact", name, TensorProto.BFLOAT16)
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    return model


def quantisable(graph: onnx.GraphProto) -> list[str]:
    """Full convolutions between features. What touches RGB would show, and depthwise ones gain
    nothing from int8."""
    full = [node for node in graph.node if node.op_type == "Conv" and not split(node)]
    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    return [node.name for node in full if min(shapes[node.input[1]][:2]) > 3]


def broad(graph: onnx.GraphProto) -> set[str]:
    """Full convolutions that look further than a pixel: they compute more than they move. Not those
    that pad by zeros themselves: there the means are not the same at the edges."""
    full = [node for node in graph.node if node.op_type == "Conv" and not split(node)]
    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    padded = {n.name for n in full if pads(n)}
    return {n.name for n in full if max(shapes[n.input[1]][2:]) > 1} - padded


def split(conv: onnx.NodeProto) -> bool:
    """Whether its channels are in groups."""
    return any(a.i > 1 for a in conv.attribute if a.name == "group")


def largest(model: onnx.ModelProto, names: list[str], scenes: list[Arrays]) -> dict[str, float]:
    """The largest magnitude in the input of each of these nodes, over all scenes."""
    inputs = {node.name: node.input[0] for node in model.graph.node if node.name in names}
    watched = list(dict.fromkeys(inputs.values()))
    probe = copied(model)
    probe.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in watched
    )
    session = opened(probe)
    most = dict.fromkeys(watched, 0.0)
    for scene in scenes:
        for name, values in zip(watched, session.run(watched, scene), strict=True):
            most[name] = max(most[name], float(np.abs(values).max()))
    return {node: most[name] for node, name in inputs.items()}


def painted(model: onnx.ModelProto, scenes: list[Arrays]) -> list[Frames]:
    """What a frame side makes of scenes, on the CPU."""
    session = opened(model)
    return [np.asarray(session.run(["painted"], scene)[0], np.uint8) for scene in scenes]


def opened(model: onnx.ModelProto) -> Any:
    """ONNX Runtime, silent: it warns of what TensorRT is for. It must take out no rounding."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = model.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Another of the same."""
    other = onnx.ModelProto()
    other.CopyFrom(model)
    return other
