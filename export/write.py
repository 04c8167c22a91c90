"""A model into a folder: style and frame graphs, checked against torch, and what they are."""

import json
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import torch

import models
from engines import said
from engines.bearing import rehearsed, smooth
from engines.choice import installed
from engines.graph import adds
from engines.onnx import RAISED
from engines.precision import lower
from engines.runtime import LEAST, MULTIPLE, graph, padded
from export.calibration import bearing, frames_of
from export.formats import FORMATS, PRECISIONS, lowers
from export.judgement import JUDGE, Figure, judge, sight
from export.layers import Layer, first_apart, layers
from export.options import ExportOptions, Size
from export.parity import Parity, as_torch, compare, probe
from export.pixels import FORMS as PIXELS
from export.tensorrt import check, details
from models.pictures import STYLE_SIDE
from pipeline.errors import ConfigError, EngineError

MOST_PINNED = 6
JUDGED_EVERY = 4
"""Of the frames of a clip: all of them in every style would take minutes."""


def export(name: str, options: ExportOptions) -> tuple[Path, list[Parity]]:
    """Write the folder -> where, and how close the graphs came. Nothing is left of a failure."""
    target = Path(options.output or f"{Path(name).stem}_{options.format}")
    if target.exists() and not options.overwrite:
        raise ConfigError(f"{target} exists: --overwrite, or another -o")
    if target.exists() and not (target / "manifest.json").is_file():
        raise ConfigError(f"{target} holds no export, so it is not replaced: another -o")
    try:
        models.system_of(name)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    try:
        if options.precision not in (known := PRECISIONS[options.format]):
            raise ConfigError(f"{options.format} is written as {', '.join(known)}")
        if (options.precision == "int8") != (options.clip is not None):
            raise ConfigError("--precision int8 is calibrated with --clip FILE, nothing else is")
        if options.vgg and not options.clip:
            raise ConfigError("--vgg judges --precision int8, nothing else")
        if options.format == "tensorrt":
            if options.pixels != "rgb":
                raise ConfigError("--pixels nv12: onnx and openvino, or rgb for tensorrt")
            check()
        model = models.load(name)
        check_model(name, model)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
            made, old = Path(folder) / "made", Path(folder) / "old"
            made.mkdir()
            parity = fill(made, name, model, options)
            if target.exists():
                target.rename(old)
            try:
                made.rename(target)
            except OSError:
                if old.exists():
                    old.rename(target)
                raise
    except (ValueError, RuntimeError, MemoryError, *RAISED) as error:
        raise EngineError(f"model {name}: {said(error)}") from error
    except OSError as error:
        raise ConfigError(
            f"{error.filename or target} cannot be written: {error.strerror}"
        ) from error
    return target, parity


def check_model(name: str, model: torch.nn.Module) -> None:
    """ValueError says why a model cannot be a graph, and what to do instead."""
    why = None
    if models.optimises(name):
        why = "it paints by optimisation, so there is no graph of it"
    elif not adds(model.encode_style(torch.rand(1, 3, 64, 64))):
        why = "its style codes hold whole pictures, so no graph fits every style"
    if why:
        raise ValueError(
            f"{why}: run it here with --engine torch, or export another, such as compact"
        )


def fill(folder: Path, name: str, model: torch.nn.Module, options: ExportOptions) -> list[Parity]:
    """Both graphs and the manifest. A layer of lower precision by which the painting leaves torch's
    is pinned to float32. EngineError: they paint another picture all the same."""
    convert, opened = FORMATS[options.format]
    form = PIXELS[options.pixels]
    see = sight(options.vgg)
    with tempfile.TemporaryDirectory() as made:
        frame, style, source = (Path(made) / f"{n}.onnx" for n in ("frame", "style", "source"))
        for path in (frame, style):
            shutil.copy(graph(name, path.stem), path)
        form.write(frame, source)
        opset = opset_of(source)
        bears = bearing(frame, style, options) if lowers(options) else {}
        probes: dict[Size, Path] = {}
        if options.precision == "fp32":
            probing = probe(source, form.outputs, Path(made) / "probe.onnx")
            probes = converted(probing, Path(tempfile.mkdtemp(dir=made)), options, {}, ())
        pinned: dict[str, str] = {}  # nodes, and their names in the model
        figures: list[Figure] = []
        while True:
            encoder = convert(Path(shutil.copy(style, folder)), options, {}, (), None)
            painters = converted(source, folder, options, bears, pinned)
            parity = compare(model, form, opened, encoder, painters, probes)
            failed: list[Parity | Figure] = [p for p in parity if not p.passes(options.precision)]
            if options.clip and not failed:
                smallest = min(painters.items(), key=lambda item: item[0][0] * item[0][1])
                clip = frames_of(options.clip, min(smallest[0]))[::JUDGED_EVERY]
                figures = judge(model, form, opened, encoder, smallest, clip, see)
                failed = [figure for figure in figures if not figure.passes()]
            if not failed:
                break
            held = seen(model, frame, options, bears, pinned)
            layer = first_apart(held, options.precision)
            low = [each for each in held if each.node in bears.keys() - pinned.keys()]
            if not low or len(pinned) == MOST_PINNED:
                first = [*pinned.values(), *([layer.module] if layer else [])]
                where = f"first in {first[0]}" if first else f"{options.format} alone does"
                if options.precision != "fp32" and not lowers(options):
                    where += f", whose {options.precision} leaves out no layer"
                raise EngineError(
                    f"the exported {name} paints another picture than torch ({where}): {failed[0]}"
                )
            if layer not in low:  # each is near enough, or what they come to shows in RGB
                layer = max(low, key=lambda each: each.error)
            pinned[layer.node] = layer.module
    about = manifest(folder, name, model, options, parity)
    about |= {"opset": opset, "pinned_to_fp32": list(pinned.values())}
    if figures:
        judged = {figure.name: [figure.torch, figure.exported] for figure in figures}
        about["figures_torch_and_exported"] = {"by": options.vgg or JUDGE, **judged}
    (folder / "manifest.json").write_text(json.dumps(about, indent=1) + "\n")
    return parity


