"""Runs a model's graph in OpenVINO on the CPU."""

from pathlib import Path

import numpy as np
import openvino

from engines import Frames
from engines.runtime import GraphEngine


class OpenVinoEngine(GraphEngine):
    """See GraphEngine."""

    runtime = f"openvino {openvino.__version__.split('-')[0]}"

    def _load(self, graph: Path, threads: int | None) -> None:
        # Unasked it takes bfloat16 where the processor has it, which is another picture.
        about = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            about["INFERENCE_NUM_THREADS"] = str(threads)
        compiled = openvino.Core().compile_model(str(graph), "CPU", about)
        self._request = compiled.create_infer_request()

    def _run(self, inputs: dict[str, np.ndarray]) -> Frames:
        # The request keeps its output: the next frame is written over it.
        painted = self._request.infer(inputs, share_inputs=True)[0]
        return np.array(painted, np.uint8)
