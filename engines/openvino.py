"""Runs a model's graph in OpenVINO on the CPU, in float32 or, where that is sound, in bfloat16.

A graph is compiled for each size of frame that comes: fixed shapes let OpenVINO fuse a sixth of the
time away. What it compiled lies in the cache, so a later run starts in a third of the time.
"""

from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino

from engines import Arrays, Frames, cache
from engines.bearing import calibrate, copied, made_up
from engines.choice import LEAST_DB, psnr_db, scene
from engines.precision import AS_IT_IS, lower
from engines.runtime import GraphEngine, Graphs, graph, made_of, traced
from engines.sparing import shortage

SIDE = 192
"""Of the frames that bfloat16 is tried on, px."""
SIZES = 4
"""Kept ready at a time; more only come where pictures of many sizes are painted."""


class OpenVinoEngine(GraphEngine):
    """See GraphEngine."""

    runtime = f"openvino {openvino.__version__.split('-')[0]}"

    def __init__(self, *about: Any, **more: Any) -> None:
        super().__init__(*about, **more)
        self._core = openvino.Core()
        self._ready: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def _about(self) -> dict[str, str]:
        # Unasked it takes bfloat16 where the processor has it, which is another picture.
        about = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if self._threads:
            about["INFERENCE_NUM_THREADS"] = str(self._threads)
        return about

    def _compiled(self, graph: Path, shape: tuple[int, ...]) -> Any:
        """The frame side for frames (1,H,W,3) of this shape."""

        def make(path: Path) -> None:
            model = self._core.read_model(str(graph))
            model.reshape({"frames": list(shape)})
            made = self._core.compile_model(model, "CPU", self._about())
            path.write_bytes(made.export_model().getvalue())

        processor = str(self._core.get_property("CPU", "FULL_DEVICE_NAME"))
        able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        bound = sha256("".join([openvino.__version__, processor, *sorted(able)]).encode())
        bound.update(graph.read_bytes())
        name = f"{self._graphs.name}-{shape[2]}x{shape[1]}-{bound.hexdigest()[:16]}.openvino"
        return self._core.import_model(cache.obtain(name, make).read_bytes(), "CPU", self._about())

    def _encode(self, graph: Path, picture: Frames) -> Arrays:
        compiled = self._core.compile_model(str(graph), "CPU", self._about())
        outputs = compiled({"picture": picture})
        return {port.get_any_name(): np.array(outputs[port]) for port in compiled.outputs}

    def _paint(self, graph: Path, inputs: dict[str, np.ndarray]) -> Frames:
        shape = inputs["frames"].shape
        try:
            with shortage():
                if shape not in self._ready:
                    self._ready[shape] = self._compiled(graph, shape).create_infer_request()
                self._ready.move_to_end(shape)
                if len(self._ready) > SIZES:
                    self._ready.popitem(last=False)
                # The request keeps its output: the next frame is written over it.
                painted = self._ready[shape].infer(inputs, share_inputs=True)[0]
        except MemoryError:
            self._ready.pop(shape, None)
            raise
        return np.array(painted, np.uint8)


def in_bfloat16(model: str, device: str = "auto", threads: int | None = None) -> OpenVinoEngine:
    """The engine with its convolutions in bfloat16. ValueError: the processor has none, or the
    model does not bear it."""
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise ValueError("this CPU has no bfloat16")
    exact = traced(model)

    def lowered(path: Path) -> Graphs:
        return Graphs(f"{exact.name}-bf16", exact.style, {None: path})

    def write(path: Path) -> None:
        source = onnx.load(graph(model, "frame"))
        bearing = calibrate(source, exact.style, made_up(SIDE), "bf16")
        # Those that came in last may be what is too much for other pictures.
        fewer = {name: how for name, how in bearing.items() if how == AS_IT_IS}
        for chosen in filter(None, (bearing, fewer)):
            made = copied(source)
            lower(made, "bf16", chosen)
            onnx.save(made, path)
            if (near := nearness_db(path)) >= LEAST_DB:
                return
        raise ValueError(f"{near:.0f} dB from float32, which is another picture")

    def nearness_db(path: Path) -> float:
        ours, theirs = (OpenVinoEngine(model, device, threads, g) for g in (lowered(path), exact))
        style, frame = scene()
        code = theirs.encode_style(style)
        # Half painted is the harder case: raw features and styled ones lie far apart.
        return min(psnr_db(*(e(frame, code, s, False) for e in (ours, theirs))) for s in (1.0, 0.5))

    # Only what is sound comes to lie in the cache.
    path = cache.obtain(f"{made_of(model)}-bf16-frame.onnx", write)
    return OpenVinoEngine(model, device, threads, lowered(path))
