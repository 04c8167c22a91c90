"""What engines that run exported graphs share. torch is imported only to make the graphs."""

from abc import ABC, abstractmethod
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

import models
from engines import Arrays, Frames, cache
from models import mixing, pictures

MULTIPLE = pictures.MULTIPLE
LEAST = 2
"""multiples a side"""


class GraphEngine(ABC):
    """One model in float32."""

    batch = 1
    why = ""
    runtime: str

    def __init__(self, model: str, device: str = "auto", threads: int | None = None) -> None:
        """ValueError: a device that the runtime has not, or a model without a graph for every
        style."""
        self._device = self._pick(device)
        self.fingerprint = f"{model} {self.runtime} {self._device} float32"
        self._threads = threads
        self._style_graph = graph(model, "style")
        self._load(graph(model, "frame"))

    def _pick(self, device: str) -> str:
        """The device to run on; ValueError: this runtime has it not."""
        if device not in ("auto", "cpu"):
            raise ValueError(f"{self.runtime} runs on the CPU: --device cpu or --engine torch")
        return "cpu"

    @abstractmethod
    def _load(self, graph: Path) -> None:
        """Make the graph of the frame side ready to run."""

    @abstractmethod
    def _paint(self, inputs: dict[str, np.ndarray]) -> Frames:
        """All inputs of the frame side by name -> its output."""

    @abstractmethod
    def _encode(self, graph: Path, picture: Frames) -> Arrays:
        """Run the graph of the style side, once, on a picture (1,H,W,3)."""

    def encode_style(self, style: Frames | Arrays) -> Arrays:
        """A style picture (H,W,3), or the arrays of a saved code -> its code."""
        if isinstance(style, dict):
            return style
        return self._encode(self._style_graph, pictures.style_sized(style)[None])

    def mix(self, codes: list[Arrays], weights: list[float]) -> Arrays:
        """The weighted sum of codes."""
        return mixing.mix(codes, weights)

    def __call__(self, frames: Frames, code: Arrays, strength: float, keep_color: bool) -> Frames:
        """uint8 RGB (N,H,W,3) -> painted; `keep_color` takes only the brightness."""
        about = {
            "strength": np.array(strength, np.float32),
            "keep_color": np.array(keep_color, np.float32),
        }
        h, w = frames.shape[1:3]
        painted = [self._paint({"frames": pad(f)[None], **about, **code})[0] for f in frames]
        return np.stack([p[:h, :w] for p in painted])


def graph(model: str, side: str) -> Path:
    """The graph of the `style` or the `frame` side, from the cache; made there when missing."""

    def write(path: Path) -> None:
        from engines import graph

        {"style": graph.write_style, "frame": graph.write_frame}[side](models.load(model), path)

    about = [Path(model).stem, models.fingerprint(model), cache.code_version()]
    torch_version = version("torch").split("+")[0]
    return cache.obtain("-".join([*about, f"torch{torch_version}", f"{side}.onnx"]), write)


def pad(frame: Frames) -> Frames:
    """As the models do it: reflected at the right and the bottom, small sides repeated."""
    h, w = frame.shape[:2]
    wide, high = padded(w, h)
    bottom, right = high - h, wide - w
    if not bottom and not right:
        return np.ascontiguousarray(frame)
    how = cv2.BORDER_REFLECT_101 if bottom < h and right < w else cv2.BORDER_REPLICATE
    return np.asarray(cv2.copyMakeBorder(frame, 0, bottom, 0, right, how), np.uint8)


def padded(width: int, height: int) -> tuple[int, int]:
    """The sides that a frame is padded to."""
    wide, high = (s + max(-s % MULTIPLE, LEAST * MULTIPLE - s) for s in (width, height))
    return wide, high
