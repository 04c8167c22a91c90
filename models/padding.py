"""Pictures of any size to the whole multiples that a network halves evenly."""

from torch import Tensor
from torch.nn import functional as F


def pad(x: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Reflect NCHW at the right and the bottom up to the next multiple, `least` multiples at least;
    small sides are repeated."""
    h, w = x.shape[2:]
    right = max(-w % multiple, least * multiple - w)
    bottom = max(-h % multiple, least * multiple - h)
    if not right and not bottom:
        return x
    mode = "reflect" if right < w and bottom < h else "replicate"
    return F.pad(x, (0, right, 0, bottom), mode=mode)
