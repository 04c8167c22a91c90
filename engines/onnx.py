"""Runs a model's graph in ONNX Runtime on the CPU."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from engines import Arrays, Frames
from engines.runtime import GraphEngine


class OnnxEngine(GraphEngine):
    """See GraphEngine."""

    runtime = f"onnxruntime {onnxruntime.__version__}"

    def _load(self, graph: Path) -> None:
        self._session = self._open(graph)

    def _open(self, graph: Path) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads or os.cpu_count() or 1
        # Threads that spin while they wait would take the cores from reader and writer.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        return onnxruntime.InferenceSession(str(graph), options, providers=providers)

    def _encode(self, graph: Path, picture: Frames) -> Arrays:
        session = self._open(graph)
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {"picture": picture}), strict=True))

    def _paint(self, inputs: dict[str, np.ndarray]) -> Frames:
        (painted,) = self._session.run(None, inputs)
        return np.asarray(painted, np.uint8)
