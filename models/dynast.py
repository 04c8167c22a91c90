"""`dynast`: dynamic sparse attention at full resolution (Liu et al., ECCV 2022), in style mode.

Coarse to fine, from 1/8 to every pixel. At the coarsest scale every place of the content attends to
all places of the style. Below, only to where the scale above has led: the children of its four best
matches, and then what the neighbours' matches, shifted back, suggest. Links that a learnt test
denies are pruned, and a SPADE block fills what they would have given. Memory grows with the number
of pixels, not with its square. No code of the style mode was released: docs/models.md says what
differs from the paper.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.attention import in_float32
from models.bands import in_palette, palettes
from models.mixing import parts
from models.padding import pad
from models.styles import Code
from models.vgg import Encoder, convolve, mean_variance_norm, start, widths
from models.whole import stretched

SCALES = 4
BLOCKS = 2
"""A scale: dense ones at the coarsest; else an inter-scale and an inner-scale one."""
TOP = 4
SHARPNESS = 100.0
MULTIPLE = 8
LINKS = 2**19
"""Pairs of a place and a candidate that are looked at together: linear memory, 100 MB of it."""
PLACES = 32
"""Side of the learnt grid of positions, which is stretched over maps of any size."""
NEIGHBOURS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
EPS = 1e-8


class Links(NamedTuple):
    """What content places (B,N,...) find in a style: values (B,N,C), the share that was not pruned
    (B,N,1), the TOP best places of the style (B,N,TOP), and the style's colours there (B,N,3)."""

    values: Tensor
    kept: Tensor
    best: Tensor
    colours: Tensor


class Block(nn.Module):
    """One dynamic attention unit (section 3.2) at C channels and P of position."""

    def __init__(self, channels: int, position: int) -> None:
        super().__init__()
        width, pruning = channels + position, channels // 4
        self.f = nn.Conv2d(width, width, 1)
        self.g = nn.Conv2d(width, width, 1)
        self.h = nn.Conv2d(channels, channels, 1)
        self.f_prune = nn.Conv2d(channels, pruning, 1)
        self.g_prune = nn.Conv2d(channels, pruning, 1)
        self.modulate = nn.Conv2d(channels, 2 * channels, 3)
        self.conv1 = nn.Conv2d(channels, channels, 3)
        self.conv2 = nn.Conv2d(channels, channels, 3)
        self._start()

    def _start(self) -> None:
        """Begin with what is alike as it is, and with links that are all kept."""
        start(self)
        for conv in (self.f, self.g, self.h):
            nn.init.dirac_(conv.weight)
        self.g_prune.load_state_dict(self.f_prune.state_dict())
        for conv in (self.f_prune, self.g_prune):
            nn.init.constant_(conv.bias, 1.0)
        self.modulate.weight.data *= 0.1
        self.conv2.weight.data *= 0.1

    def summarise(self, style: Tensor, position: Tensor) -> Code:
        """Embedded style (B,C,H,W) and positions (B,P,H,W) -> key, value, prune (B,.,H,W)."""
        key = self.g(torch.cat([F.normalize(style, dim=1), position], 1))
        return {"key": key, "value": self.h(style), "prune": self.g_prune(style)}

    def find(self, x: Tensor, position: Tensor, style: Code, near: Tensor | None) -> Links:
        """What the content's features find among the candidates `near` (B,N,K), or everywhere."""
        query = self.f(torch.cat([F.normalize(x, dim=1), position], 1))
        return attend(query, self.f_prune(x), style, near)

    def forward(self, x: Tensor, content: Tensor, links: Links) -> Tensor:
        """Features, the embedded content and what was found -> features (eq. 8 and 9)."""
        scale, shift = convolve(self.modulate, content).chunk(2, 1)
        spade = mean_variance_norm(x) * (1 + scale) + shift
        found, kept = (t.mT.reshape(len(x), -1, *x.shape[2:]).to(x.dtype) for t in links[:2])
        x = positional_norm(found + (1 - kept) * spade + x)
        return positional_norm(x + convolve(self.conv2, F.relu(convolve(self.conv1, x))))


