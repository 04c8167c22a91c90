"""What lies where: mixes of styles in layers, each seen through its mask over those beneath."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engines import Frames
from pipeline.frame import Pixels
from pipeline.mask import Mask
from pipeline.timeline import Span, Timeline

Shares = tuple[float, ...]
"""Of all styles, by their places; styles that came later may be left out."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A mask (None: everywhere) and what is seen through it when."""

    name: str
    mask: Mask | None
    timeline: Timeline


class Layers:
    """The layers of a picture, the lowest first. Not changed once made."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers

    @classmethod
    def planned(cls, timeline: Timeline, masks: list[Mask], styles: int) -> "Layers":
        """Without masks all styles go by the timeline; else each has its layer, the first lies
        beneath."""
        if not masks:
            return cls([Layer("0", None, timeline)])
        only = [Timeline([(Span(), float(i == k)) for i in range(styles)]) for k in range(styles)]
        placed = zip([None, *masks], only, strict=True)
        return cls([Layer(str(k), mask, line) for k, (mask, line) in enumerate(placed)])

    @property
    def masks(self) -> dict[str, Mask]:
        """All of them, by their paths."""
        return {layer.mask.path: layer.mask for layer in self._layers if layer.mask}

    def since(self, now_s: float) -> "Layers":
        """Without fades that are over then."""
        return Layers(
            [replace(layer, timeline=layer.timeline.since(now_s)) for layer in self._layers]
        )

    @property
    def places(self) -> set[int]:
        """Of the styles that are seen in some layer at some time."""
        return set().union(*(layer.timeline.places for layer in self._layers))

    def at(self, time_s: float) -> tuple[Shares, ...]:
        """The shares in each layer."""
        return tuple(layer.timeline.at(time_s) for layer in self._layers)

    def turned(
        self,
        at_s: float,
        fade_s: float,
        wanted: Sequence[tuple[str, Mask | None, list[float]]],
    ) -> "Layers":
        """Other layers from `at_s` on: name, mask and shares of each. A layer of a name that was
        there fades over; one that is new fades in from what lies beneath all."""
        before = {layer.name: layer for layer in self._layers}
        lowest = self._layers[0].timeline
        turned = []
        for name, mask, shares in wanted:
            layer = before.get(name) or Layer(name, mask, lowest)
            line = layer.timeline
            if line.final != tuple(shares):
                line = line.turned(at_s, fade_s, shares)
            turned.append(replace(layer, mask=mask, timeline=line))
        return Layers(turned)

    def paint(
        self, times_s: Sequence[float], frames: Frames, painted: Callable[[Shares], Frames]
    ) -> Frames:
        """`frames` (N,H,W,3), whose shares are alike; `painted` paints all of them in one mix."""
        shares = self.at(times_s[0])
        if all(other == shares[0] for other in shares):
            return painted(shares[0])
        h, w = frames.shape[1:3]
        result = painted(shares[0]).astype(np.float32)
        for layer, own in zip(self._layers[1:], shares[1:], strict=True):
            assert layer.mask
            seen = np.stack([layer.mask.at(t, w, h) for t in times_s])
            if seen.any():
                result += seen * (painted(own) - result)
        whole: Pixels = result.round().astype(np.uint8)
        return whole
