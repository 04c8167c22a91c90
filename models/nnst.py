"""`nnst`: neural neighbour style transfer by optimisation (NNST-Opt; Kolkin et al., 2022).

A picture is sought whose features are those of the style, rearranged as the photograph asks: every
hypercolumn of the photograph is replaced by the nearest one of the style, turned four ways, and
Adam changes a Laplacian pyramid until the picture's hypercolumns point there. From coarse to fine;
at the finest scale each layer then looks for its own neighbours, anew after every step.

No weights of its own: it needs a feature network only. The best quality, and minutes a picture.
"""

import random
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Literal, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.hypercolumns import COLUMN_PX, columns, layers, roots
from models.matching import LEAST_NORM, directed, directions, finished, pull, search, unit
from models.mixing import parts
from models.oklab import repainted
from models.pyramid import halved, join, resized, split
from models.styles import Code
from models.vgg import Encoder, start

Features = Literal["narrow", "vgg16"]
Maps = list[Tensor]
Result = TypeVar("Result")
Work = Generator[float, None, Result]
"""Yields the share that is done, at the latest after a step or a block of matches, and returns what
comes of it."""
Painting = Work[Tensor]

BLOCKS = (2, 2, 3, 3)
"""Convolutions of the first four blocks of VGG-16, whose features are used."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LEVELS = 9
"""Of the pyramid of a picture: what each of eight halvings loses, and the rest."""
SCALES = 4
STYLE_PX = 1024
"""The long side at which larger style pictures are kept: the scale of a picture of that size."""
LARGE_PX = 1024
"""From this long side on there is one scale more, and the start holds one level more."""
COARSE_PX = 16
"""The short side of the coarsest scale, at least."""
DROPPED = 3
"""Finest levels of the photograph that the start is without: it is an eighth of the size."""
STEPS, RATE = 60, 8e-3
"""Of Adam at each scale. Fewer and longer ones than the authors' come as far for a third."""
REST = 0.95
"""How much shorter they become towards the end of each scale."""
PUBLISHED_STEPS, PUBLISHED_RATE = 200, 2e-3
GRID = 32
"""In the last pass a layer is matched on a grid of at most so many places a side."""
PUBLISHED_GRID = 64
"""So many at least."""
CHUNK = 16384
EVEN_PX = 750_000
"""A scale of so many pixels is matched in about the time in which it is painted: what is matched
goes with the square."""


class Vgg16(nn.Module):
    """torchvision's VGG-16 to relu4_3: zeros beyond the borders, ImageNet's mean and deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.names = [f"conv{b}_{i}" for b, n in enumerate(BLOCKS, 1) for i in range(1, n + 1)]
        inputs = 3
        for name in self.names:
            outputs = min(512, 32 << int(name[4]))
            self.add_module(name, nn.Conv2d(inputs, outputs, 3, padding=1))
            inputs = outputs
        start(self)

    def walk(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """RGB NCHW in [0, 1] -> every layer's name and its map after ReLU."""
        mean, deviation = (x.new_tensor(v)[:, None, None] for v in (MEAN, DEVIATION))
        x = (x - mean) / deviation
        for name in self.names:
            if name.endswith("_1") and name != self.names[0]:
                # A thin style may be one row by now, of which nothing would be left.
                x = F.max_pool2d(x, 2, ceil_mode=min(x.shape[2:]) < 2)
            x = F.relu(self.get_submodule(name)(x))
            yield name, x


