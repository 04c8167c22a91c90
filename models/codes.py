"""Style codes as files: safetensors that say for which trained model they were made."""

from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

import models

SUFFIX = ".style"
KEY = "style_code_of"
LAYOUT = "2"
"""Of what models put into their codes: the weights alone do not tell when that changes."""
MOST_BYTES = 256 << 20
HEADER_BYTES = 1 << 20
"""Of MOST_BYTES, kept free for names and shapes."""

Arrays = dict[str, NDArray[np.float32]]


def write(path: Path, code: Arrays, model: str | Path) -> None:
    """Save the tensors of a code, with the fingerprint of the model that made it.

    ValueError where it would be too large to be read again, or cannot be written.
    """
    part = path.with_name(path.name + ".part")
    size = sum(values.nbytes for values in code.values())
    if size > MOST_BYTES - HEADER_BYTES:
        raise ValueError(
            f"its code would be {size >> 20} MiB, more than the {MOST_BYTES >> 20} that are read: "
            "give the picture itself, or a smaller one"
        )
    # A view with strides would be saved wrongly, without an error.
    whole = {name: np.ascontiguousarray(values) for name, values in code.items()}
    try:
        about = {KEY: models.fingerprint(model), "model": Path(model).stem, "layout": LAYOUT}
        about["sha256"] = digest(whole)
        # Its own way to a file would leave one that nobody but its maker may read.
        part.write_bytes(save(whole, about))
        part.replace(path)
    except OSError as error:
        raise ValueError(f"the code cannot be written to {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def digest(code: Arrays) -> str:
    """SHA-256 of the names and numbers of a code, hexadecimal."""
    made = sha256()
    for name in sorted(code):
        made.update(name.encode() + b"\0" + np.ascontiguousarray(code[name]).tobytes())
    return made.hexdigest()


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
    if about.get("layout") != LAYOUT or about.get("sha256") != digest(code):
        raise ValueError(f"{path} is damaged, or of an earlier version: make it again")
    if any(values.dtype != np.float32 for values in code.values()):
        raise ValueError(f"{path} is damaged: it has values that are not float32")
    if not all(np.isfinite(values).all() for values in code.values()):
        raise ValueError(f"{path} is damaged: it has values that are not finite")
    return code
