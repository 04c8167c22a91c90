"""Style codes as files: safetensors that say for which trained model they were made."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

import models

SUFFIX = ".style"
KEY = "style_code_of"
MOST_BYTES = 256 << 20

Arrays = dict[str, NDArray[np.float32]]


def write(path: Path, code: Arrays, model: str | Path) -> None:
    """Save the tensors of a code, with the fingerprint of the model that made it."""
    part = path.with_name(path.name + ".part")
    # A view with strides would be saved wrongly, without an error.
    whole = {name: np.ascontiguousarray(values) for name, values in code.items()}
    save_file(whole, part, {KEY: models.fingerprint(model), "model": Path(model).stem})
    part.replace(path)


def read(path: Path, model: str | Path) -> Arrays:
    """The code of a file; ValueError when it is none, damaged, or another model's."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path} is too large for a style code")
        with safe_open(path, framework="np") as file:
            about = file.metadata() or {}
            code = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a style code") from error
    if KEY not in about:
        raise ValueError(f"{path} is not a style code; make one with python -m models.styles make")
    if about[KEY] != models.fingerprint(model):
        raise ValueError(
            f"{path} was made by the model {about.get('model', 'unknown')}, or by other weights of "
            f"it; make it again for {model}"
        )
    if any(values.dtype != np.float32 for values in code.values()):
        raise ValueError(f"{path} is damaged: it has values that are not float32")
    if not all(np.isfinite(values).all() for values in code.values()):
        raise ValueError(f"{path} is damaged: it has values that are not finite")
    return code
