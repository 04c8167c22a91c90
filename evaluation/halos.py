"""Halos: calm outlines around things, in places that are otherwise full of the style's texture
(NeAT, section 4.2)."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.critics import sobel

EDGES, FLAT = 0.9, 0.5
"""Shares of the photograph whose edges are weaker than what counts as an edge, and as flat."""
BESIDE, FAR = (0.015, 0.05), 0.08
"""Distances to the nearest edge, as shares of the short side."""
SOFT_PX = 1.5
LEAST = 0.005
"""Of all pixels must be of a kind, for its mean to say something."""


def halo(painted: Tensor, photograph: Tensor) -> float | None:
    """How much texture, as the strength of edges, a painting has in flat places of the photograph
    that lie far from its edges, over that in those beside edges: above 1 is a halo, 1 even. Both
    (1,3,H,W) in [0, 1]. None: the photograph has no such places, or there is no texture in them."""
    edges = cv2.GaussianBlur(sobel(photograph)[0, 0].cpu().numpy(), (0, 0), SOFT_PX)
    is_edge, is_flat = edges > np.quantile(edges, EDGES), edges <= np.quantile(edges, FLAT)
    off = cv2.distanceTransform((~is_edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    off = off / min(edges.shape)
    texture = sobel(painted)[0, 0].cpu()
    beside = is_flat & (off > BESIDE[0]) & (off < BESIDE[1])
    far = is_flat & (off > FAR)
    if min(beside.mean(), far.mean()) < LEAST:
        return None
    whole = mean_in(texture, beside)
    return mean_in(texture, far) / whole if whole else None


def mean_in(values: Tensor, where: NDArray[np.bool_]) -> float:
    """Of (H,W), over the places that are true."""
    return values[torch.from_numpy(where)].mean().item()
