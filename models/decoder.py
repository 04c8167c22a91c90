"""From VGG features back to a picture: the decoder of AdaAttN and StyA2K, and the model around it.

Both systems are the same network but for what restyles the features of a level: encode, restyle
each level, decode. `Transfer` is that network; adaattn.py and stya2k.py say what fills it.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.bands import in_palette, palettes
from models.mixing import parts
from models.padding import pad
from models.styles import Code
from models.vgg import Encoder, convolve, start, widths

Inputs = Callable[[list[Tensor], int], tuple[Tensor, ...]]


class Decoder(nn.Module):
    """Features of relu3_1, relu4_1, relu5_1 -> RGB NCHW, unbounded; layers mirror the encoder's.

    Levels 4 and 5 are merged (without a ReLU after it, as in the published code; table 3 of the
    paper has one) and level 3 enters as a skip. With a `deepest` level of 4 there is nothing to
    merge; with 3 it is the authors' video decoder, which starts from there.
    """

    def __init__(self, width: float = 1.0, deepest: int = 5) -> None:
        super().__init__()
        c1, c2, c3, c4, _ = widths(width)
        if deepest > 4:
            self.merge = nn.Conv2d(c4, c4, 3)
        if deepest > 3:
            self.conv4_1 = nn.Conv2d(c4, c3, 3)
        self.conv3_4 = nn.Conv2d(2 * c3 if deepest > 3 else c3, c3, 3)
        self.conv3_3 = nn.Conv2d(c3, c3, 3)
        self.conv3_2 = nn.Conv2d(c3, c3, 3)
        self.conv3_1 = nn.Conv2d(c3, c2, 3)
        self.conv2_2 = nn.Conv2d(c2, c2, 3)
        self.conv2_1 = nn.Conv2d(c2, c1, 3)
        self.conv1_2 = nn.Conv2d(c1, c1, 3)
        self.conv1_1 = nn.Conv2d(c1, 3, 3)
        start(self)
        # Thrown far out of range, the first steps of training kill units for good.
        self.conv1_1.weight.data *= 0.1

    def forward(self, level3: Tensor, *deeper: Tensor) -> Tensor:
        x = level3
        if deeper:
            level4, *last = deeper
            for level5 in last:
                level4 = convolve(self.merge, level4 + double(level5))
            x = double(F.relu(convolve(self.conv4_1, level4)))
            x = torch.cat([x, level3], 1)
        for conv in (self.conv3_4, self.conv3_3, self.conv3_2, self.conv3_1):
            x = F.relu(convolve(conv, x))
        x = double(x)
        for conv in (self.conv2_2, self.conv2_1):
            x = F.relu(convolve(conv, x))
        x = F.relu(convolve(self.conv1_2, double(x)))
        return convolve(self.conv1_1, x)


class Transfer(nn.Module):
    """RGB float NCHW in [0, 1] in and out, of any size. See models/__init__.py.

    `attention` holds for each level a module with `summarise(*inputs) -> summary` and
    `forward(*inputs, *summaries) -> features`; `inputs(maps, level)` says what of the encoder's
    maps it is given. The encoder is frozen: as published, it is never trained with the rest.

    `recolor`, which no paper has: at the end the painting gets the style's colours, at every scale
    of strokes (bands.py), so that a decoder needs to learn forms and not every palette there is.
    """

    min_side = 1

    def __init__(
        self, width: float, attention: dict[int, nn.Module], inputs: Inputs, recolor: bool
    ) -> None:
        super().__init__()
        self.encoder = Encoder(max(attention), width).requires_grad_(False)
        self.attention = nn.ModuleDict({str(level): m for level, m in attention.items()})
        self.decoder = Decoder(width, deepest=max(attention))
        nn.init.constant_(self.decoder.conv1_1.bias, 0.5)  # begins at mid-grey
        self.levels, self.inputs, self.recolor = sorted(attention), inputs, recolor
        # Only then do the levels' sizes fit one another.
        self.multiple = 2 ** (max(attention) - 1)

    def encode_style(self, pictures: Tensor) -> Code:
        """Style pictures NCHW in [0, 1] -> code of plain named float32 tensors, batch first."""
        maps = self.encoder(pictures)
        code: Code = {}
        for level in self.levels:
            summary = self.attention[str(level)].summarise(*self.inputs(maps, level))
            # In plain memory order: files of codes are written as the bytes lie.
            code |= {f"level{level}.{name}": t.contiguous() for name, t in summary.items()}
        if self.recolor:
            code |= palettes(pictures)
        return code

    def forward(self, frames: Tensor, code: Code, strength: float | Tensor = 1.0) -> Tensor:
        """Frames NCHW in [0, 1], a code (batch 1 or N), strength 0 to 1.5 -> frames, clamped."""
        return self.paint(frames, code, strength).clamp(0, 1)

    def paint(self, frames: Tensor, code: Code, strength: float | Tensor = 1.0) -> Tensor:
        """As forward, not clamped: training needs the gradient beyond the range."""
        maps = self.encoder(pad(frames, self.multiple))
        levels = []
        for level in self.levels:
            summaries = parts(code, f"level{level}")
            styled = self.attention[str(level)](*self.inputs(maps, level), *summaries)
            levels.append(maps[level - 1] + strength * (styled - maps[level - 1]))
        h, w = frames.shape[2:]
        painted: Tensor = self.decoder(*levels)[:, :, :h, :w]
        if self.recolor:
            painted = in_palette(painted, code, strength)
        return painted


def double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
