"""All settings of training runs; the files in configs/ say why each is what it is."""

import json
from dataclasses import asdict, dataclass, field, fields
from math import inf
from pathlib import Path
from typing import Any

from pipeline.options import option

PRECISIONS = ("auto", "float32", "bfloat16")
SHALLOW_TO_DEEP = ("1_1", "2_1", "3_1", "4_1", "5_1")
MOST_SEED = 2**64 - 1
MOVABLE = ("steps", "rate", "warmup", "decay", "stairs", "workers")
"""What a run may go on with otherwise: its end can be moved, one that broke needs a lower rate."""
NO_MATTER = ("out", "log_every", "sample_every", "save_every")
"""What changes nothing in the weights."""
FILES = ("content", "style", "clips", "vgg", "deep", "init", "teacher")


def shares(*layers: str, **uneven: float) -> Any:
    """A table of layers, each with its share in the mean of its term."""
    table = dict.fromkeys(layers, 1.0) | {n.removeprefix("at_"): w for n, w in uneven.items()}
    return field(default_factory=lambda: dict(table))


def weight(default: float, help: str) -> Any:
    """The weight of a term: below zero, what is to fall would grow without end."""
    return option(default, help, least=0)


def check_shares(name: str, table: dict[str, Any]) -> None:
    """ValueError where a table of layers holds what cannot be a share."""
    for layer, share in table.items():
        if not isinstance(layer, str) or not isinstance(share, (int, float)):
            raise ValueError(f'{name}: write it like {{"3_1": 0.5}}, in quotes')
        if not 0 <= share < inf:
            raise ValueError(f"{name}: {share} of {layer} is no share: 0 or more")


@dataclass(frozen=True)
class RunOptions:
    """What every run has, whatever it trains."""

    content: list[str] = option([], "folders of photographs", metavar="DIR")
    style: list[str] = option([], "folders of pictures whose look is learnt", metavar="DIR")
    vgg: str = option("torchvision", "loss network: torchvision, or .safetensors with conv1_1 ...")
    deep: str | None = option(None, "distilled .safetensors for layers that --vgg lacks")
    out: str = option("runs/compact", "folder for checkpoint, sheets, log and weights")
    init: list[str] = option(
        [],
        "weights to begin from: a model that ships, a file, or PART=FILE for a part of the model",
        metavar="WEIGHTS",
    )
    seed: int = option(1, "of crops, motions and first weights", least=0, most=MOST_SEED)
    steps: int = option(4800, "steps of one batch each", least=1)
    batch: int = option(3, "photographs, and as many styles, a step and worker", least=1)
    accumulate: int = option(1, "batches whose gradients make one step", least=1)
    workers: int = option(1, "processes side by side, one a GPU; each has its own batch", least=1)
    side: int = option(160, "training crop, px", least=64)
    short_side: int = option(272, "pictures are kept at this short side, px", least=64)
    closest: float = option(0.45, "tightest crop as a share of the short side", least=0.05, most=1)
    rate: float = option(6e-4, "Adam learning rate", least=0)
    warmup: int = option(200, "steps until the full rate", least=1)
    decay: float = option(0.9, "last share of the steps, in which the rate falls", least=0, most=1)
    stairs: int = option(0, "falls x0.3 so many times; 0: in a straight line to zero", least=0)
    longest: float = option(5.0, "gradients of a greater norm are shortened to it", least=1e-6)
    average: float = option(0.999, "decay of the running mean of the weights", least=0, most=1)
    precision: str = option("auto", "of the network that judges", choices=PRECISIONS)
    model_precision: str = option("float32", "of autocast in what is trained", choices=PRECISIONS)
    log_every: int = option(50, "steps between lines of the log, each the mean of them", least=1)
    sample_every: int = option(500, "steps between sample sheets", least=1)
    save_every: int = option(100, "steps between checkpoints", least=1)


