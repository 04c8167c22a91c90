"""Runs a model's graph in OpenVINO on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino

from engines import Arrays, Frames
from engines.runtime import GraphEngine


class OpenVinoEngine(GraphEngine):
    """See GraphEngine."""

    runtime = f"openvino {openvino.__version__.split('-')[0]}"

    def _load(self, graph: Path) -> None:
        self._request = self._compile(graph).create_infer_request()

    def _compile(self, graph: Path) -> Any:
        # Unasked it takes bfloat16 where the processor has it, which is another picture.
        about = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if self._threads:
            about["INFERENCE_NUM_THREADS"] = str(self._threads)
        return openvino.Core().compile_model(str(graph), "CPU", about)

    def _encode(self, graph: Path, picture: Frames) -> Arrays:
        compiled = self._compile(graph)
        outputs = compiled({"picture": picture})
        return {port.get_any_name(): np.array(outputs[port]) for port in compiled.outputs}

    def _paint(self, inputs: dict[str, np.ndarray]) -> Frames:
        # The request keeps its output: the next frame is written over it.
        painted = self._request.infer(inputs, share_inputs=True)[0]
        return np.array(painted, np.uint8)
