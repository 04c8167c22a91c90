"""All settings of a training run; configs/train_compact.yaml says why each is what it is."""

from dataclasses import dataclass, field
from typing import Any

from pipeline.options import option


@dataclass(frozen=True)
class TrainingOptions:
    """Weights of losses are for means, so they do not depend on sizes."""

    content: list[str] = option([], "folders of photographs", metavar="DIR")
    style: list[str] = option([], "folders of pictures whose look is learnt", metavar="DIR")
    model: str = option("compact", "a system of models/")
    model_options: dict[str, Any] = field(default_factory=dict)
    vgg: str = option("torchvision", "loss network: torchvision, or .safetensors with conv1_1 ...")
    deep: str | None = option(None, "distilled .safetensors for layers that --vgg lacks")
    out: str = option("runs/compact", "folder for checkpoint, sheets, log and weights")
    init: str | None = option(None, "weights to begin from (.safetensors)")
    seed: int = option(1, "of crops, motions and first weights")
    steps: int = option(8000, "steps of one batch each", least=1)
    batch: int = option(3, "photographs, and as many styles, a step", least=1)
    side: int = option(192, "training crop, px", least=64)
    short_side: int = option(448, "pictures are kept at this short side, px", least=64)
    closest: float = option(0.45, "tightest crop as a share of the short side")
    rate: float = option(4e-4, "Adam learning rate")
    warmup: int = option(200, "steps until the full rate", least=1)
    decay: float = option(0.4, "last share of the steps in which the rate falls to zero")
    average: float = option(0.999, "decay of the running mean of the weights")
    precision: str = option(
        "bfloat16", "of the loss network and autocast", choices=("float32", "bfloat16")
    )
    content_layers: dict[str, float] = field(
        default_factory=lambda: {"2_1": 0.3, "3_1": 0.5, "3_4": 0.5, "4_1": 1.0}
    )
    style_layers: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("1_1", "2_1", "3_1", "3_4", "4_1", "5_1"), 1.0)
    )
    covariance_layers: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("2_1", "3_1", "4_1"), 1.0)
    )
    nearest_layers: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("2_1", "3_1", "4_1"), 1.0)
    )
    content_weight: float = option(6.0, "standardised features must stay the photograph's")
    style_weight: float = option(20.0, "channel means and deviations must be the style's")
    covariance_weight: float = option(6.0, "channel covariances must be the style's")
    nearest_weight: float = option(9.0, "every place must look like some place of the style")
    identity_weight: float = option(4.0, "own style, or strength 0: the picture must come back")
    consistency_weight: float = option(4.0, "the same place must look the same after a motion")
    range_weight: float = option(10.0, "values beyond [0, 1], squared")
    sample_every: int = option(500, "steps between sample sheets", least=1)
    save_every: int = option(100, "steps between checkpoints", least=1)

    @property
    def layers(self) -> list[str]:
        """Every layer that some loss needs, shallow first."""
        used = {
            *self.content_layers,
            *self.style_layers,
            *self.covariance_layers,
            *self.nearest_layers,
        }
        return sorted(used)
