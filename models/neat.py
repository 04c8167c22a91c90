"""`neat`: neural artistic tracing (Ruta et al., ECCV 2024), on a VGG encoder.

The picture is edited, not generated: a decoder draws RGB deltas over a prior, which is the
photograph in the colours of the style, blurred, flattened by a bilateral filter and weighed by a
half. What the decoder sees are the photograph's features, aligned with the style's by four blocks
of PAMA (Luo et al., Consistent Style Transfer, 2022), and by one more a level finer, without which
a narrow encoder leaves it too little to trace. Nothing of the authors' code was released;
docs/models.md says what is ours.
"""

from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import DETAIL, adaattn, attention
from models.adaattn import Kind
from models.bands import in_palette, palettes
from models.color import palette, recolor
from models.decoder import Decoder
from models.mixing import parts
from models.padding import pad
from models.styles import Code
from models.vgg import Encoder, convolve, mean_variance_norm, start, widths

BLOCKS = 4
MULTIPLE = 8
LEAST = 3  # multiples: a 5x5 filter reflects two positions at 1/8
FLOOR = 0.1
"""Keys and queries have no negative entries (ReLU6), so cosines need no 1 to become weights."""
WEIGHT = 0.5
"""Of the prior, so that the deltas have to trace it."""
BLUR_SIDE = 7
BLUR_SIGMA = 0.3 * ((BLUR_SIDE - 1) / 2 - 1) + 0.8
"""What OpenCV takes for a filter of that side."""
BILATERAL_RADIUS = 12
BILATERAL_SIGMA = 100.0
"""px, and levels of 255."""
BILATERAL_STEP = 3
"""px from one tap to the next: after the blur those between say nothing new."""


class PAMA(nn.Module):
    """One block: the style's features, moved to where attention finds the content's to be alike,
    and fused with the content's by a map of weights."""

    def __init__(self, channels: int, kind: Kind = "cosine") -> None:
        super().__init__()
        if kind not in get_args(Kind):
            raise ValueError(f"attention must be {' or '.join(get_args(Kind))}, not '{kind}'")
        self.kind = kind
        half = channels // 2
        self.conv_in = nn.Conv2d(channels, channels, 3)
        self.f = nn.Conv2d(channels, half, 1)
        self.g = nn.Conv2d(channels, half, 1)
        self.h = nn.Conv2d(channels, half, 1)
        self.out_conv = nn.Conv2d(half, channels, 1)
        self.conv_out = nn.Conv2d(channels, channels, 3)
        self.proj1 = nn.Conv2d(2 * channels, channels, 1)
        self.proj2 = nn.Conv2d(channels, channels, 1)
        self.proj3 = nn.Conv2d(channels, channels, 1)
        self.fuse = nn.ModuleList(nn.Conv2d(channels, 1, side) for side in (1, 3, 5))
        self._start()

    def _start(self) -> None:
        """Begin with features as they are, half of them moved by how alike they are."""
        start(self)
        for conv in (self.conv_in, self.conv_out, self.proj2, self.proj3):
            nn.init.dirac_(conv.weight)
        for conv in (self.f, self.h):
            nn.init.orthogonal_(conv.weight)
        self.f.weight.data *= self.f.out_channels**-0.25
        self.g.load_state_dict(self.f.state_dict())
        self.out_conv.weight.data.copy_(self.h.weight.data.transpose(0, 1))

    def summarise(self, style: Tensor) -> Code:
        """Features (B,C,H,W) of a style -> what attention needs of them: sums of a fixed size, or
        with softmax its keys and values."""
        features = self._enter(style)
        key = F.relu6(self.g(mean_variance_norm(features)))
        value = F.relu6(self.h(features))
        if self.kind == "softmax":
            return adaattn.summarise(key, value)
        return attention.summarise(attention.unit(key.float()), value)

    def forward(self, content: Tensor, *summaries: Code) -> Tensor:
        """Features (B,C,H,W) of the content, or of the block before -> nearer to the style's."""
        own = self._enter(content)
        query = F.relu6(self.f(mean_variance_norm(own)))
        if self.kind == "softmax":
            found, _ = adaattn.attend(query, summaries)
        else:
            (summary,) = summaries
            found, _ = attention.attend(attention.unit(query.float()), summary, FLOOR)
        found = F.relu6(self.out_conv(found.to(own.dtype)))
        found = F.relu6(convolve(self.conv_out, found))
        both = self.proj1(torch.cat([own, found], 1))
        share = torch.stack([self._share(conv, both) for conv in self.fuse]).mean(0)
        return share * self.proj2(own) + (1 - share) * self.proj3(found)

    def _enter(self, x: Tensor) -> Tensor:
        return F.relu6(convolve(self.conv_in, x))

    def _share(self, conv: nn.Module, x: Tensor) -> Tensor:
        """Of the content, by one of the filters."""
        around = conv.kernel_size[0] // 2
        return conv(F.pad(x, (around,) * 4, mode="reflect")).sigmoid()


