"""`stya2k`: all-to-key attention (Zhu et al., ICCV 2023), on a VGG encoder.

Two attentions side by side, in 8 heads. Distributed: every position of the content attends to one
key for each patch of the style. Progressive: every patch of the content finds its most similar
patch of the style, and attends within it. Follows the published code where the paper differs
(docs/published.md), for content and style of any two sizes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.attention import in_float32
from models.decoder import Transfer
from models.styles import Code
from models.vgg import mean_variance_norm, widths

PATCHES = {3: 8, 4: 8, 5: 4}


class A2K(nn.Module):
    """One level. `patch`: side of the square patches, in positions; parameters named as published.

    A map is extended to whole patches by repeating its edges, and the result cropped.
    """

    def __init__(self, channels: int, patch: int, heads: int = 8) -> None:
        super().__init__()
        self.patch, self.heads = patch, heads
        for name in ("q", "k", "v", "q2", "k2", "v2", "fusion1", "fusion2"):
            self.add_module(name, nn.Conv2d(channels, channels, 1))
        self.sim_alpha = nn.Parameter(torch.ones(1))
        self.sim_beta = nn.Parameter(torch.zeros(1))
        self._start()

    def _start(self) -> None:
        """Begin as attention of the features themselves, both kinds in equal parts."""
        for conv in self.children():
            nn.init.dirac_(conv.weight)
            nn.init.zeros_(conv.bias)
        for conv in (self.fusion1, self.fusion2):
            conv.weight.data *= 0.5

    def summarise(self, style: Tensor) -> Code:
        """Features (B,C,H,W) of a style -> what both attentions need of its n patches, float32.

        key, value (B,heads,n,d): one for each patch; patch_key, patch_value (B,heads,n,r,d): the r
        positions of each; share (B,).
        """
        normed = mean_variance_norm(style)
        key, value = self._patches(self.k(normed)), self._patches(self.v(style))
        key, value = aggregate(key, value, self.sim_alpha, self.sim_beta)
        return {
            "key": key,
            "value": value,
            "patch_key": self._patches(self.k2(normed)),
            "patch_value": self._patches(self.v2(style)),
            "share": key.new_ones(len(key)),
        }

    def forward(self, content: Tensor, *summaries: Code) -> Tensor:
        """Features (B,C,H,W) of the content -> styled features; what is attended to in several
        styles is averaged by their shares."""
        normed = mean_variance_norm(content)
        query = self.q(normed).float().unflatten(1, (self.heads, -1)).flatten(3).mT
        patches = self._patches(self.q2(normed))
        spread = average([distributed(query, s) for s in summaries], summaries)
        found = average([progressive(patches, s) for s in summaries], summaries)
        spread = spread.mT.reshape(content.shape).to(content.dtype)
        found = self._join(found, content).to(content.dtype)
        return self.fusion1(spread) + self.fusion2(found) + content

    def _patches(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> (B,heads,n,r,d): n patches of r positions, d channels a head, float32."""
        p = self.patch
        x = F.pad(x.float(), (0, -x.shape[3] % p, 0, -x.shape[2] % p), mode="replicate")
        b, c, h, w = x.shape
        x = x.reshape(b, self.heads, c // self.heads, h // p, p, w // p, p)
        return x.permute(0, 1, 3, 5, 4, 6, 2).flatten(4, 5).flatten(2, 3)

    def _join(self, x: Tensor, like: Tensor) -> Tensor:
        """The inverse of `_patches` for (B,heads,n*r,d), cropped to the size of `like`."""
        p, (b, c, h, w) = self.patch, like.shape
        rows, columns = -(-h // p), -(-w // p)
        x = x.reshape(b, self.heads, rows, columns, p, p, c // self.heads)
        x = x.permute(0, 1, 6, 2, 4, 3, 5).reshape(b, c, rows * p, columns * p)
        return x[:, :, :h, :w]


@in_float32
def aggregate(key: Tensor, value: Tensor, alpha: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """Patches (B,heads,n,r,d) -> one key and one value (B,heads,n,d) for each patch.

    Both are weighed by how similar each position's key is to the mean key of its patch.
    """
    key_mean, value_mean = key.mean(3, keepdim=True), value.mean(3, keepdim=True)
    similar = (beta + alpha * (key * key_mean).sum(4, keepdim=True)).sigmoid()
    count = key.shape[3] + 1
    key = ((similar * key).sum(3) + key_mean[:, :, :, 0]) / count
    value = ((similar * value).sum(3) + value_mean[:, :, :, 0]) / count
    return key, value


@in_float32
def distributed(query: Tensor, summary: Code) -> Tensor:
    """Queries (B,heads,HW,d) -> values of the style's patches attended to, (B,heads,HW,d)."""
    shape = (len(query), -1, -1, -1)
    key, value = summary["key"].expand(shape), summary["value"].expand(shape)
    return F.scaled_dot_product_attention(query, key, value, scale=1.0)


@in_float32
def progressive(query: Tensor, summary: Code) -> Tensor:
    """Query patches (B,heads,n,r,d) -> values within the most similar patch, (B,heads,n*r,d).

    Similar are patches whose aligned positions are.
    """
    keys, values = summary["patch_key"], summary["patch_value"]
    best = (query.flatten(3) @ keys.flatten(3).mT).argmax(3)[..., None, None]
    keys, values = (x.take_along_dim(best, 2).flatten(0, 1) for x in (keys, values))
    found = F.scaled_dot_product_attention(query.flatten(0, 1), keys, values, scale=1.0)
    return found.view(query.shape).flatten(2, 3)


def average(attended: list[Tensor], summaries: Sequence[Code]) -> Tensor:
    """Sum of (B,heads,N,d), each times its share."""
    shares = [s["share"][:, None, None, None] for s in summaries]
    return torch.stack([a * s for a, s in zip(attended, shares, strict=True)]).sum(0)


def alone(maps: list[Tensor], level: int) -> tuple[Tensor]:
    """The features of a level."""
    return (maps[level - 1],)


def build(width: float = 0.25, recolor: bool = False) -> Transfer:
    """A fresh model. `recolor`: see decoder.py."""
    channels = widths(width)
    attention: dict[int, nn.Module] = {n: A2K(channels[n - 1], p) for n, p in PATCHES.items()}
    return Transfer(width, attention, alone, recolor)
