"""Training of style transfer: what a step paints, and the terms of its loss."""

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import models
from training import clips, data, losses
from training.loss_network import load_loss_network
from training.options import SHALLOW_TO_DEEP, TrainingOptions
from training.precision import dtype
from training.sheet import write_sheet
from training.similarity import similarity_loss
from training.targets import a2k_target, adaattn_target
from training.weights import begin, part_of, resolved

Maps = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the loss network sees of a step: {layer: (N,C,H,W)}. `again` and `view` are the second
    frames, painted and as they are; the first rows of `painted` and `content` are their firsts."""

    painted: Maps
    content: Maps
    style: Maps
    again: Maps
    view: Maps


def content(seen: Seen, layer: str) -> Tensor:
    return losses.content_loss(seen.painted[layer], seen.content[layer])


def style(seen: Seen, layer: str) -> Tensor:
    return losses.statistics_loss(seen.painted[layer], seen.style[layer])


def covariance(seen: Seen, layer: str) -> Tensor:
    return losses.covariance_loss(seen.painted[layer], seen.style[layer])


def nearest(seen: Seen, layer: str) -> Tensor:
    return losses.nearest_loss(seen.painted[layer], seen.style[layer])


def local(seen: Seen, layer: str) -> Tensor:
    target = adaattn_target(seen.content, seen.style, layer)
    return F.mse_loss(seen.painted[layer].float(), target)


def a2k(seen: Seen, layer: str) -> Tensor:
    target = a2k_target(seen.content, seen.style, layer)
    return F.mse_loss(seen.painted[layer].float(), target)


def similarity(seen: Seen, layer: str) -> Tensor:
    again, view = seen.again[layer], seen.view[layer]
    n = len(view)
    return similarity_loss(seen.painted[layer][:n], again, seen.content[layer][:n], view)


TERMS: dict[str, Callable[[Seen, str], Tensor]] = {
    f.__name__: f for f in (content, style, covariance, nearest, local, a2k, similarity)
}
# Whose maps a term compares the painting's with, and which terms need those of all finer levels.
OF_CONTENT = ("content", "local", "a2k", "similarity")
OF_STYLE = ("style", "covariance", "nearest", "local", "a2k")
STACKED = ("local", "a2k")


class Painter(nn.Module):
    """All that a step paints, in one call: data parallel wrappers watch calls of forward."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        style: Tensor,
        content: Tensor,
        view: Tensor | None,
        same: Tensor | None,
        strength: float,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """-> content in the styles, the second view of its first rows likewise, and `same` in the
        last style at `strength`."""
        code = self.model.encode_style(style)
        painted = self.model.paint(content, code).float()
        again = back = None
        if view is not None:
            again = self.model.paint(view, take(code, slice(len(view)))).float()
        if same is not None:
            back = self.model.paint(same, take(code, slice(-1, None)), strength).float()
        return painted, again, back


