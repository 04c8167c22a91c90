"""The options of `python -m evaluation`."""

from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.options import option


@dataclass(frozen=True)
class EvaluationOptions:
    """What to judge, on what, and by which networks."""

    content: str | None = option(None, "folder of photographs, not used in training", metavar="DIR")
    style: str | None = option(None, "folder of style pictures", metavar="DIR")
    clips: str | None = option(None, "folder of videos, for errors on filmed motion", metavar="DIR")
    model: list[str] = option(
        ["compact"], "models that ship, or weights files; ratios are to the first", metavar="NAME"
    )
    vgg: str = option("torchvision", "true VGG-19: torchvision, or a .safetensors with conv1_1 ...")
    squeeze: str | None = option(None, "SqueezeNet 1.1, .safetensors, for LPIPS", metavar="FILE")
    lpips: str | None = option(None, "its linear heads, .safetensors", metavar="FILE")
    output: str | None = option(None, "folder for the report; also -o", metavar="DIR")
    side: int = option(384, "short side of photographs, styles and frames, px", least=64)
    pairs: int = option(64, "photographs in a style to judge at most", least=1)
    clip_pairs: int = option(12, "clips in a style at most: made, and as many filmed", least=1)
    frames: int = option(16, "frames of each clip", least=2)
    seed: int = option(0, "for drawn pixels, made motion and noise", least=0)

    def __post_init__(self) -> None:
        if (self.squeeze is None) != (self.lpips is None):
            raise ConfigError("LPIPS needs both --squeeze and --lpips")
