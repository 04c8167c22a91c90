"""The encoder "VGG19-normalised" of AdaAttN, StyA2K and their relatives, and its features as keys.

VGG-19 with reflected borders and pooling that rounds up, fed with RGB in [0, 1]: its first 1x1
convolution turns the colours into what the Caffe network expects. torchvision's VGG-19 is another
network. `width` 0.25 has a quarter of the channels for about a sixteenth of the cost.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from models.whole import spread

CHANNELS = (64, 128, 256, 512, 512)
COUNTS = (2, 2, 4, 4, 1)
EPS = 1e-5


def widths(width: float) -> list[int]:
    """Channels of relu1_1 ... relu5_1."""
    return [round(c * width) for c in CHANNELS]


class Encoder(nn.Module):
    """RGB NCHW in [0, 1] -> [relu1_1, ..., relu`depth`_1], halved in size (rounded up) each."""

    def __init__(self, depth: int = 5, width: float = 1.0) -> None:
        super().__init__()
        counts = (*COUNTS[: depth - 1], 1)
        blocks = zip(widths(width), counts, strict=False)
        outputs = list(chain.from_iterable([c] * n for c, n in blocks))
        self.names = [f"conv{b}_{i}" for b, n in enumerate(counts, 1) for i in range(1, n + 1)]
        self.conv0 = nn.Conv2d(3, 3, 1)
        for name, a, b in zip(self.names, [3, *outputs], outputs, strict=False):
            self.add_module(name, nn.Conv2d(a, b, 3))
        start(self)
        nn.init.dirac_(self.conv0.weight)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x for name, x in self.walk(x) if name.endswith("_1")]

    def walk(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Every layer's name and its map after ReLU, one after the other."""
        x = self.conv0(x)
        for name in self.names:
            if name.endswith("_1") and name != self.names[0]:
                x = F.max_pool2d(x, 2, ceil_mode=True)
            x = F.relu(convolve(self.get_submodule(name), x))
            yield name, x

    def load(self, path: str | Path) -> None:
        """Take the weights of a .safetensors with these state names; deeper layers are left out.

        ValueError if one is missing or of another shape.
        """
        state, own = load_file(path), self.state_dict()
        wrong = [key for key in own if key not in state or state[key].shape != own[key].shape]
        if wrong:
            raise ValueError(f"{path} does not hold this encoder: {wrong[0]} is missing or differs")
        self.load_state_dict({key: state[key].float() for key in own})


def convolve(conv: nn.Module, x: Tensor) -> Tensor:
    """A 3x3 convolution of NCHW with reflected borders; a map one pixel thin is repeated."""
    mode = "reflect" if min(x.shape[2:]) > 1 else "replicate"
    return conv(F.pad(x, (1, 1, 1, 1), mode=mode))


def mean_variance_norm(x: Tensor) -> Tensor:
    """Zero mean and unit deviation for each channel of NCHW, with the unbiased variance + 1e-5.

    Statistics in float32. A single position becomes 0, where the published code divides 0 by 0.
    """
    centred, _, variance = spread(x)
    count = x.shape[2] * x.shape[3]
    variance = variance * (count / max(1, count - 1))
    return (centred * (variance + EPS).rsqrt()).to(x.dtype)


def stacked_key(maps: list[Tensor], level: int) -> Tensor:
    """Maps from relu1_1 on -> key of relu`level`_1: the finer maps beside its own, each normalised.

    Resized to the nearest position before they are normalised, as published; the paper (eq. 4)
    says bilinear.
    """
    size = maps[level - 1].shape[2:]
    resized = [F.interpolate(m, size, mode="nearest") for m in maps[:level]]
    return torch.cat([mean_variance_norm(m) for m in resized], 1)


def start(module: nn.Module) -> None:
    """He weights and no bias for all convolutions, so that depth neither fades nor swells maps."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
            nn.init.zeros_(part.bias)
