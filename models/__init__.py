"""Models by name: `load("compact")` for trained weights, `build("compact")` for fresh ones.

Every model is one file of this folder whose class carries the file's name in capitals, and has
`encode_style(pictures NCHW) -> code`, made once per style, and
`model(frames NCHW, code, strength) -> frames`; RGB float in [0, 1], any size from `min_side` px.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the names alone must not cost the import of torch
    from torch import nn

FOLDER = Path(__file__).parent
PARTS = {"__init__", "attention", "color", "styles"}


def names() -> list[str]:
    """Names of the models that exist."""
    return sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in PARTS)


def build(name: str) -> nn.Module:
    """A fresh, untrained model."""
    if name not in names():
        raise ValueError(f"no model '{name}': there is {', '.join(names())}")
    module = import_module(f"models.{name}")
    model: nn.Module = next(
        value
        for key, value in vars(module).items()
        if key.lower() == name and isinstance(value, type)
    )()
    return model


def load(name: str, weights: Path | None = None) -> nn.Module:
    """The model with trained weights (those that ship, unless a file is given), for inference."""
    from safetensors.torch import load_file

    model = build(name)
    state = load_file(weights or FOLDER / "weights" / f"{name}.safetensors")
    model.load_state_dict({k: v.float() for k, v in state.items()})
    return model.eval().requires_grad_(False)