class NNST(nn.Module):
    """RGB float NCHW in [0, 1] in and out, any size from 32 px. See models/__init__.py.

    `published` restores what the authors' code does and we hold to be wrong: docs/nnst.md.
    """

    min_side = 32
    sizes_styles = True  # itself: see models/styles.py

    def __init__(self, features: Features = "narrow", published: bool = False) -> None:
        super().__init__()
        net = Vgg16() if features == "vgg16" else Encoder(5, 0.25)
        self.encoder = net.requires_grad_(False)
        self.published = published
        self._rooted = features == "narrow" and not published

    def encode_style(self, pictures: Tensor, guide: Tensor | None = None) -> Code:
        """A style picture (1,3,H,W) -> its code: its pixels, as all else depends on the size of
        what is painted; at most STYLE_PX a side. `guide` (1,G,h,w) in [0, 1] marks its regions."""
        scale = min(1.0, STYLE_PX / max(pictures.shape[2:]))
        size = [max(self.min_side, round(side * scale)) for side in pictures.shape[2:]]
        pictures = F.interpolate(pictures, size, mode="bilinear", antialias=True)
        code = {"picture.pixels": pictures, "picture.share": pictures.new_ones(1)}
        return code if guide is None else code | {"picture.guide": guide}

    def forward(self, frames: Tensor, code: Code, strength: float = 1.0) -> Tensor:
        """Frames NCHW in [0, 1], each painted on its own."""
        return torch.cat([finished(self.paint(f[None], code, strength)) for f in frames])

    # A stream runs in inference mode, whose tensors can take part in no gradient.
    @torch.inference_mode(False)
    def paint(
        self, content: Tensor, code: Code, strength: float = 1.0, guide: Tensor | None = None
    ) -> Painting:
        """One picture (1,3,H,W), step by step.

        `strength` s: the paper's alpha is (s - 1/2)^2, so that 1 is its default of 1/4 and 1.5 the
        most; below a half the painting fades into the photograph. `guide` (1,G,h,w) marks the
        regions of the content, as those of the style were marked.
        """
        h, w = content.shape[2:]
        if min(h, w) < self.min_side:
            raise ValueError(f"nnst paints pictures from {self.min_side} px a side on, not {w}x{h}")
        content = content.clone()
        sheets = [Sheet.of(part, max(h, w), guide is not None) for part in parts(code, "picture")]
        painted = yield from self._scales(content, sheets, max(0.0, strength - 0.5) ** 2, guide)
        with torch.no_grad():
            pixels = torch.cat([drawn(rows(s.pixels), s.share) for s in sheets]).mT[None, ..., None]
            painted = repainted(painted.clamp(0, 1), content, pixels, self.published)
            return content + min(1.0, 2 * strength) * (painted - content)

    def _scales(
        self, content: Tensor, sheets: "list[Sheet]", alpha: float, guide: Tensor | None
    ) -> Painting:
        """Coarse to fine, then the last pass."""
        photographs, begun = halved(content, scales_of(content)), beginning(content)
        sizes = [p.shape[2] * p.shape[3] for p in reversed(photographs)]
        costs = [cost for size in sizes for cost in (size * size / EVEN_PX, size)]
        costs.append(sizes[-1])
        ends = [cost / sum(costs) for cost in accumulate(costs)]
        painted, done = join(begun[len(photographs) :]), 0.0
        levels = reversed(range(len(photographs)))
        for level, matched, end in zip(levels, ends[::2], ends[1::2], strict=False):
            photograph = photographs[level]
            look = yield from portion(self._look(sheets, level), done, done)
            painted = resized(painted, photograph.shape[2:])
            # What is matched has the photograph's detail, what is painted does not begin with it.
            detailed = painted + split(photograph, 2)[0]
            source = alpha * detailed + (1 - alpha) * photograph
            target = yield from portion(self._target(source, look, guide), done, matched)
            work = self._optimise(begun[level] + painted, level, self._towards(target))
            painted = yield from portion(work, matched, end)
            done = end
        work = self._optimise(painted, 0, self._splitting(look, guide))
        return (yield from portion(work, done, 1))

    @torch.no_grad()
    def _look(self, sheets: "list[Sheet]", level: int) -> "Work[list[Turned]]":
        """Four quarter turns of every style picture, at a scale."""
        look = []
        for sheet in sheets:
            pixels = halved(sheet.pixels, level + 1)[-1]
            for turn in range(4):
                guide = None if sheet.guide is None else sheet.guide.rot90(turn, (2, 3))
                look.append(Turned(self._layers(pixels.rot90(turn, (2, 3))), guide, sheet.share))
                yield 0.0
        return look

    def _layers(self, pictures: Tensor) -> Maps:
        """What the feature network sees, as it is compared."""
        maps = layers(self.encoder, pictures)
        return [roots(m) for m in maps] if self._rooted else maps

    def _columns(self, maps: Maps, size: tuple[int, int]) -> Tensor:
        """Maps of a picture of that (height, width) -> hypercolumns (N,C), N = H/4 * W/4."""
        if self.published:
            maps = [m / m.shape[1] for m in maps]
        return rows(columns(maps, size, corners=self.published))

    def _places(self, turned: "Turned") -> Tensor:
        """The hypercolumns of a style picture (M,C) that are matched."""
        return drawn(self._columns(turned.maps, turned.size), turned.share)

    @torch.no_grad()
    def _target(self, source: Tensor, look: "list[Turned]", guide: Tensor | None) -> Painting:
        """(1,3,H,W) -> for each hypercolumn the nearest one of the style (N,C), of length 1.

        Those of the style are the largest by far of what a painting holds: they are there once, and
        made directions in place.
        """
        query = self._columns(self._layers(source), source.shape[2:])
        counts = [t.count for t in look]
        keys = query.new_empty(sum(counts), query.shape[1])
        for part, turned in zip(torch.split(keys, counts), look, strict=True):
            part.copy_(self._places(turned))
            yield 0.0
        if self.published:
            # Centred on the mean of so many rows of places at a time, not on that of all.
            some = CHUNK // max(1, len(keys) // CHUNK)
            query = torch.cat([directions(part) for part in torch.split(query, some)])
        else:
            query = directions(query)
        guides = None
        if guide is not None:
            there = [drawn(rows(resized(t.guide, placed(t.size))), t.share) for t in look]
            guides = rows(resized(guide, placed(source.shape[2:]))), torch.cat(there)
        found = yield from search(query, directed(keys), guides)
        del keys, part
        target = query.new_empty(query.shape)
        first = 0
        for count, turned in zip(counts, look, strict=True):
            (here,) = torch.where((found >= first) & (found < first + count))
            target[here] = self._places(turned)[found[here] - first]
            first += count
            yield 1.0
        # Laid out as maps are, and so what every step compares with it: in half the time.
        return unit(target).mT.contiguous().mT

    def _towards(self, target: Tensor) -> Callable[[Tensor], Tensor]:
        """The loss of the main pass (eq. 8): mean of 1 - cos between hypercolumns and targets."""

        def loss(picture: Tensor) -> Tensor:
            return away(self._columns(self._layers(picture), picture.shape[2:]), target)

        return loss

    def _splitting(self, look: "list[Turned]", guide: Tensor | None) -> Callable[[Tensor], Tensor]:
        """The loss of the last pass: each layer by itself, matched anew at every call, on a grid of
        places that moves at random."""
        dice = random.Random(0)

        def loss(picture: Tensor) -> Tensor:
            total = picture.new_zeros(())
            maps = self._layers(picture)
            grids = [Grid.on(m, dice, self.published) for m in maps]
            places = [rows(grid(m)) for grid, m in zip(grids, maps, strict=True)]
            matched = reused(places, maps) if self.published else places
            for layer, (grid, now) in enumerate(zip(grids, matched, strict=True)):
                style = torch.cat([drawn(rows(grid(t.maps[layer])), t.share) for t in look])
                guides = None
                if guide is not None and now is places[layer]:
                    there = [
                        drawn(rows(grid(resized(t.guide, t.maps[layer].shape[2:]))), t.share)
                        for t in look
                    ]
                    guides = rows(grid(resized(guide, maps[layer].shape[2:]))), torch.cat(there)
                total = total + pull(now, style, guides)
            return total

        return loss

    def _optimise(self, image: Tensor, level: int, loss: Callable[[Tensor], Tensor]) -> Painting:
        """Adam on the pyramid of a picture that was halved `level` times."""
        levels = [x.detach().clone().requires_grad_() for x in split(image, LEVELS - level)]
        steps, rate = (PUBLISHED_STEPS, PUBLISHED_RATE) if self.published else (STEPS, RATE)
        adam = torch.optim.Adam(levels, rate)
        for step in range(steps):
            picture = join(levels)
            adam.zero_grad()
            torch.autograd.backward(loss(picture))
            adam.step()
            if not self.published:  # long steps to the end would leave grain
                adam.param_groups[0]["lr"] = rate * (1 - REST * (step + 1) / steps)
            yield (step + 1) / steps
        # The authors' code forgets the last step.
        return (picture if self.published else join(levels)).detach()


