"""Nearest style vectors by the cosine of centred vectors: the heart of NNST.

Vectors are rows: (N,C) of a picture that is painted, (M,C) of the style. Memory is bounded: the
N x M map is made block by block, and none of it takes part in a gradient.
"""

from collections.abc import Generator

import torch
from torch import Tensor
from torch.nn import functional as F

MAP_SIZE = 1 << 20
"""Entries of the map that exist at a time: 4 MB, which caches hold. 64 MB cost half more time."""
KEYS = 4096
"""Of a block at most: few rows of a wide one would cost as much as many, since keys are read."""
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


def directed(x: Tensor) -> Tensor:
    """As `directions`, in place: for keys by the hundred thousand, of which no copy is wanted."""
    x -= x.mean(0)
    return F.normalize(x, dim=1, eps=LEAST_NORM, out=x)


def nearest(query: Tensor, keys: Tensor, guides: Guides | None = None) -> Tensor:
    """Unit rows (N,C) and (M,C) -> for each query the index (N,) of the key with the least
    1 - cos; with guides, of (1 - w) (1 - cos) + w |g - s|^2 with w = GUIDE_WEIGHT (section 5)."""
    return finished(search(query, keys, guides))


@torch.no_grad()
def search(
    query: Tensor, keys: Tensor, guides: Guides | None = None
) -> Generator[float, None, Tensor]:
    """As `nearest`, which may take minutes: yields the share that is done after every block."""
    best = query.new_full((len(query),), -torch.inf)
    found = torch.zeros_like(best, dtype=torch.long)
    rows = max(1, MAP_SIZE // min(KEYS, len(keys)))
    for first in range(0, len(keys), KEYS):
        block = slice(first, first + KEYS)
        there = keys[block] if guides is None else guided_keys(keys[block], guides[1][block])
        for begin in range(0, len(query), rows):
            part = slice(begin, begin + rows)
            here = query[part] if guides is None else guided_query(query[part], guides[0][part])
            near, place = (here @ there.mT).max(1)
            # Of equals the first stays.
            better = near > best[part]
            best[part] = torch.where(better, near, best[part])
            found[part] = torch.where(better, place + first, found[part])
            yield (first + len(there) * min(1, (begin + rows) / len(query))) / len(keys)
    return found


def finished(work: Generator[float, None, Tensor]) -> Tensor:
    """What it comes to, once all is done."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value


def guided_query(query: Tensor, wanted: Tensor) -> Tensor:
    """Longer vectors, whose product with those of `guided_keys` is the guided similarity, but for
    what the query alone adds."""
    return torch.cat([query, wanted, torch.ones_like(wanted[:, :1])], 1)


def guided_keys(keys: Tensor, there: Tensor) -> Tensor:
    """See `guided_query`."""
    w = GUIDE_WEIGHT
    square = there.square().sum(1, keepdim=True)
    return torch.cat([(1 - w) * keys, 2 * w * there, -w * square], 1)


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
