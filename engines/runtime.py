"""What engines that run exported graphs share. torch is imported only to make the graphs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

import models
from engines import Arrays, Frames, cache
from engines.sparing import Sparing, shortage
from models import mixing, pictures

if TYPE_CHECKING:
    from engines.pytorch import TorchEngine

MULTIPLE = pictures.MULTIPLE
LEAST = 2
"""multiples a side"""


Size = tuple[int, int]
"""Height and width, px, as frames are padded."""


@dataclass(frozen=True, slots=True)
class Graphs:
    """A model as files: the style side, and the frame side for sizes each or (None) for any."""

    name: str
    """Of the model, its weights and its precision: others have another."""
    style: Path
    frames: dict[Size | None, Path]

    def fitting(self, height: int, width: int) -> tuple[Size, Path]:
        """The size to pad a frame to, and the graph for it. ValueError: none is large enough."""
        wide, high = padded(width, height)
        for size in ((high, wide), None):
            if size in self.frames:
                return (high, wide), self.frames[size]
        holding = [s for s in self.frames if s and s[0] >= high and s[1] >= wide]
        if not holding:
            sizes = ", ".join(f"{w}x{h}" for h, w in filter(None, self.frames))
            raise ValueError(
                f"frames of {width}x{height} fit none of its graphs ({sizes}): export one with "
                f"--sizes {width}x{height}, or --dynamic"
            )
        size = min(holding, key=lambda s: s[0] * s[1])
        return size, self.frames[size]


class GraphEngine(ABC):
    """One model as graphs, in the precision that stands in them."""

    batch = 1
    why = ""
    runtime: str

    def __init__(
        self,
        model: str,
        device: str = "auto",
        threads: int | None = None,
        graphs: Graphs | None = None,
    ) -> None:
        """`graphs`: None makes them, in float32. ValueError: a device that the runtime has not, or
        a model without a graph for every style."""
        self._device = self._pick(device)
        self._graphs = graphs or traced(model)
        self._model = model
        self._torch: TorchEngine | None = None
        self._sparing = Sparing(self._at_once, self._in_tiles)
        self.fingerprint = f"{self._graphs.name} {self.runtime} {self._device}"
        self._threads = threads

    def _pick(self, device: str) -> str:
        """The device to run on; ValueError: this runtime has it not."""
        if device not in ("auto", "cpu"):
            raise ValueError(f"{self.runtime} runs on the CPU: --device cpu or --engine torch")
        return "cpu"

    @abstractmethod
    def _paint(self, graph: Path, inputs: dict[str, np.ndarray]) -> Frames:
        """All inputs of a graph of the frame side by name -> its output. MemoryError: they do not
        fit, and nothing is held of what was made ready for them."""

    @abstractmethod
    def _encode(self, graph: Path, picture: Frames) -> Arrays:
        """Run the graph of the style side, once, on a picture (1,H,W,3)."""

    def encode_style(self, style: Frames | Arrays) -> Arrays:
        """A style picture (H,W,3), or the arrays of a saved code -> its code."""
        if isinstance(style, dict):
            return style
        return self._encode(self._graphs.style, pictures.style_sized(style)[None])

    def mix(self, codes: list[Arrays], weights: list[float]) -> Arrays:
        """The weighted sum of codes."""
        return mixing.mix(codes, weights)

    def __call__(self, frames: Frames, code: Arrays, strength: float, keep_color: bool) -> Frames:
        """uint8 RGB (N,H,W,3) -> painted; `keep_color` takes only the brightness."""
        painted = self._sparing(frames, code, strength, keep_color)
        if self._sparing.notice:
            by = " by torch" if self._torch else ""
            self.why = self._sparing.notice + by
        return painted

    def _at_once(self, frames: Frames, code: Arrays, strength: float, keep_color: bool) -> Frames:
        about = {
            "strength": np.array(strength, np.float32),
            "keep_color": np.array(keep_color, np.float32),
        }
        h, w = frames.shape[1:3]
        size, graph = self._graphs.fitting(h, w)
        if size != padded(w, h)[::-1]:
            self.why = f"frames of {w}x{h} are painted as {size[1]}x{size[0]}, which has a graph"
        given = [{"frames": pad(f, size)[None], **about, **code} for f in frames]
        return np.stack([self._paint(graph, one)[0][:h, :w] for one in given])

    def _in_tiles(
        self, frame: Frames, side: int, code: Arrays, strength: float, keep_color: bool
    ) -> Frames:
        """By torch: a graph gives no place to figures of the whole frame."""
        if self._torch is None:
            try:
                from engines.pytorch import TorchEngine
            except (ImportError, RuntimeError) as error:
                raise MemoryError("torch, which paints in tiles, cannot be loaded") from error
            with shortage():
                self._torch = TorchEngine(self._model, self._device, self._threads)
        code = self._torch.encode_style(code)
        return self._torch.in_tiles(frame, side, code, strength, keep_color)


def traced(model: str) -> Graphs:
    """The graphs of a model of models/, of any size, in float32."""
    name = f"{Path(model).stem}-{models.fingerprint(model)}"
    return Graphs(name, graph(model, "style"), {None: graph(model, "frame")})


def graph(model: str, side: str) -> Path:
    """The graph of the `style` or the `frame` side, from the cache; made there when missing."""

    def write(path: Path) -> None:
        from engines import graph

        {"style": graph.write_style, "frame": graph.write_frame}[side](models.load(model), path)

    return cache.obtain(f"{made_of(model)}-{side}.onnx", write)


def made_of(model: str) -> str:
    """What a graph is made of, as a name: others are made of something else."""
    torch_version = version("torch").split("+")[0]
    about = [Path(model).stem, models.fingerprint(model), cache.code_version()]
    return "-".join([*about, f"torch{torch_version}"])


def pad(frame: Frames, size: Size | None = None) -> Frames:
    """To `size`, or as the models do it: reflected at the right and the bottom; where that is more
    than the frame has, its border is repeated."""
    h, w = frame.shape[:2]
    high, wide = size or padded(w, h)[::-1]
    bottom, right = high - h, wide - w
    if not bottom and not right:
        return np.ascontiguousarray(frame)
    how = cv2.BORDER_REFLECT_101 if bottom < h and right < w else cv2.BORDER_REPLICATE
    return np.asarray(cv2.copyMakeBorder(frame, 0, bottom, 0, right, how), np.uint8)


def padded(width: int, height: int) -> tuple[int, int]:
    """The sides that a frame is padded to."""
    wide, high = (s + max(-s % MULTIPLE, LEAST * MULTIPLE - s) for s in (width, height))
    return wide, high
