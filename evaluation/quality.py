"""How much of the style arrives and how much of the photograph stays, on VGG-19 maps.

All figures divide the maps of a layer by the photograph's mean activation in it, so that no layer
speaks louder because its numbers are larger. On LAYERS:

- style_ratio: squared differences of channel means and standard deviations between painting and
  style, averaged over layers, divided by the same for the untouched photograph: 0 is the style's
  own statistics, 1 a photograph that was left alone.
- content: mean squared difference of the channels after each is given zero mean and unit
  deviation: 0 is the photograph, 2 is unrelated to it.
- gram: squared difference of the Gram matrices of painting and style, relative to the style's.

In the manner of MicroAST's script, on those of its layers that the network truly has:

- style_loss: mean over relu1_1 ... 5_1 of MSE(means) + MSE(deviations), painting against style.
- content_loss: mean over relu4_1 and 5_1 of the MSE of the maps, painting against photograph; on
  the deepest layer of LAYERS where the network ends before.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.scene import Scene
from training.loss_network import LossNetwork
from training.losses import moments

LAYERS = ["1_1", "2_1", "3_1", "3_4"]
STYLE_LAYERS = ["1_1", "2_1", "3_1", "4_1", "5_1"]
CONTENT_LAYERS = ["4_1", "5_1"]

Maps = dict[str, Tensor]
Scale = dict[str, float]


@dataclass(frozen=True, slots=True)
class Look:
    """Channel statistics by layer, which is all that a style is compared by: moments (1,C) and
    Gram matrices (C,C)."""

    moments: dict[str, tuple[Tensor, Tensor]]
    grams: dict[str, Tensor]


class VggJudge:
    """The figures of a painting that VGG-19 sees. ValueError: the network ends too early."""

    def __init__(self, network: LossNetwork) -> None:
        missing = [name for name in LAYERS if name not in network.true.names]
        if missing:
            raise ValueError(f"the VGG weights end before relu{missing[0]}")
        self.network = network
        self.style_layers = [n for n in STYLE_LAYERS if n in network.true.names]
        self.content_layers = [n for n in CONTENT_LAYERS if n in network.true.names] or LAYERS[-1:]
        self.layers = sorted({*LAYERS, *self.style_layers, *self.content_layers})
        self._styles: dict[str, Look] = {}
        self._photograph = ""
        self._own: Maps = {}

    def __call__(self, painted: Tensor, scene: Scene) -> dict[str, float]:
        """A painting (1,3,H,W) in [0, 1] of a scene -> figure: value."""
        own, style = self._maps_of(scene), self._look_of(scene)
        maps = own if painted is scene.picture else self.network(painted, self.layers)
        seen, before = look(maps), look(own)
        scale = {name: m.mean().item() for name, m in own.items()}
        untouched = style_distance(before, style, scale, LAYERS)
        return {
            "style_ratio": style_distance(seen, style, scale, LAYERS) / untouched,
            "content": content_distance(maps, own),
            "content_loss": content_loss(maps, own, scale, self.content_layers),
            "style_loss": style_distance(seen, style, scale, self.style_layers),
            "gram": gram_distance(seen, style),
        }

    def _maps_of(self, scene: Scene) -> Maps:
        """The photograph's maps; only the last ones are kept, for they are large."""
        if self._photograph != scene.photograph:
            self._photograph = scene.photograph
            self._own = self.network(scene.picture, self.layers)
        return self._own

    def _look_of(self, scene: Scene) -> Look:
        if scene.style not in self._styles:
            self._styles[scene.style] = look(self.network(scene.wanted, self.layers))
        return self._styles[scene.style]


def look(maps: Maps) -> Look:
    """The statistics of one picture's maps."""
    return Look({n: moments(m) for n, m in maps.items()}, {n: gram(maps[n]) for n in LAYERS})


def gram(x: Tensor) -> Tensor:
    """Features (1,C,H,W) -> mean over positions of the products of channels (C,C)."""
    flat = x[0].flatten(1).float()
    return flat @ flat.mT / flat.shape[1]


def style_distance(a: Look, b: Look, scale: Scale, layers: list[str]) -> float:
    """Mean over layers of the squared differences of channel means and deviations."""
    total = 0.0
    for name in layers:
        (m, s), (m2, s2) = a.moments[name], b.moments[name]
        total += (F.mse_loss(m, m2) + F.mse_loss(s, s2)).item() / scale[name] ** 2
    return total / len(layers)


def gram_distance(a: Look, b: Look) -> float:
    """Mean over LAYERS of |Ga - Gb|^2 / |Gb|^2."""
    parts = [(a.grams[n] - b.grams[n]).square().sum() / b.grams[n].square().sum() for n in LAYERS]
    return torch.stack(parts).mean().item()


def content_distance(maps: Maps, photograph: Maps) -> float:
    """Mean over LAYERS of the mean squared difference of normalised channels."""

    def normal(x: Tensor) -> Tensor:
        centred = x - x.mean((2, 3), keepdim=True)
        return centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()

    parts = [F.mse_loss(normal(maps[n]), normal(photograph[n])).item() for n in LAYERS]
    return sum(parts) / len(parts)


def content_loss(maps: Maps, photograph: Maps, scale: Scale, layers: list[str]) -> float:
    """Mean over layers of the mean squared difference of the scaled maps."""
    parts = [F.mse_loss(maps[n], photograph[n]).item() / scale[n] ** 2 for n in layers]
    return sum(parts) / len(parts)
