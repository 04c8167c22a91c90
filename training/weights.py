"""Where a run begins: the weights that --init names, whole or for a part of the model."""

import json
from dataclasses import replace

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

import models
from training.options import TrainingOptions


def resolved(options: TrainingOptions) -> TrainingOptions:
    """With the system and its options from the weights of --init, where no system is asked for."""
    if options.model is not None:
        return options
    whole = [name for name in options.init if "=" not in name]
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


def begin(model: nn.Module, init: str) -> None:
    """Take the weights that `[PART=]NAME|FILE` names; tensors that do not fit stay fresh."""
    part, _, name = init.rpartition("=")
    target = part_of(model, part)
    own = target.state_dict()
    path = models.weights_file(name)
    try:
        found = load_file(path)
        inside = {f"{part}.{n}" if part else n for n in own}
        found |= models.from_parts(path, inside - found.keys())
    except SafetensorError as error:
        raise ValueError(f"{name} is not a weights file (.safetensors): {error}") from error
    # Of a whole model too a part can be taken, by the names that it has there.
    found = {n.removeprefix(f"{part}."): t for n, t in found.items()}
    fitting = {n: t.float() for n, t in found.items() if n in own and own[n].shape == t.shape}
    if broken := [n for n, t in fitting.items() if not t.isfinite().all()]:
        raise ValueError(f"--init {init}: {broken[0]} has numbers that are none (NaN, infinity)")
    if not fitting:
        raise ValueError(f"--init {init}: not one of its tensors fits")
    target.load_state_dict(fitting, strict=False)
    print(f"{len(fitting)} of {len(own)} tensors begin from {init}", flush=True)


def part_of(model: nn.Module, name: str) -> nn.Module:
    """A part of a model by its name; "" is all of it."""
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        known = ", ".join(part for part, _ in model.named_children())
        raise ValueError(f"the model has no part '{name}': there is {known}") from error