def converted(
    source: Path,
    folder: Path,
    options: ExportOptions,
    bears: dict[str, float],
    pinned: Collection[str],
) -> dict[Size, Path]:
    """The frame side in the format asked for, for each of the sizes that are checked."""
    convert, _ = FORMATS[options.format]
    if not options.fixed:
        copy = Path(shutil.copy(source, folder / "frame.onnx"))
        painter = convert(copy, options, bears, pinned, None)
        return {size: painter for size in options.checked}
    painters: dict[Size, Path] = {}
    for size in options.fixed:
        copy = Path(shutil.copy(source, folder / f"frame-{size[0]}x{size[1]}.onnx"))
        painters[size] = convert(copy, options, bears, pinned, padded(*size))
    return painters


def seen(
    model: torch.nn.Module,
    frame: Path,
    options: ExportOptions,
    bears: dict[str, float],
    pinned: Collection[str],
) -> list[Layer]:
    """The layers of the graph, in the precision asked for, held against torch's."""
    lowered = onnx.load(frame)
    if lowers(options):
        lower(lowered, options.precision, bears, "fp32", pinned)
    path = frame.with_name("lowered.onnx")
    # Without convolutions of bfloat16, which ONNX Runtime has not.
    onnx.save(rehearsed(lowered) if options.precision == "bf16" else lowered, path)
    with torch.inference_mode():
        code = model.encode_style(as_torch(smooth(STYLE_SIDE, STYLE_SIDE, 1)))
    return layers(model, path, code, smooth(128, 160, 2))


def opset_of(graph: Path) -> int:
    """The version of ONNX's operators that a graph is made of."""
    return int(onnx.load(graph, load_external_data=False).opset_import[0].version)


def manifest(
    folder: Path,
    name: str,
    model: torch.nn.Module,
    options: ExportOptions,
    parity: list[Parity],
) -> dict[str, Any]:
    """All that a program must know to use the graphs, and to trust them."""
    code = model.encode_style(torch.rand(1, 3, 64, 64))
    runtimes = [package for kind, package in installed().items() if kind == options.format]
    packages = ["torch", "onnx", "onnxscript", *runtimes]
    about = {
        "model": Path(name).stem,
        "weights_sha256_16": models.fingerprint(name),
        "format": options.format,
        "precision": options.precision,
        "style": {"input": "picture, uint8 RGB (1,H,W,3)", "outputs": list(code)},
        "frame": {
            "pixels": PIXELS[options.pixels].about,
            "strength": "float32 scalar, 0 to 1.5",
            "keep_color": "float32 scalar, 0 or 1",
            "code": {n: list(t.shape) for n, t in code.items()},
            "serves_every_style": True,
        },
        "sides": sides(options),
        "versions": {package: version(package) for package in packages},
        "parity_with_torch": [asdict(p) for p in parity],
        "sha256": {p.name: sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())},
    }
    return about | details(options) if options.format == "tensorrt" else about


def sides(options: ExportOptions) -> str | dict[str, str]:
    """What the frame graphs take: any sides, or each its own."""
    if not options.fixed:
        return f"multiples of {MULTIPLE}, from {LEAST * MULTIPLE} px on"
    names = (f"frame-{w}x{h}" for w, h in options.fixed)
    return {n: "{}x{}".format(*padded(*s)) for n, s in zip(names, options.fixed, strict=True)}