class NeAT(nn.Module):
    """RGB float NCHW in [0, 1] in and out, of any size. See models/__init__.py.

    The encoder is frozen, as published. `recolor`: as in decoder.py.
    """

    min_side = 1

    def __init__(self, kind: Kind, width: float, recolor: bool) -> None:
        super().__init__()
        channels, self.recolor = widths(width), recolor
        self.encoder = Encoder(4, width).requires_grad_(False)
        self.blocks = nn.ModuleList(PAMA(channels[3], kind) for _ in range(BLOCKS))
        self.fine = PAMA(channels[2], kind)
        self.decoder = Decoder(width, deepest=4)
        self.decoder.conv1_1.weight.data *= 0.1  # begin near the prior

    def encode_style(self, pictures: Tensor) -> Code:
        """Style pictures NCHW in [0, 1] -> code of plain named float32 tensors, batch first.

        `prior.detail` (B,), 0 here, may be set: the share of the photograph's detail that comes
        back into the prior, 1 for all of it.
        """
        fine, features = self._features(pictures)
        code = palettes(pictures) if self.recolor else palette(pictures)
        code[DETAIL] = 0 * code["color.mean"][:, 0]
        summaries = {f"block{i}": block.summarise(features) for i, block in enumerate(self.blocks)}
        for part, summary in (summaries | {"fine": self.fine.summarise(fine)}).items():
            code |= {f"{part}.{name}": t.contiguous() for name, t in summary.items()}
        return code

    def forward(self, frames: Tensor, code: Code, strength: float | Tensor = 1.0) -> Tensor:
        """Frames NCHW in [0, 1], a code (batch 1 or N), strength 0 to 1.5 -> frames, clamped."""
        return self.paint(frames, code, strength).clamp(0, 1)

    def paint(self, frames: Tensor, code: Code, strength: float | Tensor = 1.0) -> Tensor:
        """As forward, not clamped: training needs the gradient beyond the range.

        Strength moves both features and prior (section 5): beyond 1 the style is exaggerated.
        """
        x = pad(frames, MULTIPLE, LEAST)
        fine, features = self._features(x)
        styled, traces = features, self.fine(fine, *parts(code, "fine"))
        for i, block in enumerate(self.blocks):
            styled = block(styled, *parts(code, f"block{i}"))
        delta = self.decoder(
            fine + strength * (traces - fine), features + strength * (styled - features)
        )
        traced = x + strength * (prior(x, code) - x)
        h, w = frames.shape[2:]
        painted: Tensor = (WEIGHT * traced + delta)[:, :, :h, :w]
        if self.recolor:
            painted = in_palette(painted, code, strength)
        return painted

    def _features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """relu3_1 and relu4_1, cut as PAMA cuts all else: the decoder sees them too, at strengths
        below 1."""
        fine, coarse = self.encoder(x)[2:]
        return fine.clamp_max(6), coarse.clamp_max(6)


def prior(x: Tensor, code: Code) -> Tensor:
    """Photographs NCHW in [0, 1] in the colours of a style, blurred and flattened (section 4);
    `prior.detail` of what that took away comes back."""
    colored = recolor(x, x, code).clamp(0, 1)
    traced = bilateral(blur(colored))
    return traced + code[DETAIL][:, None, None, None] * (colored - traced)


def blur(x: Tensor) -> Tensor:
    """Gaussian blur of NCHW by BLUR_SIDE px; borders are reflected."""
    around = BLUR_SIDE // 2
    at = torch.arange(-around, around + 1, dtype=x.dtype, device=x.device)
    taps = (-at.square() / (2 * BLUR_SIGMA**2)).exp()
    taps = (taps / taps.sum()).expand(x.shape[1], 1, 1, -1)
    x = F.pad(x, (around,) * 4, mode="reflect")
    x = F.conv2d(x, taps, groups=x.shape[1])
    return F.conv2d(x, taps.mT, groups=x.shape[1])


@attention.in_float32
def bilateral(x: Tensor, step: int = BILATERAL_STEP) -> Tensor:
    """Bilateral filter of NCHW in [0, 1]: means over a disc, of what is of a similar colour.

    As OpenCV's: differences of colours are sums over channels, and the disc ends at the radius.
    With a `step` of 1 it is the dense one, at nine times the cost.
    """
    r, (h, w) = BILATERAL_RADIUS, x.shape[2:]
    around = F.pad(x, (r,) * 4, mode="replicate")
    total, weights = torch.zeros_like(x), torch.zeros_like(x[:, :1])
    sharpness = -(255**2) / (2 * BILATERAL_SIGMA**2)
    taps = range(-r, r + 1, step)
    for dy, dx in ((dy, dx) for dy in taps for dx in taps if dy * dy + dx * dx <= r * r):
        other = around[:, :, r + dy : r + dy + h, r + dx : r + dx + w]
        apart = (other - x).abs().sum(1, keepdim=True)
        near = -(dy * dy + dx * dx) / (2 * BILATERAL_SIGMA**2)
        weight = (apart.square() * sharpness + near).exp()
        total, weights = total + weight * other, weights + weight
    return total / weights


def build(attention: Kind = "cosine", width: float = 0.25, recolor: bool = False) -> NeAT:
    """A fresh model. `attention`: cosine has style codes of a fixed size, which add; softmax, as
    published, keeps a key and a value for every place of the style, which no sum replaces.
    `recolor`: as in decoder.py."""
    return NeAT(attention, width, recolor)