class Scale(nn.Module):
    """The embeddings of one scale, and its blocks. `above`: channels of the coarser scale."""

    def __init__(self, channels: int, above: int | None) -> None:
        super().__init__()
        position = channels // 4
        self.embed_content = nn.Conv2d(channels, channels, 3)
        self.embed_style = nn.Conv2d(channels, channels, 3)
        self.position = nn.Parameter(0.02 * torch.randn(1, position, PLACES, PLACES))
        self.blocks = nn.ModuleList(Block(channels, position) for _ in range(BLOCKS))
        if above:
            self.down_content = nn.Conv2d(above, channels, 3)
            self.down_style = nn.Conv2d(above, channels, 3)
        for name in ("embed_content", "embed_style", "down_content", "down_style"):
            if hasattr(self, name):
                start(self.get_submodule(name))

    def embed(self, kind: str, features: Tensor, above: Tensor | None) -> Tensor:
        """Of `content` or `style`: the encoder's map and what the scale above says of it."""
        if above is not None:
            above = F.interpolate(above, features.shape[2:], mode="bilinear", align_corners=False)
            features = features + F.relu(convolve(self.get_submodule(f"down_{kind}"), above))
        return positional_norm(convolve(self.get_submodule(f"embed_{kind}"), features))

    def positions(self, like: Tensor) -> Tensor:
        """The learnt grid, stretched over a map of any size."""
        grid = stretched(self.position, like.shape[2:], MULTIPLE)
        return grid.expand(len(like), -1, -1, -1).to(like.dtype)


