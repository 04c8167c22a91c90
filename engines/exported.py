"""The folder of an export (`python -m export`) as an engine: what was proved is what runs."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import models
from engines import Engine, make_engine
from engines.runtime import Graphs, Size

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}
"""Of the formats that are engines here."""


def open_export(folder: Path, model: str, device: str, threads: int | None) -> Engine:
    """The engine. ValueError: no export, one of another model, or a file that is not as written."""
    try:
        about: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        weights, kind, precision = (about[n] for n in ("weights_sha256_16", "format", "precision"))
        fits = kind in SUFFIXES and "frames" in about["frame"]["pixels"]
        graphs = graphs_of(folder, about) if fits else None
        digests = about["sha256"].items()
        changed = [name for name, digest in digests if digest_of(folder, name) != digest]
    except OSError as error:
        missing = Path(error.filename).name
        raise ValueError(f"{folder} is no export: {missing}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder}: manifest.json is damaged: export again") from error
    if changed:
        raise ValueError(f"{folder}: {changed[0]} is damaged or was changed: export again")
    if weights != models.fingerprint(model):
        raise ValueError(f"{folder} was exported from other weights than those here: export again")
    if graphs is None:
        raise ValueError(
            f"{folder} is for other programs: here run onnx and openvino with --pixels rgb"
        )
    made = make_engine(kind, model, device, threads, graphs=graphs)
    made.why = f"engine {kind}, {precision}: {folder}"
    return made


def digest_of(folder: Path, name: str) -> str:
    """SHA-256 of a file of the folder, hexadecimal. ValueError: it lies elsewhere."""
    if Path(name).name != name:
        raise ValueError(f"{name} is not in {folder}")
    return sha256((folder / name).read_bytes()).hexdigest()


def graphs_of(folder: Path, about: dict[str, Any]) -> Graphs:
    """The files by what they are for. KeyError: one of them has no hash in the manifest."""
    suffix, digests = SUFFIXES[about["format"]], about["sha256"]

    def graph(name: str) -> Path:
        _ = digests[name + suffix]
        return folder / (name + suffix)

    frames: dict[Size | None, Path] = {}
    if isinstance(about["sides"], dict):
        for name, text in about["sides"].items():
            width, height = map(int, text.split("x"))
            if min(width, height) < 1:
                raise ValueError("sides are positive")
            frames[height, width] = graph(name)
    else:
        frames[None] = graph("frame")
    digest = sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:16]
    return Graphs(f"{about['model']}-{about['precision']}-{digest}", graph("style"), frames)
