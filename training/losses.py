"""Losses on feature maps and on pictures. All are means, so weights do not depend on sizes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.pyramid import split

EPS = 1e-5
GRID_PX, GRID_STEP_PX = 12, 4
"""Over how many pixels, an even number, a grid is looked for, and from one place to the next."""


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Features (B,C,H,W) -> channel means and standard deviations (B,C), float32.

    ReLU maps have means near their deviations: in float32, squared there too, the one-pass variance
    loses nothing that half precision had kept, and a centred one costs a third more. The epsilon
    keeps the gradient of the root finite where a channel is constant.
    """
    x = x.float()
    mean = x.mean((2, 3))
    return mean, ((x.square().mean((2, 3)) - mean.square()).clamp_min(0) + EPS).sqrt()


def standardise(x: Tensor) -> Tensor:
    """Zero mean and unit deviation per channel and picture, float32."""
    return F.instance_norm(x.float(), eps=EPS)


def statistics_loss(x: Tensor, style: Tensor) -> Tensor:
    """Squared differences of channel means and deviations (global style loss of AdaAttN, eq. 9)."""
    (m, s), (m2, s2) = moments(x), moments(style)
    return F.mse_loss(m, m2) + F.mse_loss(s, s2)


def positions(x: Tensor) -> Tensor:
    """Features (B,C,H,W) -> (B,H*W,C): a view in channels-last memory, where the other order is
    a copy."""
    return x.movedim(1, 3).flatten(1, 2)


def covariance_loss(x: Tensor, style: Tensor) -> Tensor:
    """Difference of channel covariances, relative to the style's: what lines and strokes need."""

    def covariance(f: Tensor) -> Tensor:
        f = positions(f)
        f = f - f.mean(1, keepdim=True)
        return (f.mT @ f).float() / f.shape[1]

    a, b = covariance(x), covariance(style)
    return ((a - b).square().sum((1, 2)) / (b.square().sum((1, 2)) + EPS)).mean()


def content_loss(x: Tensor, content: Tensor) -> Tensor:
    """Mean squared difference of standardised features."""
    return (standardise(x) - standardise(content)).square().mean(dtype=torch.float32)


def nearest_loss(x: Tensor, style: Tensor, limit: int = 512) -> Tensor:
    """Mean cosine distance of each position to the nearest position of the style (NNST, eq. 2).

    Both centred on the style's mean. Of larger maps, `limit` positions each are drawn at random.
    Matches are found without gradient and gathered, which gives the same gradient as
    differentiating the whole distance matrix for a fraction of the cost.
    """
    centre = style.mean((2, 3))[:, None]
    a = F.normalize(draw(positions(x), limit) - centre, dim=2)
    b = F.normalize(draw(positions(style), limit) - centre, dim=2)
    with torch.no_grad():
        best = (a @ b.mT).argmax(2)
    matched = b.gather(1, best[..., None].expand(-1, -1, b.shape[2]))
    return 1 - (a * matched).sum(2).mean(dtype=torch.float32)


def draw(x: Tensor, limit: int) -> Tensor:
    """At most `limit` of the positions (B,N,C), the same for the whole batch."""
    if x.shape[1] <= limit:
        return x
    return x[:, torch.randperm(x.shape[1], device=x.device)[:limit]]


def consistency_loss(second: Tensor, first: Tensor, grid: Tensor) -> Tensor:
    """Mean absolute difference of the second view's result and the first's, warped by `grid`.

    `grid` (B,H,W,2) is the flow that made the second view; positions beyond the first are left out.
    """
    warped = F.grid_sample(first, grid, align_corners=False, padding_mode="border")
    inside = (grid.abs() <= 1).all(3, keepdim=True).movedim(3, 1).float()
    return ((second - warped).abs() * inside).sum() / (inside.sum() * 3 + EPS)


def imitation_loss(x: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference of two pictures (B,3,H,W), added up over sizes down to an eighth:
    where strokes cannot be matched, their colours still can."""
    total = (x - wanted).abs().mean()
    for size in (2, 4, 8):
        total = total + F.avg_pool2d(x - wanted, size).abs().mean()
    return total


def grid_loss(x: Tensor) -> Tensor:
    """What changes from every pixel to the next for GRID_PX on end, as the checks and lines do that
    a decoder leaves which grows each value into 2x2 pixels; in strokes it averages out."""
    rows = 1 - 2 * (torch.arange(x.shape[2], device=x.device) % 2)[:, None]
    columns = 1 - 2 * (torch.arange(x.shape[3], device=x.device) % 2)
    found = [
        F.avg_pool2d(x * signs, GRID_PX, GRID_STEP_PX).square().mean()
        for signs in (rows, columns, rows * columns)
    ]
    return torch.stack(found).sum()


def pyramid_loss(x: Tensor, wanted: Tensor, count: int = 4) -> Tensor:
    """Mean absolute difference of two pictures (B,3,H,W), added up over the levels of their
    Laplacian pyramids: fine detail counts as much as colour (eq. 4 of NNST-D)."""
    return torch.stack([level.abs().mean() for level in split(x - wanted, count)]).sum()
