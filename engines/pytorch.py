"""Runs a model in eager PyTorch on a CPU, a CUDA GPU or Apple's MPS."""

from collections.abc import Callable
from threading import current_thread, main_thread

import numpy as np
import torch
from torch import Tensor

import models
from engines import Arrays, Frames
from engines.sparing import Sparing, shortage
from engines.tiles import in_tiles
from models import mixing, styles
from models.allocation import keep_freed

LUMA = (0.299, 0.587, 0.114)

Code = dict[str, Tensor]
Paint = Callable[[Tensor, Code, float | Tensor], Tensor]


class TorchEngine:
    """One model with its trained weights, in float32."""

    why = ""

    def __init__(self, model: str, device: str = "auto", threads: int | None = None) -> None:
        """`threads`: CPU threads to use; None leaves it to torch."""
        self._threads = threads
        self._claim_threads()
        self.device = pick_device(device)
        if self.device.type == "cpu":
            keep_freed()
        if self.device.type == "cuda":
            # Unasked, convolutions round factors of float32 to 10 bits: another picture.
            torch.backends.cudnn.allow_tf32 = False
        self.model = models.load(model).to(self.device, memory_format=torch.channels_last)
        self.paints_stills = hasattr(self.model, "still")
        self.batch = 1 if self.device.type == "cpu" else 8
        self._sparing = Sparing(self.at_once, self.in_tiles)
        self.fingerprint = f"{model} torch {torch.__version__} {self.device} float32"

    @torch.inference_mode()
    def encode_style(self, style: Frames | Arrays) -> Code:
        """A style picture (H,W,3), or the arrays of a saved code -> its code on the device."""
        if isinstance(style, dict):
            return {name: torch.tensor(values).to(self.device) for name, values in style.items()}
        if current_thread() is not main_thread():
            # Beside the painting: two teams of threads on the same cores wait for one another.
            torch.set_num_threads(1)
        return styles.encode(self.model, style)

    @torch.inference_mode()
    def mix(self, codes: list[Code], weights: list[float]) -> Code:
        """The weighted sum of codes."""
        return mixing.mix(codes, weights)

    def __call__(self, frames: Frames, code: Code, strength: float, keep_color: bool) -> Frames:
        """uint8 RGB (N,H,W,3) -> painted; `keep_color` takes only the brightness."""
        painted = self._sparing(frames, code, strength, keep_color)
        self.why = self._sparing.notice or self.why
        return painted

    @torch.inference_mode()
    @shortage()
    def at_once(self, frames: Frames, code: Code, strength: float, keep_color: bool) -> Frames:
        """As __call__, all of the frames together. MemoryError: they do not fit."""
        return self._painted(self.model, frames, code, strength, keep_color)

    def in_tiles(
        self, frame: Frames, side: int, code: Code, strength: float, keep_color: bool
    ) -> Frames:
        """As __call__, one frame (1,H,W,3) in tiles of `side` px. MemoryError: they do not fit."""
        return in_tiles(lambda tile: self.at_once(tile, code, strength, keep_color), frame, side)

    def still(self, frames: Frames, code: Code, strength: float, keep_color: bool) -> Frames:
        """As of a StillEngine; where memory is short, as any frame."""
        try:
            return self._at_length(frames, code, strength, keep_color)
        except MemoryError:
            h, w = frames.shape[1:3]
            self.why = f"memory is short: {w}x{h} painted as a frame of a film is"
        return self(frames, code, strength, keep_color)

    @torch.inference_mode()
    @shortage()
    def _at_length(self, frames: Frames, code: Code, strength: float, keep_color: bool) -> Frames:
        return self._painted(self.model.still, frames, code, strength, keep_color)

    @torch.inference_mode()
    @shortage()
    def matches(self, frames: Frames, code: Code, strength: float) -> list[Frames]:
        """As of a MatchingEngine."""
        found = self.model.matches(content(self._sent(frames)), code, strength)
        return [pixels(picture).cpu().numpy() for picture in found]

    def _painted(
        self, paint: Paint, frames: Frames, code: Code, strength: float, keep_color: bool
    ) -> Frames:
        self._claim_threads()
        found = painted(paint, self._sent(frames), code, strength, keep_color)
        result: Frames = found.cpu().numpy()
        return result

    def _claim_threads(self) -> None:
        """For the thread that calls: each has its number, and new ones that of the last call of
        any."""
        if self._threads and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)

    def _sent(self, frames: Frames) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(frames)).to(self.device)


def painted(
    paint: Paint, frames: Tensor, code: Code, strength: float | Tensor, keep_color: bool
) -> Tensor:
    """uint8 RGB (N,H,W,3) -> the same, painted."""
    before = content(frames)
    after = paint(before, code, strength)
    if keep_color:
        after = before + luma(after) - luma(before)
    return pixels(after)


def content(frames: Tensor) -> Tensor:
    """uint8 (N,H,W,3) -> (N,3,H,W) in [0, 1]."""
    return frames.permute(0, 3, 1, 2).float().div(255)


def pixels(x: Tensor) -> Tensor:
    """The way back from `content`; what lies outside [0, 1] is cut."""
    return x.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1)


def pick_device(name: str) -> torch.device:
    """`auto` prefers CUDA, then MPS, then the CPU; ValueError when the named one is not there."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, found in there.items() if found))
    kind, _, index = name.partition(":")
    beyond = kind == "cuda" and index.isdecimal() and int(index) >= torch.cuda.device_count()
    if beyond or not there.get(kind):
        found = ", ".join(kind for kind, here in there.items() if here)
        raise ValueError(f"device '{name}' is not on this machine (found: {found})")
    return torch.device(name)


def luma(x: Tensor) -> Tensor:
    """Brightness (N,1,H,W) of NCHW RGB, BT.601 weights."""
    red, green, blue = (share * x[:, i : i + 1] for i, share in enumerate(LUMA))
    return red + green + blue
