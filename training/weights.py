"""Where a run begins: the weights that --init names, whole or for a part of the model."""

import json
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

import models
from models.vgg import Encoder
from training.options import TrainingOptions


def resolved(options: TrainingOptions) -> TrainingOptions:
    """With the system and its options from the weights of --init, where no system is asked for."""
    if options.model is not None:
        return options
    whole = [name for part, name in map(apart, options.init) if not part]
    if not whole:
        raise ValueError("no model: give --model, or --init with weights that say what they are")
    about = models.metadata(whole[0])
    if "model" not in about:
        raise ValueError(f"{whole[0]} does not say which model it is of: give --model")
    try:
        made_with = dict(json.loads(about.get("model_options", "{}")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{whole[0]} does not say with which options it was made") from error
    return replace(options, model=about["model"], model_options=made_with | options.model_options)


def begin(model: nn.Module, init: str) -> set[str]:
    """Take the weights that `[PART=]NAME|FILE` names -> the tensors of the model that it gives.

    Of a whole model those that do not fit stay fresh. ValueError where a part is not given whole:
    the tensors that any width has would fit anywhere.
    """
    part, name = apart(init)
    target = part_of(model, part)
    own = target.state_dict()
    path = models.weights_file(name)
    before = f"{part}." if part else ""
    try:
        found = load_file(path)
        found |= models.from_parts(path, {before + n for n in own} - found.keys())
    except SafetensorError as error:
        raise ValueError(f"{name} is not a weights file (.safetensors): {error}") from error
    # Of a whole model too a part can be taken, by the names that it has there.
    found = {n.removeprefix(before): t for n, t in found.items()}
    fitting = {n: t.float() for n, t in found.items() if n in own and own[n].shape == t.shape}
    if broken := [n for n, t in fitting.items() if not t.isfinite().all()]:
        raise ValueError(f"--init {init}: {broken[0]} has numbers that are none (NaN, infinity)")
    if not fitting:
        raise ValueError(f"--init {init}: not one of its tensors fits")
    if part and (odd := [n for n in own if n not in fitting]):
        raise ValueError(
            f"--init {init}: {len(fitting)} of {len(own)} tensors fit, {odd[0]} is missing or of "
            "another shape: the width in model_options must be that of the weights"
        )
    target.load_state_dict(fitting, strict=False)
    print(f"{len(fitting)} of {len(own)} tensors begin from {init}", flush=True)
    return {before + n for n in fitting}


def apart(init: str) -> tuple[str, str]:
    """`[PART=]NAME|FILE` -> the part ("" is the whole model) and the name. Files and their folders
    may have a = in their names."""
    part, _, name = init.partition("=")
    return (part, name) if name and not Path(init).is_file() else ("", init)


def check_frozen(model: nn.Module, begun: Container[str]) -> None:
    """ValueError where what stays as it is was given no weights: nothing can be learnt on top of
    random maps, and nothing in the log would say so."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad and name not in begun:
            part = name.partition(".")[0]
            way = f"--init {part}=FILE"
            if isinstance(model.get_submodule(part), Encoder):
                way = f"--init {part}=vgg_narrow (for width 0.25), or {part}=FILE"
            raise ValueError(f"the {part} is not trained, and no --init gives it weights: {way}")


def part_of(model: nn.Module, name: str) -> nn.Module:
    """A part of a model by its name; "" is all of it."""
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        known = ", ".join(part for part, _ in model.named_children())
        raise ValueError(f"the model has no part '{name}': there is {known}") from error