class Painting:
    """The task of the loop: a model of models/, its data and its losses."""

    def __init__(self, options: TrainingOptions, device: torch.device) -> None:
        self.options = o = resolved(options)
        self.device = device
        self.weights = o.weights
        self._check()
        self.model = self._model().to(device, memory_format=torch.channels_last)
        self.module = Painter(self.model)
        self.clips = None
        if o.clips:
            self.clips = clips.read(o.clips, o.short_side, o.apart, o.clip_memory_mb << 20)
        frames = self.clips.frames if self.clips and not o.content else None
        self.content = data.Pictures(frames or data.read(o.content, o.short_side))
        self.style = data.Pictures(data.read(o.style, o.short_side))
        self.network = load_loss_network(o.vgg, o.deep).to(device)
        self.coarse_steps = o.coarse_steps if o.deep else 0
        survey = (x.to(device) for x in self.content.survey(o.batch, o.side))
        self.network.calibrate(survey, self._layers(TERMS), self.coarse_steps > 0)
        self.network.to(dtype(o.precision, device))

    def _check(self) -> None:
        """ValueError for what would fail, or do nothing, later."""
        o = self.options
        for term in STACKED:
            if term in self.weights and (odd := set(o.layers(term)) - set(SHALLOW_TO_DEEP[1:])):
                raise ValueError(f"{term}_layers has {odd.pop()}: only 2_1, 3_1, 4_1, 5_1 can be")
        if o.clips and o.content and "similarity" not in self.weights:
            raise ValueError("--clips beside --content are of use only with --similarity-weight")

    def _model(self) -> nn.Module:
        o = self.options
        model = models.build(str(o.model), **o.model_options)
        for init in o.init:
            begin(model, init)
        for part in o.frozen:
            part_of(model, part).requires_grad_(False)
        return model

    def _layers(self, terms: Iterable[str]) -> list[str]:
        """Every layer that some of these terms need."""
        found = set()
        for term in self.weights.keys() & set(terms):
            layers = set(self.options.layers(term))
            if term in STACKED:
                layers |= {n for n in SHALLOW_TO_DEEP if n <= max(layers)}
            found |= layers
        return sorted(found)

    # -- one step ------------------------------------------------------------------------------

    def terms(self, module: nn.Module, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Paint a batch and compare: {term: loss}."""
        o = self.options
        first = self.content.batch(o.batch, o.side, o.closest, rng)
        style = self.style.batch(o.batch, o.side, o.closest, rng).to(self.device)
        first, view, grid = self._second(first, rng)
        # In turn: a picture in its own look, and a photograph at strength 0, must come back.
        strength = float(step % 2)
        same = style[-1:] if strength else first[-1:]
        if "identity" not in self.weights:
            same = None
        with self._autocast():
            painted, again, back = module(style, first, view, same, strength)
        coarse = step < self.coarse_steps
        terms = self._feature_terms(painted, first, style, again, view, coarse)
        if back is not None:
            terms["identity"] = (back - same).abs().mean()
        if grid is not None:
            terms["consistency"] = losses.consistency_loss(again, painted[: len(again)], grid)
        terms["range"] = (painted - painted.clamp(0, 1)).square().mean()
        return {name: terms[name] for name in terms if name in self.weights}

    def _second(
        self, content: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Photographs -> the same, second views of the first few, and the motion between them.

        With clips, in every second step on average, the first few are frames of clips and their
        second views later frames, by a motion that nobody knows.
        """
        o, n = self.options, self.options.pairs
        if not self.weights.keys() & {"similarity", "consistency"}:
            return content.to(self.device), None, None
        if self.clips and "similarity" in self.weights and rng.random() < 0.5:
            firsts, later = self.clips.pairs(min(n, o.batch), o.side, o.closest, rng)
            content = torch.cat([firsts, content[n:]]).to(self.device)
            return content, later.to(self.device), None
        view, grid = data.second_view(content[:n])
        return content.to(self.device), view.to(self.device), grid.to(self.device)

    def _feature_terms(
        self,
        painted: Tensor,
        content: Tensor,
        style: Tensor,
        again: Tensor | None,
        view: Tensor | None,
        coarse: bool,
    ) -> dict[str, Tensor]:
        n, pair = len(painted), "similarity" in self.weights
        views = [view] if view is not None and pair else []
        agains = [again] if again is not None and pair else []
        with torch.no_grad():
            kept = self.network(torch.cat([content, *views]), self._layers(OF_CONTENT), coarse)
            wanted = self.network(style, self._layers(OF_STYLE), coarse)
        have = self.network(torch.cat([painted, *agains]), self._layers(TERMS), coarse)
        seen = Seen(
            painted={name: x[:n] for name, x in have.items()},
            content={name: x[:n] for name, x in kept.items()},
            style=wanted,
            again={name: x[n:] for name, x in have.items()},
            view={name: x[n:] for name, x in kept.items()},
        )
        return {name: self._summed(name, seen) for name in TERMS if name in self.weights}

    def _summed(self, term: str, seen: Seen) -> Tensor:
        layers = self.options.layers(term)
        parts = [share * TERMS[term](seen, name) for name, share in layers.items()]
        return torch.stack(parts).sum() / sum(layers.values())

    def _autocast(self) -> AbstractContextManager[object]:
        kind = dtype(self.options.model_precision, self.device)
        if kind == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, kind)

    # -- what comes of it ----------------------------------------------------------------------

    def sheet(self, model: nn.Module, folder: Path, step: int) -> None:
        """A sample sheet of the model."""
        write_sheet(model, self.content, self.style, folder, step)

    def shipped(self, model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The weights that ship, and what is said about them."""
        about = {k: str(v) for k, v in asdict(self.options).items()}
        about["model_options"] = json.dumps(self.options.model_options)
        for private in ("content", "style", "clips", "vgg", "deep", "out", "init"):
            about.pop(private)
        return model.state_dict(), about


def take(code: dict[str, Tensor], rows: slice) -> dict[str, Tensor]:
    """The codes of some pictures of a batch."""
    return {name: t[rows] for name, t in code.items()}


def create(options: TrainingOptions, device: torch.device) -> Painting:
    """The task that the options ask for."""
    return Painting(options, device)
