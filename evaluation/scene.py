"""One photograph that meets one style: what every judge of paintings is handed."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Names and pictures, (1,3,H,W) RGB in [0, 1]; the sizes of the two may differ."""

    photograph: str
    style: str
    picture: Tensor
    wanted: Tensor


Judge = Callable[[Tensor, Scene], dict[str, float]]
"""A painting, of the photograph's size, and its scene -> {figure: value}."""
