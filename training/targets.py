"""Features that a painting should have: what attention without parameters makes of the content's
and the style's maps of the loss network.

AdaAttN (ICCV 2021, eq. 10) calls the difference its local feature loss; StyA2K (ICCV 2023) does the
same with its own attention. Both take keys from the normalised maps of a level and the finer ones,
and values from the style's maps as they are. `maps` are {layer: (B,C,H,W)} with every relu1_1 ...
down to the level. Nothing here has a gradient.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models import adaattn, stya2k
from models.vgg import mean_variance_norm, stacked_key
from training.losses import draw, positions
from training.options import SHALLOW_TO_DEEP

Maps = dict[str, Tensor]

SAMPLE = 4096
HEADS = 8
PATCHES = {"2_1": 16, "3_1": 8, "4_1": 8, "5_1": 4}


@torch.no_grad()
def adaattn_target(content: Maps, style: Maps, layer: str) -> Tensor:
    """S * norm(F_c) + M under softmax attention. Of larger maps 4096 positions of the style are
    drawn anew for every step and level, where the authors' code draws once a step."""
    query, key = keys(content, layer), keys(style, layer)
    value = style[layer].float()
    drawn = draw(positions(torch.cat([key, value], 1)), SAMPLE).mT[..., None]
    key, value = torch.split(drawn, [key.shape[1], value.shape[1]], 1)
    mean, deviation = adaattn.attend(query, [adaattn.summarise(key, value)])
    return deviation * mean_variance_norm(content[layer].float()) + mean


@torch.no_grad()
def a2k_target(content: Maps, style: Maps, layer: str) -> Tensor:
    """Distributed attention + progressive attention + F_c, in 8 heads that cut across the stacked
    layers, as published. Patch sides are the published code's; edges are repeated to fill them."""
    side = PATCHES[layer]
    query, key, value = (
        patches(x, side) for x in (keys(content, layer), keys(style, layer), style[layer].float())
    )
    one = value.new_ones(1)
    coarse = dict(zip(("key", "value"), stya2k.aggregate(key, value, one, 0 * one), strict=True))
    spread = stya2k.distributed(query.flatten(2, 3), coarse)
    # Values are narrower than keys here, but not in the model, whose function wants one width.
    wide = F.pad(value, (0, key.shape[4] - value.shape[4]))
    found = stya2k.progressive(query, {"patch_key": key, "patch_value": wide})
    joint = spread + found[..., : value.shape[4]]
    return content[layer].float() + joined(joint, side, content[layer].shape)


def keys(maps: Maps, layer: str) -> Tensor:
    """The normalised maps of a level and of all finer ones, side by side (B,D,H,W), float32."""
    level = SHALLOW_TO_DEEP.index(layer) + 1
    return stacked_key([maps[n].float() for n in SHALLOW_TO_DEEP[:level]], level)


def patches(x: Tensor, side: int) -> Tensor:
    """(B,C,H,W) -> (B,heads,n,r,d): n patches of r = side * side positions, d channels a head."""
    x = F.pad(x, (0, -x.shape[3] % side, 0, -x.shape[2] % side), mode="replicate")
    x = F.pixel_unshuffle(x, side).flatten(2)
    return torch.unflatten(x, 1, (HEADS, -1, side * side)).permute(0, 1, 4, 3, 2)


def joined(x: Tensor, side: int, shape: torch.Size) -> Tensor:
    """The inverse of `patches` for (B,heads,n*r,d), cropped to `shape`."""
    rows, columns = -(-shape[2] // side), -(-shape[3] // side)
    x = torch.unflatten(x, 2, (rows, columns, side * side)).permute(0, 1, 5, 4, 2, 3)
    return F.pixel_shuffle(x.flatten(1, 3), side)[:, :, : shape[2], : shape[3]]
