"""`nnst_d`: neural neighbour style transfer by a learned decoder (NNST-D; Kolkin et al., 2022).

Every hypercolumn of the photograph is replaced by the nearest one of the style, turned four ways,
and a decoder draws the picture that has these: four branches, each a level of a Laplacian pyramid.
Frames of videos take one pass each at their own size, with nothing fed back; pictures that stand
alone may go from coarse to fine. No code of it was released: docs/nnst.md says what differs.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.attention import in_float32
from models.bands import in_palette, palettes
from models.hypercolumns import COLUMN_PX, columns, layers, roots
from models.matching import directions, nearest, unit
from models.mixing import parts, select
from models.nnst import scales_of
from models.padding import pad
from models.pyramid import halved, join, resized
from models.styles import Code
from models.vgg import COUNTS, Encoder, convolve, start, widths
from models.whole import averages

BLOCKS = 4
ZOOMS = (4, 2, 1, 1)
"""How much larger than the hypercolumns' each branch's level is; the last one's is then halved."""
DEPTH = 5
SLOPE = 0.2
MIDDLE = 0.4
"""Taken off the roots of activations, which is about their mean."""
MULTIPLE = 8
PLACES = 4096
"""Of a style at most, drawn evenly from all turns; the paper keeps all."""
SEED = 0
ROUNDS = 5


class Branch(nn.Module):
    """(N,C,h,w) -> one level of the pyramid, `zoom` times as large."""

    def __init__(self, inputs: int, hidden: int, zoom: int) -> None:
        super().__init__()
        outputs = 3 * zoom**2
        steps = pairwise([inputs, *[hidden] * (DEPTH - 1), outputs])
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3) for a, b in steps)
        self.straight = nn.Conv2d(inputs, outputs, 3)
        self.zoom = zoom
        start(self)
        for conv in (self.convs[-1], self.straight):
            # Begins with pixels that are alike wherever they come of one place: without a grid.
            alike = conv.weight.data[:: zoom**2].repeat_interleave(zoom**2, 0)
            conv.weight.data.copy_(0.1 * alike)

    def forward(self, x: Tensor) -> Tensor:
        *bent, last = self.convs
        y = x
        for conv in bent:
            y = F.leaky_relu(convolve(conv, y), SLOPE)
        # A transposed convolution after a linear one is another linear one, shuffled.
        return F.pixel_shuffle(convolve(last, y) + convolve(self.straight, x), self.zoom)


