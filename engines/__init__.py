"""Engines run one model on one kind of hardware. `load_engine` gives the one that fits.

Every engine has `encode_style(picture) -> code`, made once per style, `mix(codes, weights)`, and
`engine(frames, code, strength, keep_color) -> frames`, with frames as uint8 RGB (N,H,W,3).
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Arrays = dict[str, NDArray[np.float32]]


class Engine(Protocol):
    """What a stylizer needs of an engine."""

    fingerprint: str
    """Model, runtime, device and precision: two engines that differ here may paint differently."""

    batch: int
    """Frames a call that suit the hardware best."""

    def encode_style(self, style: Frames | Arrays) -> Any:
        """A style picture (H,W,3), or the arrays of a code that was made before -> its code."""
        ...

    def mix(self, codes: list[Any], weights: list[float]) -> Any:
        """The weighted sum of codes, by shares that are not negative nor all zero."""
        ...

    def __call__(self, frames: Frames, code: Any, strength: float, keep_color: bool) -> Frames:
        """Frames (N,H,W,3) -> the same frames, painted."""
        ...


def load_engine(model: str, device: str = "auto", threads: int | None = None) -> Engine:
    """The engine for a model of models/, or for `identity`; raises ValueError for unknown names."""
    if model == "identity":
        from engines.identity import IdentityEngine

        return IdentityEngine()
    from engines.pytorch import TorchEngine

    return TorchEngine(model, device, threads)
