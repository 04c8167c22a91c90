"""The colours of a style at every scale of strokes.

A painting gets the style's mean colour and covariance as a whole, by the closed-form map of
color.py. Then it is taken apart into a Laplacian pyramid, and the same map moves each of its bands
to the mean and covariance that this band of the style has: so contrast and colours of fine and of
broad strokes become the style's (as Heeger and Bergen, SIGGRAPH 1995, do with histograms).
"""

from torch import Tensor
from torch.nn import functional as F

from models.attention import in_float32
from models.color import palette, recolor, second_moments
from models.padding import pad
from models.styles import Code

HALVINGS = 4


@in_float32
def palettes(pictures: Tensor) -> Code:
    """What `in_palette` wants of style pictures NCHW in a code: mean colour and mean outer product,
    of the whole and of each band."""
    code = palette(pictures)
    for i, band in enumerate(split(pictures.float())):
        code[f"band{i}.mean"], code[f"band{i}.square"] = second_moments(band)
    return code


@in_float32
def in_palette(painted: Tensor, code: Code, strength: float | Tensor) -> Tensor:
    """A painting NCHW, moved by `strength` to the style's colours, and never beyond them."""
    share = strength.clamp(max=1) if isinstance(strength, Tensor) else min(strength, 1.0)
    x = painted.float()
    bands = []
    # The whole first: what a band lacks by far, its own map would leave noise to make up for.
    for i, band in enumerate(split(recolor(x, x, code))):
        wanted = {f"color.{name}": code[f"band{i}.{name}"] for name in ("mean", "square")}
        bands.append(recolor(band, band, wanted))
    h, w = painted.shape[2:]
    return (x + share * (join(bands)[:, :, :h, :w] - x)).to(painted.dtype)


def split(x: Tensor) -> list[Tensor]:
    """NCHW -> what each halving loses, finest first, and what is left; sides become multiples of
    2^HALVINGS. The steps of pyramid.py go by sizes, which graphs for any size do not know."""
    bands, x = [], pad(x, 2**HALVINGS)
    for _ in range(HALVINGS):
        coarse = F.avg_pool2d(x, 2)
        bands.append(x - doubled(coarse))
        x = coarse
    return [*bands, x]


def join(bands: list[Tensor]) -> Tensor:
    """The picture of its bands."""
    x = bands[-1]
    for band in reversed(bands[:-1]):
        x = doubled(x) + band
    return x


def doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear")
