"""Gives every frame back untouched: measures the pipeline, proves colour and time."""

from engines import Arrays, Frames


class IdentityEngine:
    """Needs no model, no style and no torch."""

    fingerprint = "identity"
    batch = 1
    why = ""

    def encode_style(self, style: Frames | Arrays) -> None:
        """Nothing depends on a style."""

    def mix(self, codes: list[None], weights: list[float]) -> None:
        """Nothing to mix."""

    def __call__(self, frames: Frames, code: None, strength: float, keep_color: bool) -> Frames:
        """The same array."""
        return frames
