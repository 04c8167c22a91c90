"""`adaattn`: adaptive attention normalisation (Liu et al., ICCV 2021), on a VGG encoder.

For every position of the content, attention over the positions of the style gives a weighted mean M
and deviation S of the style's features; the content's normalised features are scaled and shifted by
them. Attention is `softmax` (eq. 5), as in the published image model, or `cosine` (eq. 12), as in
the published video model, in its linear form (attention.py).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models import attention as linear
from models.decoder import Transfer
from models.styles import Code
from models.vgg import mean_variance_norm, stacked_key, widths

Kind = Literal["softmax", "cosine"]

MAP_SIZE = 2**24
"""Entries of a softmax attention map that exist at once: 64 MB."""
# The published deviations have no epsilon. This one moves none by more than 3e-6, and keeps the
# gradient of the root finite.
EPS = 1e-11
SEED = 6666


class AdaAttN(nn.Module):
    """One level: 1x1 convolutions `f` and `g` of the keys and `h` of the style's features.

    `sample`: use at most so many positions of the style, drawn as the authors do.
    """

    def __init__(
        self,
        value_channels: int,
        key_channels: int,
        attention: Kind = "softmax",
        sample: int | None = None,
    ) -> None:
        super().__init__()
        if attention not in get_args(Kind):
            raise ValueError(f"attention must be {' or '.join(get_args(Kind))}, not '{attention}'")
        self.kind, self.sample = attention, sample
        self.f = nn.Conv2d(key_channels, key_channels, 1)
        self.g = nn.Conv2d(key_channels, key_channels, 1)
        self.h = nn.Conv2d(value_channels, value_channels, 1)
        self._start()

    def _start(self) -> None:
        """Begin as scaled dot-product attention of the keys themselves to the features."""
        for conv in (self.f, self.g, self.h):
            nn.init.dirac_(conv.weight)
            nn.init.zeros_(conv.bias)
        for conv in (self.f, self.g):
            conv.weight.data *= conv.in_channels**-0.25

    def summarise(self, style: Tensor, style_key: Tensor) -> Code:
        """Features (B,C,H,W) and normalised, stacked keys (B,D,H,W) of a style -> its summary.

        Cosine: the sums of attention.py. Softmax, for N positions: key (B,D,N); value (B,N,2C), the
        values and their squares; both centred on mean (B,C); share (B,). All float32.
        """
        if self.sample:
            style, style_key = draw(style, self.sample), draw(style_key, self.sample)
        key, value = self.g(style_key), self.h(style)
        if self.kind == "cosine":
            return linear.summarise(linear.unit(key.float()), value)
        return summarise(key, value)

    def forward(self, content: Tensor, content_key: Tensor, *summaries: Code) -> Tensor:
        """Features (B,C,H,W) and keys (B,D,H,W) of the content -> styled features S * norm + M.

        M and S of several styles are averaged by their shares (section 4.5).
        """
        query = self.f(content_key)
        if self.kind == "cosine":
            (summary,) = summaries
            mean, deviation = linear.attend(linear.unit(query.float()), summary, epsilon=EPS)
        else:
            mean, deviation = attend(query, summaries)
        return (deviation * mean_variance_norm(content).float() + mean).to(content.dtype)


@linear.in_float32
def summarise(key: Tensor, value: Tensor) -> Code:
    """Keys (B,D,H,W) and values (B,C,H,W) of a style -> what softmax attention needs of them.

    Centred, because E[V^2] - E[V]^2 of far-off values is lost to cancellation.
    """
    v = value.flatten(2).float()
    mean = v.mean(2)
    v = v - mean[..., None]
    return {
        "key": key.flatten(2).float(),
        "value": torch.cat([v, v.square()], 1).mT.contiguous(),
        "mean": mean,
        "share": mean.new_ones(len(mean)),
    }


@linear.in_float32
def attend(query: Tensor, summaries: Sequence[Code]) -> tuple[Tensor, Tensor]:
    """Queries (B,D,H,W) -> M and S (B,C,H,W), the averages of all summaries by their shares."""
    b, _, h, w = query.shape
    q = query.flatten(2).mT.float()
    means, deviations = [], []
    for s in summaries:
        first, second = expect(q, s["key"], s["value"]).mT.chunk(2, 1)
        share = s["share"][:, None, None]
        means.append(share * (first + s["mean"][..., None]))
        deviations.append(share * ((second - first.square()).clamp_min(0) + EPS).sqrt())
    mean, deviation = torch.stack(means).sum(0), torch.stack(deviations).sum(0)
    return mean.reshape(b, -1, h, w), deviation.reshape(b, -1, h, w)


def expect(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Queries (B,M,D), keys (1 or B,D,N), values (1 or B,N,C) -> attended values (B,M,C).

    Without the usual 1/sqrt(D), as published. Rows of the map are made a few at a time: whole, it
    would take a gigabyte at 512 px. Where a gradient is wanted they are made again for it, as it
    would keep all of them.
    """
    rows = max(1, MAP_SIZE // (len(query) * key.shape[2]))
    chunks = [query[:, i : i + rows] for i in range(0, query.shape[1], rows)]
    part: Callable[[Tensor, Tensor, Tensor], Tensor] = looked_up
    if len(chunks) > 1 and any(t.requires_grad for t in (query, key, value)):
        part = partial(checkpoint, looked_up, use_reentrant=False, preserve_rng_state=False)
    return torch.cat([part(q, key, value) for q in chunks], 1)


def looked_up(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The values that some queries find."""
    return (query @ key).softmax(2) @ value


def draw(x: Tensor, limit: int) -> Tensor:
    """At most `limit` positions of (B,C,H,W) as (B,C,limit,1): those that the authors' code draws.

    Its seed, but a generator of our own: theirs resets the one that everybody uses.
    """
    count = x.shape[2] * x.shape[3]
    if count <= limit:
        return x
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(SEED))[:limit]
    return x.flatten(2)[:, :, chosen.to(x.device), None]


def keyed(maps: list[Tensor], level: int) -> tuple[Tensor, Tensor]:
    """Features and stacked keys of a level."""
    return maps[level - 1], stacked_key(maps, level)


def build(
    attention: Kind = "cosine",
    levels: Sequence[int] = (3, 4, 5),
    width: float = 0.25,
    published: bool = False,
    recolor: bool = False,
) -> Transfer:
    """A fresh model: levels (3, 4, 5), or (3,) as the authors' video model.

    `published` restores what we hold to be wrong: only a random 4096 positions of the style at
    level 3 of the image model, 65536 elsewhere. `recolor`: see decoder.py.
    """
    if tuple(levels) not in ((3, 4, 5), (3,)):
        raise ValueError(f"levels must be (3, 4, 5) or (3,), not {tuple(levels)}")
    channels = widths(width)

    def module(level: int) -> AdaAttN:
        limit = 4096 if level == 3 and len(levels) > 1 else 65536
        sample = limit if published else None
        return AdaAttN(channels[level - 1], sum(channels[:level]), attention, sample)

    return Transfer(width, {level: module(level) for level in levels}, keyed, recolor)
