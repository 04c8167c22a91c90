"""Engines run one model on one kind of hardware. `load_engine` gives the one that fits.

Every engine has `encode_style(picture) -> code`, made once per style, `mix(codes, weights)`, and
`engine(frames, code, strength, keep_color) -> frames`, with frames as uint8 RGB (N,H,W,3).
"""

import os
import sys
from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import models

# Runtimes that would tell their makers of every start, and keep a number for the machine. OpenVINO
# forks a process for it, between threads, which can hang and holds up the end of ours.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.modules.setdefault("openvino_telemetry", None)

HOMES = {
    "torch": ("pytorch", "TorchEngine"),
    "cuda": ("cuda", "CudaEngine"),
    "onnx": ("onnx", "OnnxEngine"),
    "openvino": ("openvino", "OpenVinoEngine"),
    "openvino-bf16": ("openvino", "in_bfloat16"),
    "tensorrt": ("tensorrt", "TensorRtEngine"),
}
KINDS = ("auto", *HOMES)

Frames = NDArray[np.uint8]
Arrays = dict[str, NDArray[np.float32]]


def said(error: object) -> str:
    """The first line of what an error says; of one that says nothing, its kind."""
    return (str(error).splitlines() or [type(error).__name__])[0]


class Engine(Protocol):
    """What a stylizer needs of an engine."""

    fingerprint: str
    """Model, runtime, device and precision: two engines that differ here may paint differently."""

    batch: int
    """Frames a call that suit the hardware best."""

    why: str
    """Why this engine was chosen; empty where it was asked for."""

    def encode_style(self, style: Frames | Arrays) -> Any:
        """A style picture (H,W,3), or the arrays of a code that was made before -> its code."""
        ...

    def mix(self, codes: list[Any], weights: list[float]) -> Any:
        """The weighted sum of codes, by shares that are not negative nor all zero."""
        ...

    def __call__(self, frames: Frames, code: Any, strength: float, keep_color: bool) -> Frames:
        """Frames (N,H,W,3) -> the same frames, painted. Where memory is short, in smaller portions,
        as `why` then says; MemoryError, in one line: not even the smallest fits."""
        ...


class MatchingEngine(Engine, Protocol):
    """An engine whose model says which places of the style it matches (dynast in torch)."""

    def matches(self, frames: Frames, code: Any, strength: float) -> list[Frames]:
        """For each layer, from coarse to fine, the style's picture moved to where the layer has
        found it for the frames (N,H,W,3): (N,h,w,3) of its own size."""
        ...


class StillEngine(Engine, Protocol):
    """An engine whose model takes more pains with a picture that stands alone (nnst_d in torch)."""

    paints_stills: bool

    def still(self, frames: Frames, code: Any, strength: float, keep_color: bool) -> Frames:
        """As the engine itself paints frames of a film, but better. Where `paints_stills`."""
        ...


class PatientEngine(Engine, Protocol):
    """An engine whose model paints by optimisation (models.optimises): it takes minutes a frame,
    and says how far it is."""

    def encode_style(self, style: Frames | Arrays, guide: Frames | None = None) -> Any:
        """As any engine; `guide` (h,w,3) marks the regions of the picture by colours."""
        ...

    def paint(
        self,
        frame: Frames,
        code: Any,
        strength: float,
        keep_color: bool,
        guide: Frames | None = None,
    ) -> Generator[float, None, Frames]:
        """A frame (H,W,3), which is returned painted once all is done; `guide` marks its regions,
        as those of the style were marked. Yields the share that is done."""
        ...


def load_engine(
    model: str, device: str = "auto", threads: int | None = None, kind: str = "torch"
) -> Engine:
    """The engine of one of KINDS, or of the folder of an export, for a model or for `identity`.

    ValueError: an unknown name, or a model or a device that this kind of engine cannot run.
    """
    if model == "identity":
        from engines.identity import IdentityEngine

        return IdentityEngine()
    if models.optimises(model):
        if kind not in ("auto", "torch"):
            raise ValueError(f"it paints by optimisation, which needs --engine torch, not {kind}")
        from engines.optimizing import OptimizingEngine

        return OptimizingEngine(model, device, threads)
    if kind == "auto":
        from engines.choice import choose

        return choose(model, device, threads)
    if kind not in HOMES:
        from engines.exported import open_export

        return open_export(Path(kind), model, device, threads)
    return make_engine(kind, model, device, threads)


def make_engine(kind: str, model: str, device: str, threads: int | None, **more: Any) -> Engine:
    """An engine of the named kind, whose runtime is imported only now. `more`: for it alone."""
    module, name = HOMES[kind]
    try:
        make = getattr(import_module(f"engines.{module}"), name)
    except ImportError as error:
        raise ValueError(f"engine {kind} is not installed ({error})") from error
    engine: Engine = make(model, device, threads, **more)
    return engine


def check_code(engine: Engine, code: Arrays) -> None:
    """ValueError unless a code from a file has the tensors of this engine's own codes, of their
    shapes; those that hold a whole picture are as large as it was."""
    own = engine.encode_style(np.zeros((64, 64, 3), np.uint8))
    if own is None:  # identity
        return
    other = own
    if any(name.endswith(".share") for name in own):
        other = engine.encode_style(np.zeros((96, 128, 3), np.uint8))

    def fits(name: str) -> bool:
        """What is alike in codes of two pictures has to be so in every code."""
        shape, first, second = (tuple(c[name].shape) for c in (code, own, other))
        return len(shape) == len(first) and all(
            n == a if a == b else n > 0 for n, a, b in zip(shape, first, second, strict=False)
        )

    if code.keys() != own.keys() or not all(map(fits, own)):
        raise ValueError("a style code does not hold what this model needs; make it again")
