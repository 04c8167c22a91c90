"""Runs a model that paints by optimisation: in torch, a frame at a time, and says how far it is."""

from collections.abc import Generator

from torch import Tensor

from engines import Arrays, Frames
from engines.pytorch import Code, TorchEngine, content, luma, pixels
from engines.sparing import shortage

Painting = Generator[float, None, Frames]
"""Yields the share that is done, returns the frame."""


class OptimizingEngine(TorchEngine):
    """As any engine; beside it, `paint` says how far it is."""

    def __init__(self, model: str, device: str = "auto", threads: int | None = None) -> None:
        super().__init__(model, device, threads)
        self.batch = 1
        if model == "nnst":
            self.why = (
                "nnst sees with the narrow encoder that ships; with torchvision's VGG-16 it paints "
                "better (docs/nnst.md)"
            )

    def encode_style(self, style: Frames | Arrays, guide: Frames | None = None) -> Code:
        """As any engine; `guide` (h,w,3) marks the regions of the picture by colours."""
        if isinstance(style, dict):
            return super().encode_style(style)
        with shortage():
            x = content(self._sent(style[None].copy()))  # torch warns of read-only pictures
            code: Code = self.model.encode_style(x, self._marked(guide))
        return code

    def paint(
        self,
        frame: Frames,
        code: Code,
        strength: float,
        keep_color: bool,
        guide: Frames | None = None,
    ) -> Painting:
        """A frame (H,W,3) -> painted. `guide` (h,w,3): its regions, as the style's were marked.
        MemoryError: it does not fit."""
        with shortage():
            before = content(self._sent(frame[None]))
            painted = yield from self.model.paint(before, code, strength, self._marked(guide))
            if keep_color:
                painted = before + luma(painted) - luma(before)
            result: Frames = pixels(painted)[0].cpu().numpy()
        return result

    def _marked(self, guide: Frames | None) -> Tensor | None:
        return None if guide is None else content(self._sent(guide[None]))
