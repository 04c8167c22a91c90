"""A model into a folder: style and frame graphs, checked against torch, and what they are."""

import json
import shutil
import tempfile
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import models
from engines.graph import write_frame, write_style
from engines.runtime import LEAST, MULTIPLE
from export.formats import FORMATS
from export.options import ExportOptions
from export.parity import Parity, compare
from pipeline.errors import ConfigError, EngineError

RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino"}


def export(name: str, options: ExportOptions) -> tuple[Path, list[Parity]]:
    """Write the folder -> where, and how close the graphs came. Nothing is left of a failure."""
    target = Path(options.output or f"{Path(name).stem}_{options.format}")
    if target.exists() and not options.overwrite:
        raise ConfigError(f"{target} exists: --overwrite, or another -o")
    if target.exists() and not (target / "manifest.json").is_file():
        raise ConfigError(f"{target} holds no export, so it is not replaced: another -o")
    try:
        model = models.load(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
            parity = fill(Path(folder), name, model, options)
            if target.exists():
                shutil.rmtree(target)
            shutil.copytree(folder, target)
    except ValueError as error:
        raise EngineError(f"model {name}: {error}") from error
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}") from error
    return target, parity


def fill(folder: Path, name: str, model: torch.nn.Module, options: ExportOptions) -> list[Parity]:
    """Both graphs and the manifest. EngineError: they paint another picture."""
    convert, run = FORMATS[options.format]
    write_frame(model, folder / "frame.onnx")
    write_style(model, folder / "style.onnx")
    frame, style = (convert(folder / f"{n}.onnx", options.precision) for n in ("frame", "style"))
    parity = compare(model, run, style, frame, options.sizes)
    failed = [p for p in parity if not p.passes(options.precision)]
    if failed:
        worst = max(failed, key=lambda p: p.levels)
        raise EngineError(
            f"the exported {name} paints another picture than torch: {worst.levels} levels apart, "
            f"{worst.psnr_db} dB at {worst.size}"
        )
    about = manifest(folder, name, model, options, parity)
    (folder / "manifest.json").write_text(json.dumps(about, indent=1) + "\n")
    return parity


def manifest(
    folder: Path,
    name: str,
    model: torch.nn.Module,
    options: ExportOptions,
    parity: list[Parity],
) -> dict[str, Any]:
    """All that a program must know to use the graphs, and to trust them."""
    code = model.encode_style(torch.rand(1, 3, 64, 64))
    packages = ("torch", "onnx", "onnxscript", RUNTIMES[options.format])
    return {
        "model": Path(name).stem,
        "weights_sha256_16": models.fingerprint(name),
        "format": options.format,
        "precision": options.precision,
        "style": {"input": "picture, uint8 RGB (1,H,W,3)", "outputs": list(code)},
        "frame": {
            "inputs": {
                "frames": "uint8 RGB (1,H,W,3)",
                "strength": "float32 scalar, 0 to 1.5",
                "keep_color": "float32 scalar, 0 or 1",
            },
            "code": {n: list(t.shape) for n, t in code.items()},
            "output": "painted, uint8 RGB (1,H,W,3)",
            "serves_every_style": True,
        },
        "sides": f"multiples of {MULTIPLE}, from {LEAST * MULTIPLE} px on",
        "versions": {package: version(package) for package in packages},
        "parity_with_torch": [asdict(p) for p in parity],
        "sha256": {p.name: sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())},
    }
