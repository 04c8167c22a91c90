"""The folder of an export (`python -m export`) as an engine: what was proved is what runs."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import models
from engines import Engine
from engines.runtime import Graphs, Size


def open_export(folder: Path, model: str, device: str, threads: int | None) -> Engine:
    """The engine. ValueError: no export, one of another model, or a file that is not as written."""
    about = manifest(folder)
    if about["weights_sha256_16"] != models.fingerprint(model):
        raise ValueError(
            f"{folder} was exported from other weights ({about['model']}): export again"
        )
    if about["format"] not in ("onnx", "openvino") or "frames" not in about["frame"]["pixels"]:
        raise ValueError(
            f"{folder} is for other programs: here run onnx and openvino with --pixels rgb"
        )
    made: Engine
    if about["format"] == "onnx":
        from engines.onnx import OnnxEngine

        made = OnnxEngine(model, device, threads, graphs_of(folder, about))
    else:
        from engines.openvino import OpenVinoEngine

        made = OpenVinoEngine(model, device, threads, graphs_of(folder, about))
    made.why = f"engine {about['format']}, {about['precision']}: {folder}"
    return made


def manifest(folder: Path) -> dict[str, Any]:
    """What the folder says of itself, all its files being as they were written."""
    path = folder / "manifest.json"
    try:
        about: dict[str, Any] = json.loads(path.read_text())
        for name, digest in about["sha256"].items():
            if sha256((folder / Path(name).name).read_bytes()).hexdigest() != digest:
                raise ValueError(f"{name} is damaged or was changed")
        _ = about["model"], about["weights_sha256_16"], about["format"], about["precision"]
        _ = about["sides"], about["frame"]["pixels"]
    except OSError as error:
        missing = Path(error.filename).name
        raise ValueError(f"{folder} is no export: {missing}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = str(error) if "damaged" in str(error) else "manifest.json is damaged"
        raise ValueError(f"{folder}: {what}: export again") from error
    return about


def graphs_of(folder: Path, about: dict[str, Any]) -> Graphs:
    """Its files, by what they are for."""
    suffix = {"onnx": ".onnx", "openvino": ".xml"}[about["format"]]
    digest = sha256(json.dumps(about["sha256"], sort_keys=True).encode()).hexdigest()[:16]
    frames: dict[Size | None, Path] = {None: folder / f"frame{suffix}"}
    if isinstance(about["sides"], dict):
        frames = {}
        for name, text in about["sides"].items():
            width, height = map(int, text.split("x"))
            frames[height, width] = folder / f"{name}{suffix}"
    name = f"{about['model']}-{about['precision']}-{digest}"
    return Graphs(name, folder / f"style{suffix}", frames)
