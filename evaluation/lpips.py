"""LPIPS: the distance of two pictures as people judge it (Zhang et al., CVPR 2018), version 0.1.

Channels of seven SqueezeNet 1.1 maps are scaled to unit length at each place; their squared
differences are weighted by the published linear heads, averaged over places and added.

The heads were fitted to torchvision's weights, whose input is RGB normalised by the scaling layer.
Files of the original Caffe weights say in their metadata that they want BGR: those answer by other
channels than the heads expect, and what comes out is like LPIPS, but is not it.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from evaluation.scene import Scene
from pipeline.errors import ConfigError

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
CAFFE_MEAN = (104.0, 117.0, 123.0)
CHANNELS = (64, 128, 256, 384, 384, 512, 512)
# torchvision's numbers of the layers; a map is taken after each group, "pool" has no weights.
GROUPS = (("pool", 3, 4), ("pool", 6, 7), ("pool", 9), (10,), (11,), (12,))
EPS = 1e-10


class Lpips:
    """`lpips(a, b)` of pictures (1,3,H,W) in [0, 1] -> 0 for equal ones, near 1 for unlike."""

    def __init__(self, squeeze: Path, heads: Path) -> None:
        """Files with torchvision's names (`features.0.weight` ...) and the heads' published ones
        (`lin0.model.1.weight` ...); ConfigError when they are not these."""
        self.weights, about = read(squeeze)
        self.caffe = about.get("input", "").startswith("BGR")
        lins, _ = read(heads)
        try:
            self.heads = [lins[f"lin{i}.model.1.weight"] for i in range(len(CHANNELS))]
            fits = [h.shape == (1, c, 1, 1) for h, c in zip(self.heads, CHANNELS, strict=True)]
            self.maps(torch.zeros(1, 3, 64, 64))
        except (KeyError, RuntimeError) as error:
            raise ConfigError(f"{squeeze} and {heads} are not SqueezeNet 1.1 and heads") from error
        if not all(fits):
            raise ConfigError(f"{heads} holds no LPIPS heads for SqueezeNet 1.1")

    @property
    def figure(self) -> str:
        """The key of the figure in figures.py that this is."""
        return "lpips_like" if self.caffe else "lpips"

    def __call__(self, a: Tensor, b: Tensor) -> float:
        total = 0.0
        for x, y, head in zip(self.maps(a), self.maps(b), self.heads, strict=True):
            total += F.conv2d((unit(x) - unit(y)).square(), head).mean().item()
        return total

    def maps(self, x: Tensor) -> list[Tensor]:
        """RGB in [0, 1] -> the seven maps."""
        x = F.relu(F.conv2d(self._normalise(x), *self._layer("0"), stride=2))
        maps = [x]
        for group in GROUPS:
            for layer in group:
                if layer == "pool":
                    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
                else:
                    x = self._fire(x, layer)
            maps.append(x)
        return maps

    def _normalise(self, x: Tensor) -> Tensor:
        if self.caffe:
            return x.flip(1) * 255 - x.new_tensor(CAFFE_MEAN)[:, None, None]
        shift, scale = (x.new_tensor(v)[:, None, None] for v in (SHIFT, SCALE))
        return (x * 2 - 1 - shift) / scale

    def _fire(self, x: Tensor, layer: int | str) -> Tensor:
        x = F.relu(F.conv2d(x, *self._layer(f"{layer}.squeeze")))
        narrow = F.conv2d(x, *self._layer(f"{layer}.expand1x1"))
        wide = F.conv2d(x, *self._layer(f"{layer}.expand3x3"), padding=1)
        return F.relu(torch.cat([narrow, wide], 1))

    def _layer(self, name: str) -> tuple[Tensor, Tensor]:
        return self.weights[f"features.{name}.weight"], self.weights[f"features.{name}.bias"]


class LpipsJudge:
    """LPIPS of painting and photograph."""

    def __init__(self, lpips: Lpips) -> None:
        self.lpips = lpips

    def __call__(self, painted: Tensor, scene: Scene) -> dict[str, float]:
        return {self.lpips.figure: self.lpips(painted, scene.picture)}


def unit(x: Tensor) -> Tensor:
    """Maps (1,C,H,W) with the channels of each place scaled to unit length."""
    return x / (x.square().sum(1, keepdim=True).sqrt() + EPS)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors, as float32, and metadata of a safetensors file; ConfigError when it is none."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"cannot read the weights {path}: {error}") from error
