"""Runs a model's graph in ONNX Runtime, on the CPU or a CUDA GPU."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from engines import Arrays, Frames, said
from engines.runtime import GraphEngine
from engines.sparing import shortage

CUDA = "CUDAExecutionProvider"
RAISED = (
    errors.EPFail,
    errors.Fail,
    errors.InvalidArgument,
    errors.InvalidGraph,
    errors.InvalidProtobuf,
    errors.NotImplemented,
    errors.RuntimeException,
)
"""By a session in which something fails; they are no RuntimeErrors."""


@contextmanager
def failing() -> Iterator[None]:
    """MemoryError in place of what ONNX Runtime raises where memory is the reason, else
    RuntimeError."""
    try:
        with shortage(*RAISED):
            yield
    except RAISED as error:
        raise RuntimeError(said(error)) from error


class OnnxEngine(GraphEngine):
    """See GraphEngine."""

    runtime = f"onnxruntime {onnxruntime.__version__}"

    def __init__(self, *about: Any, **more: Any) -> None:
        super().__init__(*about, **more)
        self._sessions: dict[Path, Any] = {}
        if self._device != "cpu":
            # Now: where CUDA lacks its libraries, `auto` can still take another engine.
            first = next(iter(self._graphs.frames.values()))
            self._sessions[first] = self._open(first)

    def _pick(self, device: str) -> str:
        if device == "auto":
            return "cuda:0" if CUDA in onnxruntime.get_available_providers() else "cpu"
        if not device.startswith("cuda"):
            return super()._pick(device)
        if CUDA not in onnxruntime.get_available_providers():
            raise ValueError(
                f"this {self.runtime} has no CUDA: pip install onnxruntime-gpu in its place, or "
                "--engine torch"
            )
        return device if ":" in device else "cuda:0"

    def _open(self, graph: Path) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads or os.cpu_count() or 1
        # Threads that spin while they wait would take the cores from reader and writer.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # errors are raised
        if self._device == "cpu":
            providers: list[Any] = ["CPUExecutionProvider"]
        else:
            # Unasked it rounds factors of float32 to 10 bits, which is another picture.
            about = {"device_id": self._device.partition(":")[2], "use_tf32": "0"}
            providers = [(CUDA, about), "CPUExecutionProvider"]
            # Those that pip installs lie where no linker looks. What it lacks it prints.
            with redirect_stdout(StringIO()):
                onnxruntime.preload_dlls()
        with failing():
            session = onnxruntime.InferenceSession(str(graph), options, providers=providers)
        # Without its libraries it falls back in silence.
        if self._device != "cpu" and CUDA not in session.get_providers():
            raise ValueError(f"{self.runtime} finds no CUDA libraries that it can load")
        return session

    def _encode(self, graph: Path, picture: Frames) -> Arrays:
        session = self._open(graph)
        names = [output.name for output in session.get_outputs()]
        with failing():
            return dict(zip(names, session.run(names, {"picture": picture}), strict=True))

    def _paint(self, graph: Path, inputs: dict[str, np.ndarray]) -> Frames:
        if graph not in self._sessions:
            self._sessions[graph] = self._open(graph)
        try:
            with failing():
                (painted,) = self._sessions[graph].run(None, inputs)
        except MemoryError:
            # It would keep what it has taken so far.
            del self._sessions[graph]
            raise
        return np.asarray(painted, np.uint8)
