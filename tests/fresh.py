"""Weights that nobody has trained."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

import models


def weights(folder: Path, system: str, **options: object) -> str:
    """A file of them, drawn from the same seed each time."""
    torch.manual_seed(0)
    state = models.build(system, **options).state_dict()
    about = {"model": system, "model_options": json.dumps(options)}
    path = folder / f"{system}.safetensors"
    save_file({k: v.contiguous() for k, v in state.items()}, path, metadata=about)
    return str(path)
