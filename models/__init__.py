"""Models by name: `load("compact")` for trained weights, `build("compact")` for fresh ones.

Every system is one file of this folder with a function `build(**options)`. Its models have
`encode_style(pictures NCHW) -> code`, made once per style, and
`model(frames NCHW, code, strength) -> frames`; RGB float in [0, 1], any size from `min_side` px.
A weights file is a .safetensors whose metadata names its system (`model`) and its options, and the
parts (`parts`) that it leaves out because they ship by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the names alone must not cost the import of torch
    from torch import nn

FOLDER = Path(__file__).parent
PARTS = {
    "__init__",
    "allocation",
    "attention",
    "bands",
    "codes",
    "color",
    "decoder",
    "hypercolumns",
    "import_published",
    "matching",
    "mixing",
    "oklab",
    "padding",
    "pictures",
    "pyramid",
    "styles",
    "vgg",
    "whole",
}
DETAIL = "prior.detail"
"""In the style codes of neat: the share (B,) of the photograph's detail that stays."""
OPTIMISED = {"nnst": "vgg_narrow"}
"""Systems that paint by optimisation, and the encoder that ships which is all they need."""


def systems() -> list[str]:
    """The systems that exist, each of which `build` makes."""
    return sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in PARTS)


def names() -> list[str]:
    """The trained models that ship, each of which `load` gives."""
    return sorted([*OPTIMISED, *(p.stem for p in (FOLDER / "weights").glob("*.safetensors"))])


@cache
def system_of(name: str | Path) -> str:
    """The system of a trained model. ValueError as `load`."""
    if name in (*OPTIMISED, "identity"):
        return str(name)
    return metadata(name).get("model", Path(name).stem)


def optimises(name: str | Path) -> bool:
    """Whether a model paints by optimisation: minutes a picture, in torch only, nothing to export.

    ValueError as `load`.
    """
    return system_of(name) in OPTIMISED


def metadata(name: str | Path) -> dict[str, str]:
    """What a weights file says of itself; ValueError if it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights_file(name), framework="np") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{name} is not a weights file (.safetensors): {error}") from error


def build(system: str, **options: Any) -> nn.Module:
    """A fresh model; ValueError for a system or an option that does not exist or cannot be."""
    if system not in systems():
        raise _absent(system, systems())
    try:
        model: nn.Module = import_module(f"models.{system}").build(**options)
    except (TypeError, RuntimeError, ArithmeticError) as error:
        raise ValueError(f"model {system}: {error}") from error
    return model


def load(name: str | Path) -> nn.Module:
    """A trained model for inference: one that ships, or any weights file of ours.

    ValueError says what is wrong with a file: no weights, another architecture, not finite.
    """
    from safetensors import SafetensorError, safe_open

    path = weights_file(name)
    if name in OPTIMISED:
        model = build(str(name))
        model.encoder.load(path)
        return model.eval().requires_grad_(False)
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a weights file (.safetensors): {error}") from error
    model = _described(path, about, state)
    _fill(model, state, path)
    return model.eval().requires_grad_(False)


def from_parts(path: Path, lacking: Collection[str]) -> dict[str, Any]:
    """Of the tensors that a weights file lacks, those of the parts that it says ship."""
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for prefix, part in parts(path).items():
        tensors = load_file(weights_file(part)).items()
        named = {f"{prefix}.{name}": tensor.float() for name, tensor in tensors}
        found |= {name: named[name] for name in named.keys() & set(lacking)}
    return found


def parts(path: Path) -> dict[str, str]:
    """The parts that ship which a weights file leaves out: {its place in the model: name}."""
    said = metadata(path).get("parts", "{}")
    try:
        named = json.loads(said)
        ships = {part.stem for part in (FOLDER / "weights" / "parts").glob("*.safetensors")}
        if set(named.values()) <= ships:
            return dict(named)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} says of its parts what cannot be read") from error
    absent = ", ".join(map(str, named.values()))
    raise ValueError(f"{path} leaves out a part that is not here: {absent}")


def weights_file(name: str | Path) -> Path:
    """Where the weights of a model lie: of one that ships (or a part that does), or the file."""
    path = Path(name) if Path(name).suffix else FOLDER / "weights" / f"{name}.safetensors"
    if not path.is_file() and not Path(name).suffix:
        path = path.parent / "parts" / f"{OPTIMISED.get(str(name), name)}.safetensors"
    if not path.is_file() and Path(name).suffix:
        raise ValueError(f"no model '{name}': there is no such file")
    if not path.is_file():
        raise _absent(str(name), names(), ", or a weights file")
    if path.suffix in (".pth", ".pt"):
        raise ValueError(f"{path} must first become one of ours: python -m models.import_published")
    return path


@cache
def fingerprint(name: str | Path) -> str:
    """Tells the weights of trained models apart: 16 hexadecimal digits."""
    path = weights_file(name)
    files = [path, *(weights_file(part) for part in parts(path).values())]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _absent(name: str, known: list[str], more: str = "") -> ValueError:
    """No model has this name; those that there are, and the nearest."""
    near = "".join(f" (did you mean {n}?)" for n in get_close_matches(name, known, 1, 0.5))
    return ValueError(f"no model '{name}'{near}: there is {', '.join(known)}{more}")


def _described(path: Path, about: dict[str, str], state: dict[str, Any]) -> nn.Module:
    """The model that a file says it is, not filled yet. `state` gets what the file leaves out."""
    import torch

    try:
        options = json.loads(about.get("model_options", "{}"))
        if not isinstance(options, dict):
            raise ValueError("its options are no table")
        # Without memory first: what a file states may be of any size.
        with torch.device("meta"):
            sketch = build(about.get("model", path.stem), **options)
        state |= from_parts(path, sketch.state_dict().keys() - state.keys())
        _compare(sketch, state, path)
        return build(about.get("model", path.stem), **options)
    except (TypeError, RuntimeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} describes no model that can be made") from error


def _compare(model: nn.Module, state: dict[str, Any], path: Path) -> None:
    """ValueError unless the tensors of the file are those of the model."""
    own = model.state_dict()
    shapes = {key: tensor.shape for key, tensor in state.items()}
    wrong = [k for k in own.keys() | shapes.keys() if k not in own or own[k].shape != shapes.get(k)]
    if wrong:
        raise ValueError(
            f"{path} does not fit its architecture: {len(wrong)} tensors differ, "
            f"such as {sorted(wrong)[0]}"
        )


def _fill(model: nn.Module, state: dict[str, Any], path: Path) -> None:
    """Put the tensors of a file into a model; all of them must be finite."""
    broken = sorted(key for key, tensor in state.items() if not tensor.isfinite().all())
    if broken:
        raise ValueError(f"{path} is damaged: {broken[0]} has values that are not finite")
    model.load_state_dict(state)