@dataclass(frozen=True)
class TrainingOptions(RunOptions):
    """Weights of losses are for means over layers and positions, so they do not depend on sizes.
    A term of weight 0 is not computed."""

    model: str | None = option("compact", "a system of models/; null: that of --init")
    model_options: dict[str, Any] = field(default_factory=dict)
    frozen: list[str] = option([], "parts of the model that stay as they are", metavar="PART")
    clips: list[str] = option([], "folders of videos, for pairs of frames", metavar="DIR")
    clip_memory_mb: int = option(1024, "MB of their frames that are kept", least=1)
    apart: int = option(4, "frames from one of a pair to the other, at most", least=1)
    coarse_steps: int = option(0, "first steps judged by --deep alone: faster, coarser", least=0)
    pairs: int = option(1, "photographs of a batch that are painted a second time", least=1)
    content_layers: dict[str, float] = shares(at_2_1=0.5, at_3_1=0.7, at_4_1=0.7)
    style_layers: dict[str, float] = shares("1_1", "2_1", "3_1", "4_1", "5_1")
    covariance_layers: dict[str, float] = shares("2_1", "3_1", "4_1")
    nearest_layers: dict[str, float] = shares("2_1", "3_1", "4_1")
    local_layers: dict[str, float] = shares("4_1")
    a2k_layers: dict[str, float] = shares("2_1", "3_1", "4_1", "5_1")
    similarity_layers: dict[str, float] = shares("2_1", "3_1", "4_1")
    recovery_layers: dict[str, float] = shares("1_1", "2_1", "3_1", "4_1", "5_1")
    content_weight: float = weight(9.0, "standardised features must stay the photograph's")
    style_weight: float = weight(60.0, "channel means and deviations must be the style's")
    covariance_weight: float = weight(8.0, "channel covariances must be the style's")
    nearest_weight: float = weight(6.0, "every place must look like some place of the style")
    local_weight: float = weight(2.0, "features must be what attention makes of them (AdaAttN)")
    a2k_weight: float = weight(0.0, "features must be what all-to-key attention makes (StyA2K)")
    similarity_weight: float = weight(0.0, "two frames must stay as alike as they are (AdaAttN)")
    teacher: str | None = option(None, "a trained model (NAME or FILE) to be imitated at first")
    imitation_steps: int | None = option(None, "first steps judged by --teacher alone", least=0)
    imitation_weight: float = weight(10.0, "in these the painting must be that of --teacher")
    identity_weight: float = weight(4.0, "own style, or strength 0: the picture must come back")
    pyramid_weight: float = weight(0.0, "so must each level of its Laplacian pyramid (NNST-D)")
    recovery_weight: float = weight(0.0, "so must its features (NeAT)")
    cycle_weight: float = weight(0.0, "a painting has the features it was drawn from (NNST-D)")
    style_contrast_weight: float = weight(0.0, "paintings in one style must be alike (NeAT)")
    content_contrast_weight: float = weight(0.0, "so must paintings of one photograph (NeAT)")
    domain_weight: float = weight(0.0, "a discriminator must take it for a painting (NeAT)")
    simple_weight: float = weight(0.0, "and its simple patches for patches of the style (NeAT)")
    complex_weight: float = weight(0.0, "and its complex ones (NeAT)")
    patches_weight: float = weight(0.0, "and any of its patches (NNST-D)")
    critic_rate: float = option(
        1.0, "rate of discriminators and heads, as a multiple of --rate", least=0
    )
    consistency_weight: float = weight(4.0, "the same place must look the same after a motion")
    alive_weight: float = weight(8.0, "answers of filters must neither die nor drift")
    range_weight: float = weight(10.0, "values beyond [0, 1], squared")
    grid_weight: float = weight(3000.0, "checks and lines of one pixel, squared")

    @property
    def weights(self) -> dict[str, float]:
        """The terms that are computed, with their weights."""
        end = "_weight"
        names = {f.name.removesuffix(end) for f in fields(self) if f.name.endswith(end)}
        if not self.imitation_steps:
            names.remove("imitation")
        return {n: getattr(self, n + end) for n in sorted(names) if getattr(self, n + end)}

    def layers(self, term: str) -> dict[str, float]:
        """The layers of a term, each with its share; none for terms on pictures."""
        return dict(getattr(self, f"{term}_layers", {}))


@dataclass(frozen=True)
class DistilOptions(RunOptions):
    """Teaching a narrow encoder what the loss network sees."""

    out: str = option("runs/encoder", "folder for checkpoint, log and weights")
    steps: int = option(30000, "steps of one batch each", least=1)
    batch: int = option(8, "photographs, and as many styles, a step and worker", least=1)
    side: int = option(128, "training crop, px", least=64)
    rate: float = option(1e-3, "Adam learning rate", least=0)
    decay: float = option(0.5, "last share of the steps, in which the rate falls", least=0, most=1)
    width: float = option(0.25, "channels as a share of VGG-19's", least=0.01)
    layers: dict[str, float] = shares(*SHALLOW_TO_DEEP)


def stated(options: RunOptions) -> dict[str, Any]:
    """What a checkpoint tells of the options of its run: what its weights depend on. Files have
    their whole names: a run may go on from another folder."""
    values = {n: v for n, v in asdict(options).items() if n not in NO_MATTER}
    for name in FILES:
        value = values.get(name)
        if isinstance(value, list):
            values[name] = [whole(v) for v in value]
        elif value is not None:
            values[name] = whole(value)
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain


def whole(name: str) -> str:
    """The whole name of a file or folder; what is none, as `torchvision`, stays."""
    return str(Path(name).resolve()) if Path(name).exists() else name


def changes(begun: dict[str, Any], now: dict[str, Any], movable: bool) -> list[str]:
    """How options differ, of those that may or those that may not: `--batch 3 (now 4)`. What only
    one of both has is of another version of this program."""
    return [
        f"--{name.replace('_', '-')} {shown(begun[name])} (now {shown(now[name])})"
        for name in now
        if name in begun and begun[name] != now[name] and (name in MOVABLE) == movable
    ]


def shown(value: Any) -> str:
    """The value of an option as one gives it."""
    if isinstance(value, list):
        value = " ".join(map(str, value))
    return "not given" if value in (None, "") else str(value)
