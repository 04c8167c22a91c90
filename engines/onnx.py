"""Runs a model's graph in ONNX Runtime on the CPU."""

import os
from pathlib import Path

import numpy as np
import onnxruntime

from engines import Frames
from engines.runtime import GraphEngine


class OnnxEngine(GraphEngine):
    """See GraphEngine."""

    runtime = f"onnxruntime {onnxruntime.__version__}"

    def _load(self, graph: Path, threads: int | None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or os.cpu_count() or 1
        # Threads that spin while they wait would take the cores from reader and writer.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )

    def _run(self, inputs: dict[str, np.ndarray]) -> Frames:
        (painted,) = self._session.run(None, inputs)
        return np.asarray(painted, np.uint8)
