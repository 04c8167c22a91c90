"""Contrastive losses between paintings, and between paintings and styles (eq. 5 and 6 of NeAT).

Each photograph of a batch is painted in two styles, each style lies over two photographs. Paintings
of one style must be alike where a learnt head looks, and unlike those of others; so must paintings
of one photograph, for another head.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAYERS = {"style_contrast": "3_1", "content_contrast": "4_1"}
"""Of the loss network, that each head sees (Chen et al., 2021)."""
TEMPERATURE = 0.2
HIDDEN, OUT = 128, 128


class Heads(nn.Module):
    """The heads of some of the terms: the mean of a map -> a direction. `channels`: of each."""

    def __init__(self, channels: dict[str, int]) -> None:
        super().__init__()
        self.each = nn.ModuleDict(
            {
                term: nn.Sequential(nn.Linear(c, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, OUT))
                for term, c in channels.items()
            }
        )

    def forward(self, term: str, maps: Iterable[Tensor]) -> Tensor:
        """Maps (B,C,H,W) of several pictures each -> unit vectors, one below the other."""
        means = torch.cat([m.mean((2, 3), dtype=torch.float32) for m in maps])
        return F.normalize(self.each[term](means), dim=1)


def identities(term: str, count: int, kinds: int, device: torch.device) -> Tensor:
    """Which style, or which photograph, each of `kinds` times `count` pictures shows: paintings,
    paintings of the next photograph in the same styles, and with styles these themselves."""
    of_style = torch.arange(count, device=device)
    if term == "style_contrast":
        return of_style.repeat(kinds)
    return torch.cat([of_style, of_style.roll(-1)])


def contrast_loss(x: Tensor, identity: Tensor, anchors: Tensor) -> Tensor:
    """Unit vectors (N,D), what each shows (N,), and which are compared with all others (N,) ->
    mean of -log(e^p / (e^p + sum of e^n)) over pairs p of one identity; n: pairs of different."""
    alike = x @ x.T / TEMPERATURE
    same = identity[:, None] == identity
    others = alike.masked_fill(same, -torch.inf).logsumexp(1, keepdim=True)
    itself = torch.eye(len(x), dtype=torch.bool, device=x.device)
    pairs = same & ~itself & anchors[:, None]
    return F.softplus(others - alike)[pairs].mean()


def accumulated(own: Tensor, banks: list[Tensor], place: int, term: str, count: int) -> Tensor:
    """The loss over several batches, whose vectors lie in `banks`, with the gradient of the one at
    `place`, whose vectors are `own` (logit accumulation; ALADIN, Ruta et al., 2021).

    The gradients of all places add to that of the whole: the loss depends on each batch through its
    vectors alone. Each is multiplied by how many there are, because the loop divides by it.
    """
    batches = [own if i == place else bank for i, bank in enumerate(banks)]
    identity = identities(term, count, len(own) // count, own.device)
    painted = torch.arange(len(own), device=own.device) < 2 * count
    whole = contrast_loss(
        torch.cat(batches),
        torch.cat([identity + i * count for i in range(len(batches))]),
        painted.repeat(len(batches)),
    )
    return whole.detach() + len(batches) * (whole - whole.detach())
