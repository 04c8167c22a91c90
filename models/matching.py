"""Nearest style vectors by the cosine of centred vectors: the heart of NNST.

Vectors are rows: (N,C) of a picture that is painted, (M,C) of the style. Memory is bounded: rows of
the N x M map are made a few at a time, and none of it takes part in a gradient.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

MAP_SIZE = 1 << 20
"""Entries of the map that exist at a time: 4 MB, which caches hold. 64 MB cost half more time."""
LEAST_NORM = 1e-4
GUIDE_WEIGHT = 0.5

Guides = tuple[Tensor, Tensor]
"""(N,G) and (M,G): what each place should be matched by beside its look, such as its region."""


def unit(x: Tensor) -> Tensor:
    """Rows scaled to length 1; shorter ones than 1e-4 stay shorter."""
    return F.normalize(x, dim=1, eps=LEAST_NORM)


def directions(x: Tensor) -> Tensor:
    """Rows x_i -> (x_i - mean) / |x_i - mean|."""
    return unit(x - x.mean(0))


@torch.no_grad()
def nearest(query: Tensor, keys: Tensor, guides: Guides | None = None) -> Tensor:
    """Unit rows (N,C) and (M,C) -> for each query the index (N,) of the key with the least
    1 - cos; with guides, of (1 - w) (1 - cos) + w |g - s|^2 with w = GUIDE_WEIGHT (section 5)."""
    if guides is not None:
        query, keys = guided(query, keys, *guides)
    rows = max(1, MAP_SIZE // len(keys))
    return torch.cat([(part @ keys.mT).argmax(1) for part in torch.split(query, rows)])


def guided(query: Tensor, keys: Tensor, wanted: Tensor, there: Tensor) -> Guides:
    """Longer vectors whose product is the guided similarity, but for what the query alone adds."""
    w = GUIDE_WEIGHT
    square = there.square().sum(1, keepdim=True)
    longer = [(1 - w) * keys, 2 * w * there, -w * square]
    return torch.cat([query, wanted, torch.ones_like(wanted[:, :1])], 1), torch.cat(longer, 1)


def pull(current: Tensor, style: Tensor, guides: Guides | None = None) -> Tensor:
    """Mean over the rows of `current` of the distance to the nearest row of `style`, both centred.

    The gradient of a minimum flows through its argument alone: the nearest rows are found without
    one, gathered, and N products differentiated instead of N x M.
    """
    query, keys = directions(current), directions(style)
    found = nearest(query.detach(), keys, guides)
    return apart(query, keys[found])


def apart(a: Tensor, b: Tensor) -> Tensor:
    """Mean of 1 - cos between unit rows."""
    return 1 - (a * b).sum(1).mean()
