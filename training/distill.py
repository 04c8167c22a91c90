"""python -m training.distill --config configs/distill_encoder.yaml --content DIR --style DIR

Teaches a narrow encoder of models/vgg.py what VGG-19 sees (after Wang et al., Collaborative
Distillation, CVPR 2020): 1x1 convolutions, which only training has, must be able to predict the
loss network's maps from its maps.
"""

import copy
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.vgg import Encoder, widths
from training import data
from training.alive import listening
from training.command import command
from training.loss_network import load_loss_network
from training.options import SHALLOW_TO_DEEP, DistilOptions, check_shares
from training.precision import dtype
from training.weights import begin

EXAMPLE = (
    "python -m training.distill --config configs/distill_encoder.yaml --content photos/ "
    "--style paintings/"
)
LEAST_MEAN = 0.01
"""Of the mean of a layer: a filter that hardly ever answers is not blown up to be heard."""
ALIVE = 0.1
"""Weight of the term that keeps filters answering."""


class Student(nn.Module):
    """The encoder, and for each layer a 1x1 convolution to `outputs` channels."""

    def __init__(self, width: float, outputs: dict[str, int]) -> None:
        super().__init__()
        self.encoder = Encoder(len(SHALLOW_TO_DEEP), width)
        # Colours enter as the network can best use them: about zero mean and unit deviation.
        self.encoder.conv0.weight.data *= 4
        nn.init.constant_(self.encoder.conv0.bias, -2)
        inputs = dict(zip(SHALLOW_TO_DEEP, widths(width), strict=True))
        self.aux = nn.ModuleDict({n: nn.Conv2d(inputs[n], c, 1) for n, c in outputs.items()})

    def forward(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """RGB NCHW in [0, 1] -> {layer: prediction of the loss network's map}, and how far filters
        are from answering."""
        with listening(self) as silence:
            maps = dict(zip(SHALLOW_TO_DEEP, self.encoder(x), strict=True))
        predicted = {n: F.relu(aux(maps[n])) for n, aux in self.aux.items()}
        return predicted, torch.stack(silence).mean()


class Distillation:
    """The task of the loop: a student, its pictures and its teacher."""

    critic_rate = 1.0  # nothing learns beside it

    def __init__(self, options: DistilOptions, device: torch.device) -> None:
        self.options = o = options
        check_shares("layers", o.layers)
        if odd := set(o.layers) - set(SHALLOW_TO_DEEP):
            known = ", ".join(SHALLOW_TO_DEEP)
            raise ValueError(f"layers has {odd.pop()}: the encoder gives {known}")
        self.device = device
        self.weights = {f"relu{n}": weight for n, weight in o.layers.items()} | {"alive": ALIVE}
        self.content = data.Pictures(data.read(o.content, o.short_side))
        self.style = data.Pictures(data.read(o.style, o.short_side))
        self.network = load_loss_network(o.vgg, o.deep).to(device)
        survey = (x.to(device) for x in self.content.survey(o.batch, o.side))
        self.network.calibrate(survey, list(o.layers))
        self.network.to(dtype(o.precision, device))
        seen = self.network(torch.zeros(1, 3, o.side, o.side, device=device), list(o.layers))
        student = Student(o.width, {n: x.shape[1] for n, x in seen.items()})
        for init in o.init:
            begin(student.encoder, init)
        self.model = self.module = student.to(device, memory_format=torch.channels_last)

    def terms(self, module: nn.Module, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Squared error of each predicted map, relative to the map's own mean square."""
        o = self.options
        drawn = [p.batch(o.batch, o.side, o.closest, rng) for p in (self.content, self.style)]
        x = recoloured(torch.cat(drawn)).to(self.device)
        with torch.no_grad():
            wanted = {n: m.float() for n, m in self.network(x, list(o.layers)).items()}
        kind = dtype(o.model_precision, self.device)
        enabled = kind != torch.float32
        with torch.autocast(self.device.type, kind if enabled else None, enabled):
            have, alive = module(x)
        errors = {
            f"relu{n}": F.mse_loss(have[n].float(), m) / m.square().mean()
            for n, m in wanted.items()
        }
        return errors | {"alive": alive}

    def sheet(self, model: nn.Module, folder: Path, step: int) -> None:
        """There is nothing to see in features."""

    def shipped(self, model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The encoder alone, its filters scaled to a mean activation of 1 over photographs."""
        encoder = copy.deepcopy(model.encoder)
        o = self.options
        survey = [x.to(self.device) for x in self.content.survey(o.batch, o.side)]
        rescale(encoder, survey)
        about = {"part": "encoder", "width": str(o.width), "batch": str(o.batch)}
        return encoder.state_dict(), about


def recoloured(x: Tensor) -> Tensor:
    """Pictures NCHW -> half of them in colours nearer to those of another picture of the batch,
    all with some change of contrast, saturation and tint: paintings to be have such colours."""
    n = len(x)
    mean, deviation = x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True)
    other, share = torch.randperm(n), torch.rand(n, 1, 1, 1) * (torch.rand(n, 1, 1, 1) < 0.5)
    scale = 1 + share * (deviation[other] / (deviation + 0.02) - 1)
    x = (x - mean) * scale + mean + share * (mean[other] - mean)
    contrast, saturation = torch.rand(2, n, 1, 1, 1) * 0.8 + 0.6
    tint = (torch.rand(n, 3, 1, 1) - 0.5) * 0.2
    grey = x.mean(1, keepdim=True)
    return (((x - grey) * saturation + grey - 0.5) * contrast + 0.5 + tint).clamp(0, 1)


@torch.no_grad()
def rescale(encoder: Encoder, photographs: list[Tensor]) -> None:
    """Give each filter a mean activation of 1 over the photographs, as in "VGG19-normalised".

    ReLU, pooling and borders commute with positive factors: what a filter is multiplied by, the
    next layer divides by.
    """
    sums: dict[str, Tensor] = {}

    def add(name: str, answer: Tensor) -> None:
        sums[name] = sums.get(name, 0) + F.relu(answer).mean((0, 2, 3))

    with ExitStack() as stack:
        for name in encoder.names:
            conv = encoder.get_submodule(name)
            hook = conv.register_forward_hook(lambda _, __, answer, name=name: add(name, answer))
            stack.callback(hook.remove)
        for picture in photographs:
            encoder(picture)
    before = torch.ones(3, device=photographs[0].device)
    for name in encoder.names:
        mean = sums[name] / len(photographs)
        mean = mean.clamp_min(LEAST_MEAN * mean.mean())
        conv = encoder.get_submodule(name)
        conv.weight.mul_(before[:, None, None] / mean[:, None, None, None])
        conv.bias.div_(mean)
        before = mean


def create(options: DistilOptions, device: torch.device) -> Distillation:
    """The task that the options ask for."""
    return Distillation(options, device)


if __name__ == "__main__":
    sys.exit(
        command(
            sys.argv[1:],
            DistilOptions,
            "training.distill",
            "Teaches a narrow encoder what the loss network sees.",
            EXAMPLE,
        )
    )