class NNSTD(nn.Module):
    """RGB float NCHW in [0, 1] in and out, of any size. See models/__init__.py.

    The encoder is frozen. `hidden`: channels of the branches, the paper's 256 for hypercolumns a
    third as long. `recolor`: the style's mean and covariance of colours at the end, which no
    training sees.
    """

    min_side = 1

    def __init__(self, width: float, hidden: int, recolor: bool) -> None:
        super().__init__()
        self.encoder = Encoder(BLOCKS + 1, width).requires_grad_(False)
        counted = zip(COUNTS[:BLOCKS], widths(width), strict=False)
        self.layers = [channels for count, channels in counted for _ in range(count)]
        self.enter = nn.Linear(sum(self.layers), hidden)
        self.branches = nn.ModuleList(Branch(hidden, hidden, zoom) for zoom in ZOOMS)
        self.recolor = recolor
        nn.init.constant_(self.branches[-1].straight.bias, 0.5)  # begins at mid-grey

    def encode_style(self, pictures: Tensor) -> Code:
        """Style pictures NCHW in [0, 1] -> code: the directions of the hypercolumns of PLACES
        places, what the decoder is given of each, and the pictures, for `still`. None is the sum of
        others: mixed styles are matched each on its own, and what is found is averaged."""
        with torch.no_grad():
            places = self._turned(pad(pictures, MULTIPLE))
            centre = places.mean(1)
            chosen = drawn(places)
        code = {
            "style.key": torch.stack([unit(x - c) for x, c in zip(chosen, centre, strict=True)]),
            "style.centre": centre,
            "style.value": self.enter(chosen).float().contiguous(),
            "style.picture": pictures.contiguous(),
            "style.share": pictures.new_ones(len(pictures)),
        }
        if self.recolor:
            code |= palettes(pictures)
        return code

    def forward(self, frames: Tensor, code: Code, strength: float | Tensor = 1.0) -> Tensor:
        """Frames NCHW in [0, 1], a code (batch 1 or N), strength 0 to 1.5 -> frames, clamped."""
        return self._finished(self.paint(frames, code, strength), code, strength)

    def still(self, frames: Tensor, code: Code, strength: float = 1.0) -> Tensor:
        """As forward, of pictures that stand alone: coarse to fine, each scale begun with what came
        of the one before, and the finest fed back ROUNDS times (sections 3.2 and 3.6).

        The share of what was painted in what is matched next, the paper's alpha, is a quarter of
        strength squared: its default of 1/4 at 1.
        """
        photographs = halved(frames, scales_of(frames))
        alpha, painted = strength**2 / 4, photographs[-1]
        for level in reversed(range(len(photographs))):
            photograph = photographs[level]
            begun = resized(painted, photograph.shape[2:])
            source = photograph + alpha * (begun - photograph)
            painted = self.paint(source, self._coarser(code, level), strength).clamp(0, 1)
        styles = parts(code, "style")
        sheets = [self._sheet(style["picture"]) for style in styles]
        for _ in range(ROUNDS):
            source = frames + min(1.0, strength) * (painted - frames)
            seen = self._places(pad(source, MULTIPLE))
            found = [self.enter(self._parted(seen, sheet)) for sheet in sheets]
            painted = self._drawn(source, seen, styles, found, strength).clamp(0, 1)
        return self._finished(painted, code, strength)

    def paint(self, frames: Tensor, code: Code, strength: float | Tensor = 1.0) -> Tensor:
        """As forward, not clamped, and in the decoder's own colours: it learns to draw with those
        of the hypercolumns, and what `recolor` adds comes after it.

        Strength goes from the photograph's own hypercolumns to those of the style, and beyond.
        """
        return self.traced(frames, code, strength)[0]

    def traced(
        self, frames: Tensor, code: Code, strength: float | Tensor = 1.0
    ) -> tuple[Tensor, list[Tensor]]:
        """As paint, and for each style in the code the places (N,P) that were taken of it."""
        seen = self._places(pad(frames, MULTIPLE))
        styles = parts(code, "style")
        centred = self._centred(seen, frames)
        places = [matched(centred, style["key"]) for style in styles]
        found = [taken(style["value"], of) for style, of in zip(styles, places, strict=True)]
        return self._drawn(frames, seen, styles, found, strength), places

    def cycle(self, painted: Tensor, code: Code, found: list[Tensor]) -> Tensor:
        """Mean of 1 - cos between the hypercolumns that were taken of a style for these paintings
        and those that they have (eq. 5), both from the style's centre; printed: from zero."""
        (style,), (places,) = parts(code, "style"), found
        has = self._places(pad(painted, MULTIPLE)) - style["centre"][:, None]
        return 1 - (F.normalize(has, dim=2) * taken(style["key"], places)).sum(2).mean()

    def _finished(self, painted: Tensor, code: Code, strength: float | Tensor) -> Tensor:
        """In the colours of the style, where they are asked for; clamped."""
        if self.recolor:
            painted = in_palette(painted, code, strength)
        return painted.clamp(0, 1)

    def _coarser(self, code: Code, level: int) -> Code:
        """The code of styles whose pictures are halved so often."""
        if not level:
            return code
        coarse: Code = {}
        for i, style in enumerate(parts(code, "style")):
            own = select(self.encode_style(halved(style["picture"], level + 1)[-1]), "style")
            own["share"] = style["share"]
            coarse |= {f"style@{i}.{name}": tensor for name, tensor in own.items()}
        return coarse

    def _sheet(self, pictures: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Style pictures -> of every layer by itself, places (1 or N,M,C) and their directions."""
        parted = torch.split(drawn(self._turned(pad(pictures, MULTIPLE))), self.layers, 2)
        return [(of, torch.stack([directions(x) for x in of])) for of in parted]

    def _parted(self, seen: Tensor, sheet: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Hypercolumns (N,P,C) and a style's sheet -> (N,P,C): of every layer by itself the nearest
        ("feature splitting", section 3.2)."""
        pairs = zip(torch.split(seen, self.layers, 2), sheet, strict=True)
        return torch.cat(
            [taken(of, matched(x - x.mean(1, True), keys)) for x, (of, keys) in pairs], 2
        )

    def _drawn(
        self,
        frames: Tensor,
        seen: Tensor,
        styles: list[Code],
        found: list[Tensor],
        strength: float | Tensor,
    ) -> Tensor:
        """What the decoder makes of what frames show and what was found for it in each style."""
        own, styled = self.enter(seen), 0.0
        for style, given in zip(styles, found, strict=True):
            styled = styled + style["share"][:, None, None] * given
        h, w = frames.shape[2:]
        x = gridded(own + strength * (styled - own), frames)
        *finer, last = (branch(x) for branch in self.branches)
        return join([*finer, F.avg_pool2d(last, 2)])[:, :, :h, :w]

    def _places(self, x: Tensor) -> Tensor:
        """Pictures NCHW -> their hypercolumns (N,h*w,C), as centred roots of activations."""
        seen = columns(layers(self.encoder, x), x.shape[2:]).flatten(2).mT.float()
        return roots(seen) - MIDDLE

    def _centred(self, seen: Tensor, frames: Tensor) -> Tensor:
        """Hypercolumns (N,P,C) of frames, from their mean."""
        (mean,) = averages(gridded(seen, frames), lambda x: (x.mean((2, 3), keepdim=True),))
        return seen - mean.flatten(2).mT

    def _turned(self, x: Tensor) -> Tensor:
        """Those of all four quarter turns; in training of none, which takes a quarter of the time
        and gives a style back to itself."""
        turns = 1 if self.training else 4
        return torch.cat([self._places(x.rot90(turn, (2, 3))) for turn in range(turns)], 1)


@in_float32
@torch.no_grad()
def matched(centred: Tensor, keys: Tensor) -> Tensor:
    """Places (N,P,C), from their mean, and directions (1 or N,M,C) -> for each the index (N,P) of
    the nearest."""
    pairs = zip(centred, keys.expand(len(centred), -1, -1), strict=True)
    return torch.stack([nearest(unit(x), key) for x, key in pairs])


def gridded(places: Tensor, frames: Tensor) -> Tensor:
    """Places (N,P,C) of frames NCHW -> (N,C,h,w)."""
    size = [-(-side // MULTIPLE) * MULTIPLE // COLUMN_PX for side in frames.shape[2:]]
    return torch.unflatten(places.mT, 2, size)


def taken(rows: Tensor, found: Tensor) -> Tensor:
    """Rows (1 or N,M,C) at indices (N,P) -> (N,P,C)."""
    pairs = zip(rows.expand(len(found), -1, -1), found, strict=True)
    return torch.stack([of.index_select(0, places) for of, places in pairs])


def drawn(places: Tensor) -> Tensor:
    """At most PLACES of (N,M,C), the same ones every time."""
    count = places.shape[1]
    if count <= PLACES:
        return places
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(SEED))[:PLACES]
    return places[:, chosen.to(places.device)]


def build(width: float = 0.25, hidden: int = 96, recolor: bool = False) -> NNSTD:
    """A fresh model: see NNSTD."""
    return NNSTD(width, hidden, recolor)
