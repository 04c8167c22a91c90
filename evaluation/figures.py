"""The figures by name: what they are called in tables, and what they say."""

from dataclasses import dataclass

UNAVAILABLE = "not available"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    key: str
    title: str
    better: str
    """"lower", "higher", or nothing where it is about the material."""
    about: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """A figure of one model on one photograph or clip in one style."""

    figure: str
    model: str
    material: str
    style: str
    value: float


def figures(style_layers: list[str], content_layers: list[str], like: bool = False) -> list[Figure]:
    """All figures, titled by the layers and networks that are really used; `like`: with the one
    that is like LPIPS."""
    found = [
        Figure("style_ratio", "style ratio", "lower", "0 the style's statistics, 1 a photograph"),
        Figure("content", "content", "lower", "0 the photograph, 2 unrelated to it"),
        Figure(
            "style_loss", f"style loss ({named(style_layers)})", "lower",
            "MSE of channel means and deviations, against the style",
        ),
        Figure(
            "content_loss", f"content loss ({named(content_layers)})", "lower",
            "MSE of the maps, against the photograph",
        ),
        Figure("gram", "Gram", "lower", "squared difference, relative to the style's"),
        Figure("chamfer", "Chamfer colour", "lower", "squared, of 0 to 255, against the style"),
        Figure("ssim", "SSIM", "higher", "1 is the photograph"),
        Figure("halo", "halo", "lower", "texture far from edges over that beside them, 1 is even"),
        Figure("lpips", "LPIPS (SqueezeNet)", "lower", "0 is the photograph"),
        Figure("lpips_like", "LPIPS-like (Caffe SqueezeNet)", "lower", "compares with itself only"),
        Figure("exact_short", "warping error, exact flow, 1 frame", "lower", "0 to 1"),
        Figure("exact_long", "warping error, exact flow, 10 frames", "lower", "0 to 1"),
        Figure("filmed_short", "warping error, clips, 1 frame", "lower", "0 to 1"),
        Figure("filmed_long", "warping error, clips, 10 frames", "lower", "0 to 1"),
        Figure("filmed_seen", "share of pixels that count, clips", "", "the same for all models"),
        Figure("noise_short", "flicker of a still picture under noise", "lower", "0 to 1"),
    ]  # fmt: skip
    return [figure for figure in found if like or figure.key != "lpips_like"]


def named(layers: list[str]) -> str:
    """["1_1", "2_1"] -> "relu1_1, 2_1"."""
    return "relu" + ", ".join(layers)
