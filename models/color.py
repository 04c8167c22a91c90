"""Colour statistics of pictures, and re-colouring by the closed-form optimal transport map."""

import torch
from torch import Tensor

from models.attention import in_float32
from models.whole import averages

ROOT_STEPS = 14
RIDGE = 1e-4


@in_float32
def second_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """NCHW RGB in [0, 1] -> mean (N,3) and mean outer product (N,3,3), float32.

    Row by row: one long float32 sum over all pixels, as some runtimes work it out, is off by a
    percent of the covariance, and the mean by a thousandth.
    """

    def take(x: Tensor) -> tuple[Tensor, Tensor]:
        rows, width = x.movedim(1, 3), x.shape[3]
        # Not two means, which OpenVINO would make one again.
        return (rows.sum(2) / width).mean(1), (rows.mT @ rows).mean(1) / width

    mean, square = averages(x.float(), take)
    return mean, square


def roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Square root and its inverse of symmetric positive (N,3,3), by Newton-Schulz iteration.

    Matrix products only: `eigh` has no ONNX form.
    """
    eye = torch.eye(3, dtype=matrix.dtype, device=matrix.device).expand_as(matrix)
    scale = matrix.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    y, z = matrix / scale, eye
    for _ in range(ROOT_STEPS):
        step = 1.5 * eye - 0.5 * z @ y
        y, z = y @ step, step @ z
    return y * scale.sqrt(), z * scale.rsqrt()


@in_float32
def recolor(x: Tensor, content: Tensor, code: dict[str, Tensor]) -> Tensor:
    """NCHW x, mapped so that `content`'s colour mean and covariance become the style's.

    The linear Monge-Kantorovich map (Pitie and Kokaram, 2007).
    """
    mean, square = second_moments(content)
    ridge = RIDGE * torch.eye(3, dtype=mean.dtype, device=mean.device)
    covariance = square - mean[:, :, None] * mean[:, None] + ridge
    target = code["color.mean"]
    wanted = code["color.square"] - target[:, :, None] * target[:, None] + ridge
    root, inverse = roots(covariance)
    middle, _ = roots(root @ wanted @ root)
    transport = inverse @ middle @ inverse
    flat = transport @ (x.float().flatten(2) - mean[..., None]) + target[..., None]
    return flat.view_as(x).to(x.dtype)


def palette(pictures: Tensor) -> dict[str, Tensor]:
    """What `recolor` wants of style pictures NCHW in a code."""
    mean, square = second_moments(pictures)
    return {"color.mean": mean, "color.square": square}
