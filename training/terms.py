"""The terms of the loss that compare what the loss network sees, layer by layer."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from training import contrast, losses
from training.similarity import similarity_loss
from training.targets import a2k_target, adaattn_target

Maps = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the loss network sees of a step: {layer: (N,C,H,W)}. `again` and `view` are the second
    frames, painted and as they are; the first rows of `painted` and `content` are their firsts.
    `crossed` are the paintings of the next photograph in the same styles, `crop` other crops of
    the styles, `back` what had to come back and `same` what it was."""

    painted: Maps
    content: Maps
    style: Maps
    again: Maps
    view: Maps
    crossed: Maps
    crop: Maps
    back: Maps
    same: Maps


def content(seen: Seen, layer: str) -> Tensor:
    return losses.content_loss(seen.painted[layer], seen.content[layer])


def style(seen: Seen, layer: str) -> Tensor:
    return losses.statistics_loss(seen.painted[layer], seen.style[layer])


def covariance(seen: Seen, layer: str) -> Tensor:
    return losses.covariance_loss(seen.painted[layer], seen.style[layer])


def nearest(seen: Seen, layer: str) -> Tensor:
    return losses.nearest_loss(seen.painted[layer], seen.style[layer])


def local(seen: Seen, layer: str) -> Tensor:
    target = adaattn_target(seen.content, seen.style, layer)
    return F.mse_loss(seen.painted[layer].float(), target)


def a2k(seen: Seen, layer: str) -> Tensor:
    target = a2k_target(seen.content, seen.style, layer)
    return F.mse_loss(seen.painted[layer].float(), target)


def similarity(seen: Seen, layer: str) -> Tensor:
    again, view = seen.again[layer], seen.view[layer]
    n = len(view)
    return similarity_loss(seen.painted[layer][:n], again, seen.content[layer][:n], view)


def recovery(seen: Seen, layer: str) -> Tensor:
    return F.mse_loss(seen.back[layer].float(), seen.same[layer].float())


TERMS: dict[str, Callable[[Seen, str], Tensor]] = {
    f.__name__: f for f in (content, style, covariance, nearest, local, a2k, similarity, recovery)
}
CONTRASTIVE = tuple(contrast.LAYERS)
# Whose maps a term compares the painting's with, and which terms need those of all finer levels.
OF_CONTENT = ("content", "local", "a2k", "similarity")
OF_STYLE = ("style", "covariance", "nearest", "local", "a2k", "style_contrast")
OF_PAINTED = (*(name for name in TERMS if name != "recovery"), *CONTRASTIVE)
STACKED = ("local", "a2k")