@dataclass(frozen=True, slots=True)
class Sheet:
    """A style picture at the size of what is painted: (1,3,H,W), regions (1,G,h,w), and its share
    of its pixels."""

    pixels: Tensor
    guide: Tensor | None
    share: float

    @classmethod
    def of(cls, part: Code, side: int, guided: bool) -> Self:
        """From a part of a code, with that long side."""
        pixels = part["pixels"].clone()
        scale = side / max(pixels.shape[2:])
        size = [max(NNST.min_side, round(n * scale)) for n in pixels.shape[2:]]
        guide = part["guide"].clone() if guided else None
        return cls(resized(pixels, size, antialias=True), guide, float(part["share"][0]))


@dataclass(frozen=True, slots=True)
class Turned:
    """A style picture at one scale, turned: its maps, its regions, the share of its places."""

    maps: Maps
    guide: Tensor | None
    share: float

    @property
    def size(self) -> torch.Size:
        """Height and width, px."""
        return self.maps[0].shape[2:]

    @property
    def count(self) -> int:
        """Hypercolumns that are matched."""
        return counted(prod(placed(self.size)), self.share)


@dataclass(frozen=True, slots=True)
class Grid:
    """Every `stride`-th place of a map, from (y, x) on."""

    stride: int
    y: int
    x: int

    @classmethod
    def on(cls, x: Tensor, dice: random.Random, published: bool) -> Self:
        side = max(x.shape[2:])
        stride = max(1, side // PUBLISHED_GRID) if published else -(-side // GRID)
        return cls(stride, dice.randrange(stride), dice.randrange(stride))

    def __call__(self, x: Tensor) -> Tensor:
        y, left = min(self.y, x.shape[2] - 1), min(self.x, x.shape[3] - 1)
        return x[:, :, y :: self.stride, left :: self.stride]


def rows(x: Tensor) -> Tensor:
    """(1,C,H,W) -> places (H*W,C)."""
    return x[0].flatten(1).mT


def away(x: Tensor, target: Tensor) -> Tensor:
    """Mean of 1 - cos between rows (N,C) and targets of length 1. No row is scaled: that would take
    copies of them all, there and back."""
    lengths = torch.linalg.vecdot(x, x).clamp_min(LEAST_NORM**2).sqrt()
    return 1 - (torch.linalg.vecdot(x, target) / lengths).mean()


def drawn(places: Tensor, share: float) -> Tensor:
    """That share of the rows, spread evenly; one at least."""
    count = counted(len(places), share)
    if count >= len(places):
        return places
    return places[torch.linspace(0, len(places) - 1, count).long().to(places.device)]


def counted(places: int, share: float) -> int:
    """How many `drawn` leaves of so many."""
    return max(1, round(share * places))


def placed(size: torch.Size) -> list[int]:
    """Rows and columns of the hypercolumns of a picture of that (height, width)."""
    return [max(1, side // COLUMN_PX) for side in size]


def scales_of(content: Tensor) -> int:
    """How many scales a picture is painted at."""
    most = SCALES + (max(content.shape[2:]) >= LARGE_PX)
    return max(1, min(most, (min(content.shape[2:]) // COARSE_PX).bit_length()))


def beginning(content: Tensor) -> Maps:
    """The pyramid (LEVELS at most) that painting starts from: the photograph without its finest
    levels. What it holds of a scale is added when that scale is reached."""
    dropped = DROPPED - (max(content.shape[2:]) >= LARGE_PX)
    return [x * (i >= dropped) for i, x in enumerate(split(content, LEVELS))]


def reused(places: Maps, maps: Maps) -> Maps:
    """The places (N,C) of each map that the released code matches in the last pass.

    Of a map of 64 places a side or fewer it draws none and takes those of the last larger map,
    their numbers cut anew into rows of C: 256 channels of relu3_3 as 512 at 512 px. Where they
    cannot be cut so, or there is none larger, it fails; here such a map keeps its own.
    """
    found, last = [], None
    for own, x in zip(places, maps, strict=True):
        channels = x.shape[1]
        if max(x.shape[2:]) > PUBLISHED_GRID:
            last = own
        elif last is not None and last.numel() % channels == 0:
            own = last.mT.reshape(channels, -1).mT
        found.append(own)
    return found


def portion(work: Work[Result], begin: float, end: float) -> Work[Result]:
    """`work` as the part from `begin` to `end` of something longer."""
    while True:
        try:
            done = next(work)
        except StopIteration as stop:
            return stop.value
        yield begin + done * (end - begin)


def build(features: Features = "narrow", published: bool = False) -> NNST:
    """A fresh model: `features` is the narrow encoder, or torchvision's VGG-16."""
    if features not in ("narrow", "vgg16"):
        raise ValueError(f"features are narrow or vgg16, not {features}")
    return NNST(features, published)
