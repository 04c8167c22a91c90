"""The image similarity loss of AdaAttN (L_is, ICCV 2021, eq. 13), without its matrices.

Two frames must stay as alike, place by place, as they were before they were painted. At 256 px the
four matrices of relu2_1 would take 1 GB each; here a few rows of them exist at a time.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from training.losses import EPS, positions

ROWS = 512


def similarity_loss(
    painted: Tensor, again: Tensor, content: Tensor, view: Tensor, rows: int = ROWS
) -> Tensor:
    """Maps (B,C,H,W) of two painted frames, and of the two frames -> mean |difference| of D.

    D_ij = 1 - cos(place i of the first, place j of the second), divided by its column's sum. It
    follows that the value falls with the number of places: published weights are for 256 px.
    Exact in value and gradient; `rows` of D are kept at a time, backwards too.
    """
    u, v, a, b = (
        F.normalize(positions(x).float(), dim=2, eps=EPS) for x in (painted, again, content, view)
    )
    sums, wanted = column_sums(u, v), column_sums(a, b)

    def part(u: Tensor, a: Tensor) -> Tensor:
        return ((1 - u @ v.mT) / sums - (1 - a @ b.mT) / wanted).abs().sum()

    parts = [
        checkpoint(part, *chunk, use_reentrant=False, preserve_rng_state=False)
        for chunk in zip(torch.split(u, rows, 1), torch.split(a, rows, 1), strict=True)
    ]
    return torch.stack(parts).sum() / (len(u) * u.shape[1] * v.shape[1])


def column_sums(u: Tensor, v: Tensor) -> Tensor:
    """Unit vectors (B,N,C) and (B,M,C) -> (B,1,M), the sums over i of 1 - <u_i, v_j>: a sum of
    inner products is the inner product with the sum."""
    return (u.shape[1] - u.sum(1, keepdim=True) @ v.mT).clamp_min(EPS)
