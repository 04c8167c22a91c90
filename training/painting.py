"""Training of style transfer: what a step paints, and how it is judged."""

import json
from collections import deque
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import models
from models.allocation import keep_freed
from training import clips, contrast, data, losses
from training.contrast import Heads
from training.critics import ADVERSARIAL, Critics
from training.loss_network import LossNetwork, load_loss_network
from training.options import SHALLOW_TO_DEEP, TrainingOptions, check_shares
from training.painter import Painter, Paintings
from training.precision import dtype
from training.sheet import write_sheet
from training.terms import CONTRASTIVE, OF_CONTENT, OF_PAINTED, OF_STYLE, STACKED, TERMS, Maps, Seen
from training.weights import begin, check_frozen, part_of, resolved


@dataclass(frozen=True, slots=True)
class Batch:
    """Photographs, as many styles, and with `style_contrast` other crops of these, NCHW. `later`:
    the first few are frames of clips, and these are later ones of the same."""

    content: Tensor
    style: Tensor
    crop: Tensor | None
    later: Tensor | None


class Painting:
    """The task of the loop: a model of models/, its data and its losses."""

    def __init__(self, options: TrainingOptions, device: torch.device) -> None:
        self.options = o = resolved(options)
        self.device = device
        self.weights = o.weights
        self.critic_rate = o.critic_rate
        self._check()
        if device.type == "cpu":
            keep_freed()
        self.model = self._model().to(device, memory_format=torch.channels_last)
        self.clips = None
        if o.clips:
            self.clips = clips.read(o.clips, o.short_side, o.apart, o.clip_memory_mb << 20)
        frames = self.clips.frames if self.clips and not o.content else None
        self.content = data.Pictures(frames or data.read(o.content, o.short_side))
        self.style = data.Pictures(data.read(o.style, o.short_side))
        judged = self._layers((*TERMS, *CONTRASTIVE))
        self.network = self._judge(judged) if judged else None
        self.teacher = None
        if o.imitation_steps:
            self.teacher = models.load(str(o.teacher)).to(device, memory_format=torch.channels_last)
        self.module = Painter(self.model, *self._beside(), self.weights).to(device)
        self._ahead: deque[Batch] = deque()
        self._banks: list[dict[str, Tensor]] = []

    def _judge(self, layers: list[str]) -> LossNetwork:
        """The loss network, its layers scaled to these photographs."""
        o = self.options
        network = load_loss_network(o.vgg, o.deep).to(self.device)
        survey = (x.to(self.device) for x in self.content.survey(o.batch, o.side))
        network.calibrate(survey, layers, o.coarse_steps > 0)
        return network.to(dtype(o.precision, self.device))

    def _beside(self) -> tuple[Critics | None, Heads | None]:
        """What learns beside the model; its own loss joins the terms."""
        adversarial = [term for term in ADVERSARIAL if term in self.weights]
        contrastive = [term for term in CONTRASTIVE if term in self.weights]
        critics = heads = None
        if adversarial:
            critics = Critics(adversarial)
            self.weights = self.weights | {"critics": 1.0}
        if contrastive and self.network is not None:
            layers = [contrast.LAYERS[term] for term in contrastive]
            example = torch.zeros(1, 3, self.options.side, self.options.side, device=self.device)
            maps = self.network(example, layers)
            heads = Heads({term: maps[contrast.LAYERS[term]].shape[1] for term in contrastive})
        return critics, heads

    def _check(self) -> None:
        """ValueError for what would fail, or do nothing, later."""
        o = self.options
        for term in STACKED:
            if term in self.weights and (odd := set(o.layers(term)) - set(SHALLOW_TO_DEEP[1:])):
                raise ValueError(f"{term}_layers has {odd.pop()}: only 2_1, 3_1, 4_1, 5_1 can be")
        if o.model in models.OPTIMISED:
            raise ValueError(f"{o.model} paints by optimisation: it has nothing to train")
        for term in TERMS:
            check_shares(f"{term}_layers", o.layers(term))
            if term in self.weights and sum(o.layers(term).values()) <= 0:
                raise ValueError(f"{term}_layers names no layer: {term}_weight 0 leaves it out")
        if o.coarse_steps and not o.deep:
            raise ValueError("--coarse-steps are judged by the network that --deep names")
        if o.batch < 2 and self.weights.keys() & set(CONTRASTIVE):
            raise ValueError("--batch 1: contrastive terms compare the pictures of a batch")
        if o.imitation_steps and o.teacher is None:
            raise ValueError("--imitation-steps: say whom to imitate with --teacher")
        if o.teacher is not None and o.imitation_steps is None:
            raise ValueError(
                f"--teacher {o.teacher} is of no use: say for how many steps with --imitation-steps"
            )
        if (
            o.imitation_steps
            and o.workers > 1
            and self.weights.keys() & {*ADVERSARIAL, *CONTRASTIVE}
        ):
            raise ValueError(
                "--imitation-steps ask nothing of what learns beside the model: with --workers "
                "imitate in a run of its own, without discriminators and contrastive terms"
            )
        if o.imitation_steps and "imitation" not in self.weights:
            raise ValueError("--imitation-weight 0: --imitation-steps 0 leaves it out")
        if (o.imitation_steps or 0) < o.steps and not self.weights.keys() - {"imitation"}:
            raise ValueError("every loss has the weight 0: nothing says what is to be learnt")
        if o.clips and o.content and "similarity" not in self.weights:
            raise ValueError("--clips beside --content are of use only with --similarity-weight")

    def _model(self) -> nn.Module:
        o = self.options
        model = models.build(str(o.model), **o.model_options)
        if "cycle" in self.weights and not hasattr(model, "cycle"):
            raise ValueError("--cycle-weight is for nnst_d, which replaces features by others")
        begun = {name for init in o.init for name in begin(model, init)}
        for part in o.frozen:
            part_of(model, part).requires_grad_(False)
        check_frozen(model, begun)
        return model

    def _layers(self, terms: Iterable[str]) -> list[str]:
        """Every layer that some of these terms need."""
        found = set()
        for term in self.weights.keys() & set(terms):
            layers = set(self.options.layers(term))
            if term in CONTRASTIVE:
                layers = {contrast.LAYERS[term]}
            if term in STACKED:
                layers |= {n for n in SHALLOW_TO_DEEP if n <= max(layers)}
            found |= layers
        return sorted(found)

    # -- one step ------------------------------------------------------------------------------

    def terms(self, module: nn.Module, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Paint a batch and compare: {term: loss}."""
        # In turn: a picture in its own look, and a photograph at strength 0, must come back.
        strength = float(step % 2)
        if step < (self.options.imitation_steps or 0):
            return self._imitated(module, strength, rng)
        coarse = step < self.options.coarse_steps
        drawn = self._next(module, rng, coarse)
        style = drawn.style
        first, view, grid = self._second(drawn)
        same = style[-1:] if strength else first[-1:]
        if not self.weights.keys() & {"identity", "pyramid", "recovery"}:
            same = None
        with self._autocast():
            paintings = module(style, first, view, same, strength, self._crosses)
        painted, again = paintings.painted, paintings.again
        seen = self._seen(first, style, drawn.crop, view, same, paintings, coarse)
        terms = {name: self._summed(name, seen) for name in TERMS if name in self.weights}
        terms |= self._contrast(seen)
        if self.module.critics is not None:
            terms |= self.module.critics(painted, first, style)
        if paintings.cycle is not None:
            terms["cycle"] = paintings.cycle
        if grid is not None:
            terms["consistency"] = losses.consistency_loss(again, painted[: len(again)], grid)
        return self._asked(terms | self._plain(paintings, same))

    def _asked(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: term for name, term in terms.items() if name in self.weights}

    def _plain(self, paintings: Paintings, same: Tensor | None) -> dict[str, Tensor]:
        """The terms for which nobody has to look at a painting; `same` had to come back."""
        painted, back = paintings.painted, paintings.back
        terms = {
            "range": (painted - painted.clamp(0, 1)).square().mean(),
            "grid": losses.grid_loss(painted),
        }
        if back is not None:
            terms["identity"] = (back - same).abs().mean()
            terms["pyramid"] = losses.pyramid_loss(back, same)
        if paintings.alive is not None:
            terms["alive"] = paintings.alive
        return terms

    def _imitated(
        self, module: nn.Module, strength: float, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """The terms of a pupil, whom its teacher alone judges."""
        assert self.teacher is not None
        drawn = self._draw(rng)
        content, style = drawn.content.to(self.device), drawn.style
        same = style[-1:] if strength else content[-1:]
        with self._autocast():
            paintings = module(style, content, None, same, strength, False)
        with torch.no_grad():
            wanted = self.teacher(content, self.teacher.encode_style(style))
        terms = {"imitation": losses.imitation_loss(paintings.painted, wanted)}
        return self._asked(terms | self._plain(paintings, same))

    @property
    def _crosses(self) -> bool:
        return self.module.heads is not None

    def _next(self, module: nn.Module, rng: np.random.Generator, coarse: bool) -> Batch:
        """The next batch. Where several make one contrastive loss all are drawn and looked at, at
        the first of them."""
        o = self.options
        if not self._crosses or o.accumulate == 1:
            return self._draw(rng)
        if not self._ahead:
            self._ahead.extend(self._draw(rng) for _ in range(o.accumulate))
            self._banks = [self._look(module, batch, coarse) for batch in self._ahead]
        return self._ahead.popleft()

    def _draw(self, rng: np.random.Generator) -> Batch:
        """With clips, in every second step on average, some photographs are frames of these."""
        o, later = self.options, None
        content = self.content.batch(o.batch, o.side, o.closest, rng)
        if self.clips and "similarity" in self.weights and rng.random() < 0.5:
            n = min(o.pairs, o.batch)
            firsts, later = self.clips.pairs(n, o.side, o.closest, rng)
            content = torch.cat([firsts, content[n:]])
        times = 2 if "style_contrast" in self.weights else 1
        style = self.style.batch(o.batch, o.side, o.closest, rng, times).to(self.device)
        crop = style[o.batch :] if times > 1 else None
        return Batch(content, style[: o.batch], crop, later)

    @torch.no_grad()
    def _look(self, module: nn.Module, batch: Batch, coarse: bool) -> dict[str, Tensor]:
        """The vectors that contrastive terms compare, of a batch that is not learnt from now."""
        content = batch.content.to(self.device)
        with self._autocast():
            paintings = module(batch.style, content, None, None, 1.0, True)
        seen = self._seen(content, batch.style, batch.crop, None, None, paintings, coarse)
        return self._vectors(seen)

    def _second(self, drawn: Batch) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The photographs of a batch, second views of the first few, and the motion between them;
        that of clips nobody knows."""
        content = drawn.content.to(self.device)
        if not self.weights.keys() & {"similarity", "consistency"}:
            return content, None, None
        if drawn.later is not None:
            return content, drawn.later.to(self.device), None
        view, grid = data.second_view(drawn.content[: self.options.pairs])
        return content, view.to(self.device), grid.to(self.device)

    def _seen(
        self,
        content: Tensor,
        style: Tensor,
        crop: Tensor | None,
        view: Tensor | None,
        same: Tensor | None,
        paintings: Paintings,
        coarse: bool,
    ) -> Seen:
        """All maps that some term needs."""
        again, back = paintings.again, paintings.back
        if "similarity" not in self.weights:
            view = again = None
        if "recovery" not in self.weights:
            same = back = None

        def maps(terms: Iterable[str], *pictures: Tensor | None) -> list[Maps]:
            """Of some pictures, in one pass."""
            counts = [0 if x is None else len(x) for x in pictures]
            layers = self._layers(terms)
            if self.network is None or not layers or not sum(counts):
                return [{} for _ in pictures]
            shown = torch.cat([x for x in pictures if x is not None])
            found = self.network(shown, layers, coarse)
            apart = {name: m.split(counts) for name, m in found.items()}
            return [{name: m[i] for name, m in apart.items()} for i in range(len(counts))]

        with torch.no_grad():
            of_content, of_view = maps(OF_CONTENT, content, view)
            (of_style,) = maps(OF_STYLE, style)
            (of_crop,) = maps(("style_contrast",), crop)
            (of_same,) = maps(("recovery",), same)
        of_painted, of_again = maps(OF_PAINTED, paintings.painted, again)
        (of_crossed,) = maps(CONTRASTIVE, paintings.crossed)
        (of_back,) = maps(("recovery",), back)
        return Seen(
            painted=of_painted,
            content=of_content,
            style=of_style,
            again=of_again,
            view=of_view,
            crossed=of_crossed,
            crop=of_crop,
            back=of_back,
            same=of_same,
        )

    def _vectors(self, seen: Seen) -> dict[str, Tensor]:
        """What each contrastive term compares: paintings first, then styles."""
        vectors = {}
        for term in CONTRASTIVE:
            if term in self.weights:
                shown = [seen.painted, seen.crossed]
                if term == "style_contrast":
                    shown += [seen.style, seen.crop]
                layer = contrast.LAYERS[term]
                vectors[term] = self.module.heads(term, [maps[layer] for maps in shown])
        return vectors

    def _contrast(self, seen: Seen) -> dict[str, Tensor]:
        """The contrastive terms over all batches of the step, to be learnt from by this one."""
        own, o = self._vectors(seen), self.options
        place = o.accumulate - 1 - len(self._ahead)
        return {
            term: contrast.accumulated(
                x, [bank[term] for bank in self._banks] or [x], place, term, o.batch
            )
            for term, x in own.items()
        }

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


def create(options: TrainingOptions, device: torch.device) -> Painting:
    """The task that the options ask for."""
    return Painting(options, device)
