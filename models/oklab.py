"""The colour step of NNST, in OkLab (Ottosson, 2020): hues of the photograph, palette of the style.

Kept is the lightness that was painted. Its colours follow the photograph's, so that one thing has
one colour, along the edges that were painted, and then have the style's mean and covariance.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

LMS = ((0.4122214708, 0.5363325363, 0.0514459929),
       (0.2119034982, 0.6806995451, 0.1073969566),
       (0.0883024619, 0.2817188376, 0.6299787005))  # fmt: skip
LAB = ((0.2104542553, 0.7936177850, -0.0040720468),
       (1.9779984951, -2.4285922050, 0.4505937099),
       (0.0259040371, 0.7827717662, -0.8086757660))  # fmt: skip
GREY = 4e-5
"""A style whose chroma varies less is drawn in one colour: none is brought into it."""
PUBLISHED_GREY = 6e-5
RIDGE = 1e-4
ROUNDS = 5
SHARPNESS = 10.0


def to_oklab(rgb: Tensor, linear: bool = True) -> Tensor:
    """sRGB NCHW in [0, 1] -> L, a, b. Not `linear`: as if sRGB were linear light (published)."""
    light = decoded(rgb) if linear else rgb
    lms = mixed(light, LMS)
    return mixed(lms.sign() * lms.abs().pow(1 / 3), LAB)


def from_oklab(lab: Tensor, linear: bool = True) -> Tensor:
    """The inverse; what no screen can show is clamped to [0, 1]."""
    light = mixed(mixed(lab, inverse(LAB)).pow(3), inverse(LMS)).clamp(0, 1)
    return encoded(light) if linear else light


def decoded(rgb: Tensor) -> Tensor:
    """sRGB -> linear light."""
    bright = ((rgb.clamp_min(0.04045) + 0.055) / 1.055).pow(2.4)
    return torch.where(rgb <= 0.04045, rgb / 12.92, bright)


def encoded(light: Tensor) -> Tensor:
    """Linear light -> sRGB."""
    bright = 1.055 * light.clamp_min(0.0031308).pow(1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, light * 12.92, bright)


def mixed(x: Tensor, matrix: object) -> Tensor:
    """NCHW -> each pixel times a 3x3 matrix."""
    return torch.einsum("ij,njhw->nihw", torch.as_tensor(matrix, dtype=x.dtype).to(x.device), x)


def inverse(matrix: object) -> Tensor:
    return torch.linalg.inv(torch.tensor(matrix, dtype=torch.float64))


def repainted(painted: Tensor, content: Tensor, style: Tensor, published: bool = False) -> Tensor:
    """RGB NCHW in [0, 1], N = 1; `style` of any size, such as a row of its pixels -> the picture.

    As printed: the content's chroma is filtered along the painted lightness, then lightness and
    chroma together get the style's mean and covariance. `published`: chroma alone is matched, then
    filtered.
    """
    linear = not published
    o, c, s = (to_oklab(x, linear) for x in (painted, content, style))
    if published:
        light, chroma = limited(o[:, :1], s[:, :1]), o[:, 1:]
        if moments(s)[1][1:, 1:].abs().max() < PUBLISHED_GREY:
            lab = matched(torch.cat([light, chroma], 1), s)
        else:
            chroma = along(matched(c[:, 1:], s[:, 1:]), light)
            lab = torch.cat([light, chroma], 1)
    elif moments(s)[1].diagonal()[1:].max() < GREY:
        lab = matched(o, s)
    else:
        lab = matched(torch.cat([o[:, :1], along(c[:, 1:], o[:, :1])], 1), s)
    return from_oklab(limited(lab, s), linear)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """(1,C,H,W) -> mean (C,1) and covariance (C,C) of its pixels."""
    flat = x[0].flatten(1)
    mean = flat.mean(1, keepdim=True)
    return mean, (flat - mean) @ (flat - mean).mT / flat.shape[1]


def matched(x: Tensor, style: Tensor) -> Tensor:
    """x with the mean and the covariance of `style`: whitened and coloured, axes kept (ZCA)."""
    (mean, own), (wanted_mean, wanted) = moments(x), moments(style)
    flat = power(wanted, 0.5) @ power(own, -0.5) @ (x[0].flatten(1) - mean) + wanted_mean
    return flat.view_as(x)


def power(covariance: Tensor, exponent: float) -> Tensor:
    """A power of a symmetric matrix, with a little added to its diagonal."""
    ridge = RIDGE * torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    values, vectors = torch.linalg.eigh((covariance + ridge).cpu())  # which MPS has not
    return (vectors * values.pow(exponent) @ vectors.mT).to(covariance.device)


def along(chroma: Tensor, light: Tensor) -> Tensor:
    """Bilateral filter: 3x3, five times, a neighbour weighs exp(-10 |difference of lightness|)."""
    _, c, h, w = chroma.shape
    near = F.unfold(F.pad(light, (1, 1, 1, 1), mode="replicate"), 3).view(1, 1, 9, h, w)
    weight = torch.exp(-SHARPNESS * (near - light[:, :, None]).abs())
    weight = weight / weight.sum(2, keepdim=True)
    for _ in range(ROUNDS):
        near = F.unfold(F.pad(chroma, (1, 1, 1, 1), mode="replicate"), 3).view(1, c, 9, h, w)
        chroma = (near * weight).sum(2)
    return chroma


def limited(x: Tensor, style: Tensor) -> Tensor:
    """Each channel within the style's own range."""
    low, high = style.amin((2, 3), keepdim=True), style.amax((2, 3), keepdim=True)
    return torch.minimum(torch.maximum(x, low), high)
