"""What engines that run an exported graph share: the style side in torch, padding, cropping."""

from abc import ABC, abstractmethod
from pathlib import Path

import cv2
import numpy as np
import torch

import models
from engines import Arrays, Frames, cache
from engines.graph import LEAST, MULTIPLE, write_graph
from engines.pytorch import TorchEngine, pick_device


class GraphEngine(ABC):
    """One model on the CPU, in float32; frames go through its graph, styles through torch once."""

    batch = 1
    why = ""
    runtime: str

    def __init__(self, model: str, device: str = "auto", threads: int | None = None) -> None:
        """ValueError: another device than the CPU, or a model without a graph for every style."""
        if pick_device(device).type != "cpu":
            raise ValueError(f"{self.runtime} runs on the CPU: --device cpu or --engine torch")
        self._torch = TorchEngine(model, "cpu", threads)
        self.min_side = self._torch.min_side
        self.fingerprint = f"{model} {self.runtime} cpu float32"
        self._load(self._graph(model), threads)

    def _graph(self, model: str) -> Path:
        version = torch.__version__.split("+")[0]
        about = [Path(model).stem, models.fingerprint(model), cache.code_version()]
        name = "-".join([*about, f"torch{version}.onnx"])
        return cache.obtain(name, lambda path: write_graph(self._torch.model, path))

    @abstractmethod
    def _load(self, graph: Path, threads: int | None) -> None:
        """Make the graph ready to run."""

    @abstractmethod
    def _run(self, inputs: dict[str, np.ndarray]) -> Frames:
        """All inputs by name -> the output."""

    def encode_style(self, style: Frames | Arrays) -> Arrays:
        """A style picture (H,W,3), or the arrays of a saved code -> its code."""
        return {name: t.numpy() for name, t in self._torch.encode_style(style).items()}

    def mix(self, codes: list[Arrays], weights: list[float]) -> Arrays:
        """The weighted sum of codes."""
        held = [self._torch.encode_style(code) for code in codes]
        return {name: t.numpy() for name, t in self._torch.mix(held, weights).items()}

    def __call__(self, frames: Frames, code: Arrays, strength: float, keep_color: bool) -> Frames:
        """uint8 RGB (N,H,W,3) -> painted; `keep_color` takes only the brightness."""
        about = {
            "strength": np.array(strength, np.float32),
            "keep_color": np.array(keep_color, np.float32),
        }
        h, w = frames.shape[1:3]
        painted = [self._run({"frames": pad(f)[None], **about, **code})[0] for f in frames]
        return np.stack([p[:h, :w] for p in painted])


def pad(frame: Frames) -> Frames:
    """As the models do it: reflected at the right and the bottom, small sides repeated."""
    h, w = frame.shape[:2]
    bottom, right = (max(-side % MULTIPLE, LEAST * MULTIPLE - side) for side in (h, w))
    if not bottom and not right:
        return np.ascontiguousarray(frame)
    how = cv2.BORDER_REFLECT_101 if bottom < h and right < w else cv2.BORDER_REPLICATE
    return np.asarray(cv2.copyMakeBorder(frame, 0, bottom, 0, right, how), np.uint8)
