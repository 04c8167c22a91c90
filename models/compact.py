"""`compact`: the default model. 709,000 parameters, 5.0 GFLOP a frame at 512x512.

A small encoder shared by content and style; linear cosine attention (attention.py) at 1/4, 1/8 and
1/16 of the size; a small decoder that is modulated by the style's moments and adds RGB detail to a
blurred, re-coloured content prior (after NeAT, ECCV 2024, section 3.1). The style code is made of
moments only, so codes of one model add: a weighted sum is the code of the pictures side by side.
"""

from itertools import islice, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import attention
from models.color import palette, recolor
from models.mixing import select
from models.padding import pad
from models.whole import spread

WIDTHS = (24, 48, 96, 128)
KEYS = (48, 64, 96)
MULTIPLE = 16
SHRUNK = 4
LEAST = 2  # multiples: reflection inside the network needs two positions at 1/16
FLOOR = 0.1
LEAST_SPREAD = 0.02


def conv3(inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A 3x3 convolution; borders are reflected, because zeros show as a frame in the painting."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, groups=groups, padding_mode="reflect")


def signed(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution of `conv3`, of 2x - 1: its weights are changed instead, which spares a pass
    over all pixels."""
    weight, around = conv.weight, F.pad(x, (1, 1, 1, 1), mode="reflect")
    assert conv.bias is not None
    return F.conv2d(around, 2 * weight, conv.bias - weight.sum((1, 2, 3)), conv.stride)


class Separable(nn.Module):
    """Residual depthwise-separable block of the encoder."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = conv3(width, width, groups=width)
        self.pointwise = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pointwise(F.relu(self.depthwise(x)))


class Stroke(nn.Module):
    """Residual block whose filter responses the style scales and shifts before they are mixed.

    What the style gets to choose from is a bank of 3x3 filters: full ones, or `depthwise` ones for
    each channel. Several for a channel are computed one after another: side by side, their input
    would have to be copied, which costs more than filtering it.
    """

    def __init__(self, width: int, depthwise: int = 0, norm: bool = True) -> None:
        super().__init__()
        self.width, self.bank, self.norm = width, max(1, depthwise), norm
        self.groups = width if depthwise else 1
        self.modulated = width * self.bank
        self.spatial = conv3(self.modulated, self.modulated, groups=self.groups * self.bank)
        self.pointwise = nn.Conv2d(self.modulated, width, 1)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        around = F.pad(x, (1, 1, 1, 1), mode="reflect")
        scale, shift = modulation[..., None, None].to(x.dtype).chunk(2, 1)
        out = x
        for i in range(self.bank):
            own = slice(i * self.width, (i + 1) * self.width)
            filters, offset = self.spatial.weight[own], self.spatial.bias[own]
            response = F.conv2d(around, filters, offset, groups=self.groups)
            if self.norm:
                response = normalise(response)
            response = F.relu(response * (1 + scale[:, own]) + shift[:, own])
            bias = None if i else self.pointwise.bias
            out = out + F.conv2d(response, self.pointwise.weight[:, own], bias)
        return out


class Encoder(nn.Module):
    """RGB NCHW -> features at 1/2, 1/4, 1/8 and 1/16 with WIDTHS channels."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, *WIDTHS)
        self.down = nn.ModuleList(conv3(a, b, stride=2) for a, b in pairwise(widths))
        counts = (0, 1, 2, 2)
        self.blocks = nn.ModuleList(
            nn.ModuleList(Separable(w) for _ in range(n))
            for w, n in zip(WIDTHS, counts, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features: list[Tensor] = []
        for down, blocks in zip(self.down, self.blocks, strict=True):
            x = F.relu(down(x) if features else signed(down, x))
            for block in blocks:
                x = block(x)
            features.append(x)
        return features


class Attention(nn.Module):
    """Projections of one level. Keys are normalised features of this level and the finer ones.

    Projected keys and queries are cut at zero before they are scaled to unit length. Cosines then
    lie in [0, 1] and a small floor may replace the published 1, which lets attention choose
    instead of averaging nearly everything, and leaves it linear.
    """

    def __init__(self, key_in: int, key: int, width: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(key_in, key, 1)
        self.key = nn.Conv2d(key_in, key, 1)
        self.value = nn.Conv2d(width, width, 1)

    def summarise(self, features: Tensor, keys: Tensor) -> attention.Summary:
        key = attention.unit(F.relu(self.key(keys)).float())
        return attention.summarise(key, self.value(features))

    def forward(self, keys: Tensor, summary: attention.Summary) -> tuple[Tensor, Tensor]:
        """The mean and the deviation that the style has for each place, NCHW."""
        query = attention.unit(F.relu(self.query(keys)).float())
        return attention.attend(query, summary, FLOOR)


class Decoder(nn.Module):
    """Stylised features of the three levels + prior at 1/4 -> RGB NCHW at full size.

    Nothing of the photograph comes in finer than 1/4: what lies below is painted, not copied.
    What happens at full size is computed at half of it with each 2x2 pixels folded into channels:
    the same sums, but a CPU's vectors are full, which 3 or 11 channels leave nearly empty.
    """

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(128, 96, 1)
        self.join8 = nn.Conv2d(96 + 96, 96, 1)
        self.join4 = nn.Conv2d(96 + 48, 48, 1)
        self.leave4 = nn.Conv2d(48, 32, 1)
        self.strokes = nn.ModuleList(
            [
                Stroke(96, depthwise=1),
                Stroke(96, depthwise=1),
                Stroke(96, depthwise=1),
                Stroke(48),
                Stroke(48),
                Stroke(32, depthwise=2, norm=False),
                Stroke(32, depthwise=2, norm=False),
            ]
        )
        self.spread = nn.Conv2d(32, 9 * 4, 1)
        self.paint = conv3(8 + 3, 3)
        self.register_buffer("enlarge_folded", enlargement(3), persistent=False)

    @property
    def modulated(self) -> list[int]:
        """Channels that the style modulates, block by block."""
        return [stroke.modulated for stroke in self.strokes]

    def forward(self, levels: list[Tensor], prior: Tensor, modulations: list[Tensor]) -> Tensor:
        f4, f8, f16 = levels
        blocks = iter(zip(self.strokes, modulations, strict=True))

        def stroke(x: Tensor, count: int) -> Tensor:
            for block, modulation in islice(blocks, count):
                x = block(x, modulation)
            return x

        x = stroke(self.enter(f16), 1)
        x = stroke(join(self.join8, x, f8), 2)
        x = stroke(join(self.join4, x, f4), 2)
        x = stroke(enlarge(self.leave4(x)), 2)
        # Channels of a large picture are slow to take apart, to put together and to repeat on CPUs:
        # the weights are instead.
        weight, bias = self.spread.weight, self.spread.bias
        gate = F.conv2d(x, weight[:4].repeat(3, 1, 1, 1), bias[:4].repeat(3)).sigmoid()
        detail = F.relu(F.conv2d(x, weight[4:], bias[4:]))
        prior = F.pixel_shuffle(F.conv2d(edged(prior), self.enlarge_folded), 2)
        paint, width = folded(self.paint.weight), detail.shape[1]
        painted = F.conv2d(
            edged(detail), paint[:, :width], self.paint.bias.repeat_interleave(4)
        ) + F.conv2d(edged(prior), paint[:, width:])
        return F.pixel_shuffle(prior * gate, 2) + F.pixel_shuffle(painted, 2)[:, :, 1:-1, 1:-1]


class Modulator(nn.Module):
    """Style moments (B,M) twice over -> modulations of all blocks.

    Moments of different pictures differ little beside their common mean: they are standardised by
    running figures over the styles seen in training, which are part of the weights.
    """

    def __init__(self, moments: int, modulated: list[int]) -> None:
        super().__init__()
        self.sizes = [2 * n for n in modulated]
        self.register_buffer("centre", torch.zeros(2 * moments))
        self.register_buffer("spread", torch.ones(2 * moments))
        self.hidden = nn.Linear(2 * moments, 160)
        self.out = nn.Linear(160, sum(self.sizes))

    def forward(self, mean: Tensor, deviation: Tensor) -> list[Tensor]:
        x = torch.cat([mean, deviation], 1)
        if self.training and len(x) > 1:
            with torch.no_grad():
                self.centre.lerp_(x.float().mean(0), 0.02)
                self.spread.lerp_((x.float() - self.centre).abs().mean(0), 0.02)
        x = ((x - self.centre) / (self.spread + LEAST_SPREAD)).clamp(-5, 5)
        return list(self.out(F.relu(self.hidden(x))).split(self.sizes, 1))


class Compact(nn.Module):
    """RGB float NCHW in [0, 1] in and out; any size from 16 px on. See models/__init__.py."""

    min_side = 16

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        sums = [sum(WIDTHS[1 : i + 2]) for i in range(3)]
        self.attention = nn.ModuleList(
            Attention(key_in, key, width)
            for key_in, key, width in zip(sums, KEYS, WIDTHS[1:], strict=True)
        )
        self.decoder = Decoder()
        self.modulator = Modulator(sum(WIDTHS), self.decoder.modulated)
        self.register_buffer("shrink", reduction(3, SHRUNK), persistent=False)
        self._start()

    def _start(self) -> None:
        """He weights; residual branches and modulation begin near zero, values near identity."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
                nn.init.zeros_(module.bias)
            if isinstance(module, (Separable, Stroke)):
                module.pointwise.weight.data *= 0.3
        for level in self.attention:
            nn.init.eye_(level.value.weight.data[:, :, 0, 0])
        nn.init.normal_(self.modulator.out.weight, std=0.02)
        nn.init.zeros_(self.modulator.out.bias)
        # Four equal sub-pixels: the pixel shuffle starts as nearest enlargement, without a weave.
        spread = self.decoder.spread.weight.data
        spread.copy_(spread[::4].repeat_interleave(4, 0))
        self.decoder.paint.weight.data *= 0.03

    def encode_style(self, picture: Tensor) -> dict[str, Tensor]:
        """Style pictures NCHW in [0, 1] -> code of plain named float32 tensors, batch first."""
        features = self.encoder(pad(picture, MULTIPLE, LEAST))
        code = palette(picture)
        code |= {f"moments.{name}": t for name, t in moments(features).items()}
        keys = stack_keys([normalise(f) for f in features[1:]])
        for i, level in enumerate(self.attention):
            summary = level.summarise(features[i + 1], keys[i])
            code |= {f"attention{i}.{name}": t for name, t in summary.items()}
        return code

    def forward(
        self, frames: Tensor, code: dict[str, Tensor], strength: float | Tensor = 1.0
    ) -> Tensor:
        """Frames NCHW in [0, 1], a code (batch 1 or N), strength 0 to 1.5 -> frames, clamped."""
        return self.paint(frames, code, strength).clamp(0, 1)

    def paint(
        self, frames: Tensor, code: dict[str, Tensor], strength: float | Tensor = 1.0
    ) -> Tensor:
        """As forward, not clamped: training needs the gradient beyond the range."""
        x = pad(frames, MULTIPLE, LEAST)
        features = self.encoder(x)
        levels = self._restyle(features[1:], code, strength)
        # Small as it is: linear maps of colours are the same there, for a 16th of the cost.
        prior = blur(F.conv2d(x, self.shrink, stride=SHRUNK))
        prior = prior + strength * (recolor(prior, x, code) - prior)
        modulations = [strength * m for m in self.modulator(*style_moments(code))]
        out = self.decoder(levels, prior, modulations)
        h, w = frames.shape[2:]
        return out[:, :, :h, :w]

    def _restyle(
        self, levels: list[Tensor], code: dict[str, Tensor], strength: float | Tensor
    ) -> list[Tensor]:
        """Features NCHW whose means and deviations go by `strength` from their own, each the same
        everywhere, to those that the style has for each place."""
        spreads = [spread(x) for x in levels]
        deviations = [(variance + attention.EPS).sqrt() for _, _, variance in spreads]
        normed = [
            (centred / deviation).to(x.dtype)
            for x, (centred, _, _), deviation in zip(levels, spreads, deviations, strict=True)
        ]
        keys = stack_keys(normed)
        out = []
        for i, level in enumerate(self.attention):
            wanted = level(keys[i], select(code, f"attention{i}"))
            # Channels last, as attention comes: OpenVINO would copy what it adds in another order.
            mean, deviation = (
                own.movedim(1, 3) + strength * (there.movedim(1, 3) - own.movedim(1, 3))
                for own, there in zip((spreads[i][1], deviations[i]), wanted, strict=True)
            )
            styled = deviation * normed[i].movedim(1, 3) + mean
            out.append(styled.to(levels[i].dtype).movedim(3, 1))
        return out


def build() -> Compact:
    """A fresh model."""
    return Compact()


def moments(features: list[Tensor]) -> dict[str, Tensor]:
    """Channel means and variances of all levels side by side, (B,296), float32.

    Around their own mean: E[x^2] - E[x]^2 of channels far from zero differs between runtimes.
    """
    means = [f.float().mean((2, 3), keepdim=True) for f in features]
    variances = [
        (f.float() - m).square().mean((2, 3)) for f, m in zip(features, means, strict=True)
    ]
    return {
        "mean": torch.cat([m.flatten(1) for m in means], 1),
        "variance": torch.cat(variances, 1),
    }


def style_moments(code: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Channel means and deviations of the style's features, all levels side by side, (B, 296)."""
    return code["moments.mean"], (code["moments.variance"] + attention.EPS).sqrt()


def join(conv: nn.Conv2d, x: Tensor, finer: Tensor) -> Tensor:
    """A 1x1 convolution of x, enlarged, beside finer features. Before the enlargement it is the
    same and costs a quarter."""
    width = x.shape[1]
    return enlarge(F.conv2d(x, conv.weight[:, :width])) + F.conv2d(
        finer, conv.weight[:, width:], conv.bias
    )


def normalise(x: Tensor) -> Tensor:
    """Zero mean and unit deviation for each channel of each image, statistics in float32."""
    centred, _, variance = spread(x)
    return (centred * (variance + attention.EPS).rsqrt()).to(x.dtype)


def stack_keys(normed: list[Tensor]) -> list[Tensor]:
    """For each level: its features beside those of all finer levels, pooled to its size."""
    keys = [normed[0]]
    for x in normed[1:]:
        keys.append(torch.cat([F.avg_pool2d(keys[-1], 2), x], 1))
    return keys


def enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def folded(weight: Tensor) -> Tensor:
    """Weights (O,I,3,3) -> (4O,4I,2,2): the same convolution where 2x2 pixels lie in channels, as
    `pixel_unshuffle` folds them. What comes out lies between the cells, a pixel up and left."""
    shifted = [F.pad(weight, (x, 1 - x, y, 1 - y)) for y in (0, 1) for x in (0, 1)]
    return torch.stack([F.pixel_unshuffle(w, 2) for w in shifted], 1).flatten(0, 1)


def enlargement(channels: int) -> Tensor:
    """Weights (16C,C,3,3) of bilinear enlargement to four times the size, before a pixel shuffle
    to half of that; the other half stays folded into channels."""
    # Of the places before, at and after, for the four that a place becomes: (half, which of its 2).
    share = torch.tensor([[3, 5, 0], [1, 7, 0], [0, 7, 1], [0, 5, 3]]).view(2, 2, 3) / 8
    kernel = torch.einsum("cd,ypi,xqj->cpqyxdij", torch.eye(channels), share, share)
    return kernel.reshape(-1, channels, 3, 3)


def edged(x: Tensor) -> Tensor:
    """One more place on each side. Of folded pixels the outer ones of these are read: as if the
    picture were reflected."""
    return F.pad(x, (1, 1, 1, 1), mode="replicate")


def reduction(channels: int, times: int) -> Tensor:
    """Weights (C,C,times,times) of averages. As a convolution: what pools three channels on a CPU
    first spreads them to sixteen."""
    return torch.eye(channels)[..., None, None].repeat(1, 1, times, times) / times**2


def blur(x: Tensor) -> Tensor:
    """NCHW at a quarter of the size, blurred by about 6 px of the whole: an unblurred prior teaches
    a model to only re-colour."""
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
