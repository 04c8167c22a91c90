"""What a step of training paints."""

from collections.abc import Collection
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.alive import listening
from training.contrast import Heads
from training.critics import Critics


class Paintings(NamedTuple):
    """Content in the styles; what else was asked for, or None. `again`: the second view of its
    first rows likewise; `back`: a picture in the last style; `crossed`: the next content in each
    style; `cycle`: how far paintings are from the features that their model looked for; `alive`:
    how far filters that are trained are from answering."""

    painted: Tensor
    again: Tensor | None
    back: Tensor | None
    crossed: Tensor | None
    cycle: Tensor | None
    alive: Tensor | None


class Painter(nn.Module):
    """All that a step paints, in one call: data parallel wrappers watch calls of forward.

    Beside the model it holds what else learns. Of `asked`, the terms of the loss, it works out
    `cycle` and `alive`.
    """

    def __init__(
        self,
        model: nn.Module,
        critics: Critics | None,
        heads: Heads | None,
        asked: Collection[str],
    ) -> None:
        super().__init__()
        self.model, self.critics, self.heads = model, critics, heads
        self.cycles, self.watches = "cycle" in asked, "alive" in asked

    def forward(
        self,
        style: Tensor,
        content: Tensor,
        view: Tensor | None,
        same: Tensor | None,
        strength: float,
        cross: bool,
    ) -> Paintings:
        """`same` is painted at `strength`."""
        again = back = crossed = cycle = None
        with listening(self.model) if self.watches else nullcontext() as silence:
            code = self.model.encode_style(style)
            if self.cycles:
                painted, found = self.model.traced(content, code)
                cycle = self.model.cycle(painted, code, found)
            else:
                painted = self.model.paint(content, code)
            if view is not None:
                again = self.model.paint(view, take(code, slice(len(view)))).float()
            if same is not None:
                back = self.model.paint(same, take(code, slice(-1, None)), strength).float()
            if cross:
                crossed = self.model.paint(content.roll(-1, 0), code).float()
        alive = torch.stack(silence).mean() if silence else None
        return Paintings(painted.float(), again, back, crossed, cycle, alive)


def take(code: dict[str, Tensor], rows: slice) -> dict[str, Tensor]:
    """The codes of some pictures of a batch."""
    return {name: t[rows] for name, t in code.items()}