class DynaST(nn.Module):
    """RGB float NCHW in [0, 1] in and out, of any size. See models/__init__.py.

    The encoder is frozen; its four maps are what is embedded. `recolor`: as in decoder.py.
    """

    min_side = 1

    def __init__(self, width: float, recolor: bool) -> None:
        super().__init__()
        channels, self.recolor = widths(width)[:SCALES], recolor
        self.encoder = Encoder(SCALES, width).requires_grad_(False)
        coarse = channels[::-1]
        self.scales = nn.ModuleList(Scale(c, above) for above, c in pairwise([None, *coarse]))
        self.smooth = nn.Conv2d(channels[0], channels[0], 3)
        self.draw = nn.Conv2d(channels[0], 3, 3)
        start(self.smooth)
        start(self.draw)
        self.draw.weight.data *= 0.3
        nn.init.constant_(self.draw.bias, 0.5)

    def encode_style(self, pictures: Tensor) -> Code:
        """Style pictures NCHW in [0, 1] -> code: keys and values of every place at every scale,
        and the picture at that size. Codes grow with the picture, and none is the sum of others:
        mixed styles are matched each on its own."""
        x = pad(pictures, MULTIPLE)
        maps = self.encoder(x)[::-1]
        code = {"style.share": pictures.new_ones(len(pictures))}
        above = None
        for i, (scale, features) in enumerate(zip(self.scales, maps, strict=True)):
            above = scale.embed("style", features, above)
            position = scale.positions(above)
            code[f"style.picture{i}"] = F.adaptive_avg_pool2d(x, above.shape[2:]).contiguous()
            for j, block in enumerate(scale.blocks):
                summary = block.summarise(above, position)
                for name, t in summary.items():
                    code[f"style.{name}{i}{j}"] = t.float().contiguous()
        if self.recolor:
            code |= palettes(pictures)
        return code

    def forward(self, frames: Tensor, code: Code, strength: float | Tensor = 1.0) -> Tensor:
        """Frames NCHW in [0, 1], a code (batch 1 or N), strength 0 to 1.5 -> frames, clamped."""
        return self.paint(frames, code, strength).clamp(0, 1)

    def paint(self, frames: Tensor, code: Code, strength: float | Tensor = 1.0) -> Tensor:
        """As forward, not clamped: training needs the gradient beyond the range."""
        x = pad(frames, MULTIPLE)
        maps = self.encoder(x)[::-1]
        h, w = frames.shape[2:]
        painted = []
        for style in parts(code, "style"):
            for features, _ in self._cascade(maps, style, strength):
                last = features
            drawn = convolve(self.draw, F.relu(convolve(self.smooth, last)))[:, :, :h, :w]
            painted.append(style["share"][:, None, None, None] * drawn)
        whole = torch.stack(painted).sum(0)
        if self.recolor:
            whole = in_palette(whole, code, strength)
        return whole

    def matches(self, frames: Tensor, code: Code, strength: float | Tensor = 1.0) -> list[Tensor]:
        """The style's picture, moved to where each block has found it, for every block from coarse
        to fine, NCHW in [0, 1] at its own scale (section 3.3; figure 1). Of links that are kept:
        eq. 12; black where none is. Of mixed styles the average, by their shares."""
        maps = self.encoder(pad(frames, MULTIPLE))[::-1]
        moved = [self._moved(maps, style, frames, strength) for style in parts(code, "style")]
        return [torch.stack(layer).sum(0) for layer in zip(*moved, strict=True)]

    def _moved(
        self, maps: list[Tensor], style: Code, frames: Tensor, strength: float | Tensor
    ) -> Iterator[Tensor]:
        """`matches` of one style, times its share; what was padded is cut off."""
        share = style["share"][:, None, None, None]
        for features, links in self._cascade(maps, style, strength):
            scale = maps[-1].shape[2] // features.shape[2]
            h, w = (-(-side // scale) for side in frames.shape[2:])
            for found in links:
                picture = found.colours.mT.reshape(len(frames), 3, *features.shape[2:])
                yield share * picture[:, :, :h, :w]

    def _cascade(
        self, maps: list[Tensor], style: Code, strength: float | Tensor
    ) -> Iterator[tuple[Tensor, list[Links]]]:
        """Features of each scale, from coarse to fine, and what its blocks have found."""
        above = best = None
        for i, (scale, features) in enumerate(zip(self.scales, maps, strict=True)):
            content = scale.embed("content", features, above)
            position, x, found = scale.positions(content), content, []
            for j, block in enumerate(scale.blocks):
                own = {name: style[f"{name}{i}{j}"] for name in ("key", "value", "prune")}
                own["picture"] = style[f"picture{i}"]
                here, there = content.shape[2:], own["key"].shape[2:]
                near = None
                if i and best is not None:
                    near = shifted(best, here, there) if j else children(best, here, there)
                links = block.find(x, position, own, near)
                best = links.best
                x = block(x, content, links)
                found.append(links)
            above = content + strength * (x - content)
            yield above, found


@in_float32
def attend(query: Tensor, pruning: Tensor, style: Code, near: Tensor | None) -> Links:
    """Queries (B,D,H,W) and what is asked of links (B,P,H,W) -> what the places of a style give
    (eq. 2 to 8): all of them, or the candidates `near` (B,N,K), each counted once."""
    b, count = len(query), query.shape[2] * query.shape[3]
    q, p = (t.flatten(2).mT.float() for t in (query, pruning))
    about = {name: style[name].flatten(2).mT.float() for name in ("key", "prune", "value")}
    about["picture"] = style["picture"].flatten(2).mT.float()
    # Rows that lie in one piece are gathered several times faster.
    about = {name: t.expand(b, -1, -1).contiguous() for name, t in about.items()}
    width = about["key"].shape[1] if near is None else near.shape[2]
    rows = max(1, LINKS // (b * width))
    found = [
        linked(
            q[:, i : i + rows],
            p[:, i : i + rows],
            about,
            near if near is None else near[:, i : i + rows],
        )
        for i in range(0, count, rows)
    ]
    return Links(*(torch.cat(t, 1) for t in zip(*found, strict=True)))


def linked(q: Tensor, p: Tensor, style: Code, near: Tensor | None) -> Links:
    """Some rows of `attend`."""
    if near is None:
        logits, test = (a @ b.mT for a, b in ((q, style["key"]), (p, style["prune"])))
    else:
        near = near.sort(2).values
        again = F.pad(near[:, :, 1:] == near[:, :, :-1], (1, 0))
        logits, test = (
            (gathered(b, near) @ a[..., None]).squeeze(3)
            for a, b in ((q, style["key"]), (p, style["prune"]))
        )
        logits = logits.masked_fill(again, -torch.inf)
    a = (SHARPNESS * logits).softmax(2)
    weights = a * decided(test)
    kept = weights.sum(2, keepdim=True)
    top = a.topk(min(TOP, a.shape[2]), 2).indices
    if near is None:
        values, colours = weights @ style["value"], weights @ style["picture"]
    else:
        top = near.gather(2, top)
        values, colours = (
            (weights[:, :, None] @ gathered(style[name], near)).squeeze(2)
            for name in ("value", "picture")
        )
    return Links(values, kept, top, colours / (kept + EPS))


def decided(test: Tensor) -> Tensor:
    """1 where a link is kept, 0 elsewhere, with the gradient of a sigmoid (eq. 5 and 6)."""
    soft = test.sigmoid()
    return (test > 0).float() + soft - soft.detach()


def gathered(x: Tensor, places: Tensor) -> Tensor:
    """Rows of (B,M,C) at places (B,N,K) -> (B,N,K,C). Whole rows of one table: several times faster
    than an index for every entry, backwards above all."""
    first = torch.arange(len(x), device=x.device)[:, None, None] * x.shape[1]
    rows = x.reshape(-1, x.shape[2]).index_select(0, (places + first).flatten())
    return rows.reshape(*places.shape, x.shape[2])


def children(best: Tensor, here: torch.Size, there: torch.Size) -> Tensor:
    """Matches (B,N/4,T) of the scale above -> candidates (B,N,4T) of this one: every place takes
    those of its parent, each with its four children. Sizes are those of content and style."""
    h, w = here
    wide = there[1]
    y, x = best // (wide // 2), best % (wide // 2)
    four = [(2 * y + dy) * wide + 2 * x + dx for dy in (0, 1) for dx in (0, 1)]
    parents = torch.cat(four, 2)
    parents = parents.reshape(len(parents), h // 2, w // 2, -1)
    return parents.repeat_interleave(2, 1).repeat_interleave(2, 2).flatten(1, 2)


def shifted(best: Tensor, here: torch.Size, there: torch.Size) -> Tensor:
    """Matches (B,N,T) -> candidates (B,N,5T): a place's own, and those that lie where its
    neighbours' matches say that it should: the match of the right one, one to the left."""
    (h, w), (high, wide) = here, there
    y, x = (t.reshape(len(t), h, w, -1) for t in (best // wide, best % wide))
    rows, columns = (torch.arange(n, device=best.device) for n in (h, w))
    found = []
    for dy, dx in NEIGHBOURS:
        at = (rows + dy).clamp(0, h - 1)[:, None], (columns + dx).clamp(0, w - 1)
        moved = (y[:, *at] - dy).clamp(0, high - 1) * wide + (x[:, *at] - dx).clamp(0, wide - 1)
        found.append(moved)
    return torch.cat(found, 3).flatten(1, 2)


def positional_norm(x: Tensor) -> Tensor:
    """Zero mean and unit deviation of the channels at every place (Li et al., 2019)."""
    centred = x.float() - x.float().mean(1, keepdim=True)
    return (centred * (centred.square().mean(1, keepdim=True) + 1e-5).rsqrt()).to(x.dtype)


def build(width: float = 0.25, recolor: bool = False) -> DynaST:
    """A fresh model. `recolor`: as in decoder.py."""
    return DynaST(width, recolor)
