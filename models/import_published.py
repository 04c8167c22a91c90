"""Published checkpoints (AdaAttN, StyA2K, VGG-16 for NNST) -> one file that `models.load` takes.

The encoder vgg_normalised.pth alone becomes a part, for `--init encoder=FILE` of training.

    python -m models.import_published FILE [FILE ...] -o OUT.safetensors

Files are recognised by their keys and shapes, not by their names. Nothing but plain tensors is
read; pickled code is refused, never run. A wrong or partial set ends with one line and status 2.
"""

import argparse
import hashlib
import json
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

import models

ATTENTION_LAYERS = ("q", "k", "v", "q2", "k2", "v2", "fusion1", "fusion2")


class Piece(NamedTuple):
    """A kind of file: the name that its authors give it, and {their key: our key}."""

    name: str
    keys: dict[str, str]


class System(NamedTuple):
    """A published model: the system and options that build ours, and the files it comes in."""

    title: str
    model: str
    options: dict[str, Any]
    pieces: tuple[Piece, ...]


def layers(names: dict[str, str]) -> dict[str, str]:
    """{their layer: ours} -> {their key: ours}."""
    return {f"{a}.{end}": f"{b}.{end}" for a, b in names.items() for end in ("weight", "bias")}


def a2k(prefix: str, level: int) -> dict[str, str]:
    """Keys of one all-to-key attention."""
    scalars = {f"{prefix}{n}": f"attention.{level}.{n}" for n in ("sim_alpha", "sim_beta")}
    return scalars | layers({f"{prefix}{n}": f"attention.{level}.{n}" for n in ATTENTION_LAYERS})


def adaattn(prefix: str, level: int) -> dict[str, str]:
    """Keys of one adaptive attention normalisation."""
    return layers({f"{prefix}{n}": f"attention.{level}.{n}" for n in "fgh"})


# Places of the convolutions in the published layer lists.
ENCODER = {2: "1_1", 5: "1_2", 9: "2_1", 12: "2_2", 16: "3_1", 19: "3_2", 22: "3_3", 25: "3_4"}
ENCODER |= {29: "4_1", 32: "4_2", 35: "4_3", 38: "4_4", 42: "5_1"}
PAINTER = {1: "3_4", 4: "3_3", 7: "3_2", 10: "3_1", 14: "2_2", 17: "2_1", 21: "1_2", 24: "1_1"}
MERGE = layers({"merge_conv": "decoder.merge"})

SEEN = {0: "1_1", 2: "1_2", 5: "2_1", 7: "2_2", 10: "3_1", 12: "3_2", 14: "3_3"}
SEEN |= {17: "4_1", 19: "4_2", 21: "4_3"}

VGG = Piece(
    "vgg_normalised.pth",
    layers({"0": "encoder.conv0"} | {f"{i}": f"encoder.conv{n}" for i, n in ENCODER.items()}),
)
LEVEL3 = Piece("latest_net_adaattn_3.pth (for video: latest_net_transformer.pth)", adaattn("", 3))
TRANSFORMER = Piece(
    "latest_net_transformer.pth",
    adaattn("attn_adain_4_1.", 4) | adaattn("attn_adain_5_1.", 5) | MERGE,
)
A2K = Piece("latest_net_A2K.pth", a2k("", 3))
TRANSFORM = Piece(
    "latest_net_transform.pth", a2k("attn_adain_4_1.", 4) | a2k("attn_adain_5_1.", 5) | MERGE
)
DECODER = Piece(
    "latest_net_decoder.pth",
    layers(
        {"decoder_layer_1.1": "decoder.conv4_1"}
        | {f"decoder_layer_2.{i}": f"decoder.conv{n}" for i, n in PAINTER.items()}
    ),
)
VIDEO_DECODER = Piece(
    "latest_net_decoder.pth of the video model",
    layers({f"decoder.{i}": f"decoder.conv{n}" for i, n in PAINTER.items()}),
)
VGG16 = Piece(
    "torchvision's vgg16-397923af.pth",
    layers({f"features.{i}": f"encoder.conv{n}" for i, n in SEEN.items()}),
)
LARGER = (VGG, VGG16)
"""Those that go on deeper than what we need of them."""
PIECES = (VGG, VGG16, LEVEL3, TRANSFORMER, A2K, TRANSFORM, DECODER, VIDEO_DECODER)
WIDE = {"width": 1.0}
SYSTEMS = (
    System(
        "AdaAttN",
        "adaattn",
        {"attention": "softmax", "levels": [3, 4, 5]} | WIDE,
        (VGG, LEVEL3, TRANSFORMER, DECODER),
    ),
    System(
        "AdaAttN for video",
        "adaattn",
        {"attention": "cosine", "levels": [3]} | WIDE,
        (VGG, LEVEL3, VIDEO_DECODER),
    ),
    System("StyA2K", "stya2k", WIDE, (VGG, A2K, TRANSFORM, DECODER)),
    System("NNST", "nnst", {"features": "vgg16"}, (VGG16,)),
    System("Encoder", "adaattn", WIDE, (VGG,)),
)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by key; ValueError if it holds anything else."""
    try:
        with warnings.catch_warnings(action="ignore"):
            held = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # there is no end to the ways in which a damaged pickle fails
        raise ValueError(
            f"{path} is not a checkpoint of plain tensors (pickled code is never run)"
        ) from error
    if not isinstance(held, dict) or not all(isinstance(t, Tensor) for t in held.values()):
        raise ValueError(f"{path} is not a plain list of named tensors")
    prefix = "module." if all(str(key).startswith("module.") for key in held) else ""
    return {str(key).removeprefix(prefix): tensor for key, tensor in held.items()}


def recognise(path: Path, tensors: dict[str, Tensor]) -> Piece:
    """Which published file this is, by its keys. The encoder may go deeper than we need. ValueError
    says what is missing in one that is there in part."""
    for piece in PIECES:
        rest = tensors.keys() - piece.keys.keys()
        if piece.keys.keys() <= tensors.keys() and (piece in LARGER or not rest):
            return piece
    near = max(PIECES, key=lambda piece: len(piece.keys.keys() & tensors) / len(piece.keys))
    missing = sorted(near.keys.keys() - tensors.keys())
    if 0 < len(missing) < len(near.keys) / 2:
        raise ValueError(f"{path} is a part of {near.name}: it lacks {', '.join(missing)}")
    some = ", ".join(sorted(tensors)[:3]) or "none"
    raise ValueError(f"{path} is none of the published files (its keys: {some} ...)")


def find_system(files: dict[Path, Piece]) -> System:
    """The model that these files make; ValueError says what they lack."""
    found = list(files.values())
    twice = [str(path) for path, piece in files.items() if found.count(piece) > 1]
    if twice:
        raise ValueError(f"{' and '.join(twice)} hold the same part of a model")
    possible = [s for s in SYSTEMS if all(piece in s.pieces for piece in found)]
    if not possible:
        given = ", ".join(piece.name for piece in found)
        raise ValueError(f"the files belong to different models: {given}")
    lacking = []
    for system in possible:
        missing = [piece.name for piece in system.pieces if piece not in found]
        if not missing:
            return system
        lacking.append(f"{system.title} lacks {', '.join(missing)}")
    raise ValueError(f"the files make no whole model: {'; '.join(lacking)}")


def translate(
    path: Path, tensors: dict[str, Tensor], piece: Piece, own: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors of a file under our names, float32; ValueError if one does not fit `own`."""
    state = {}
    for theirs, ours in piece.keys.items():
        if ours not in own:  # the video model ends at relu3_1
            continue
        tensor, shape = tensors[theirs], own[ours].shape
        if tensor.shape != shape:
            raise ValueError(f"{path}: {theirs} is {tuple(tensor.shape)}, not {tuple(shape)}")
        whole = tensor.layout == torch.strided and tensor.is_floating_point()
        if not whole or not tensor.float().isfinite().all():
            raise ValueError(f"{path} is damaged: {theirs} has values that are not finite")
        state[ours] = tensor.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    return state


def convert(paths: list[Path], out: Path, published: bool = False) -> System:
    """Write the model that the files make to `out`; ValueError says what is wrong with them."""
    if out.suffix != ".safetensors" or not out.absolute().parent.is_dir():
        raise ValueError(f"{out} must be a .safetensors file in a folder that exists")
    files = {path: read(path) for path in paths}
    pieces = {path: recognise(path, tensors) for path, tensors in files.items()}
    system = find_system(pieces)
    if published and system.model not in ("adaattn", "nnst"):
        raise ValueError(f"beside NNST --published is for AdaAttN, not for {system.title}")
    options = system.options | ({"published": True} if published else {})
    own = models.build(system.model, **options).state_dict()
    state: dict[str, Tensor] = {}
    for path, piece in pieces.items():
        state |= translate(path, files[path], piece, own)
    about = {
        "title": f"{system.title}, published weights",
        "files": json.dumps([describe(path, piece) for path, piece in pieces.items()]),
        "imported": datetime.now(UTC).date().isoformat(),
    }
    if state.keys() == own.keys():
        about |= {"model": system.model, "model_options": json.dumps(options)}
    write(state, out, about)
    return system


def describe(path: Path, piece: Piece) -> dict[str, str]:
    """Where a part of the weights comes from."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "sha256": digest, "holds": piece.name}


def write(state: dict[str, Tensor], out: Path, about: dict[str, str]) -> None:
    """Under a temporary name first, so that no half a file is ever found under the right one."""
    partial = out.with_name(f".{out.name}.partial")
    try:
        partial.write_bytes(save(state, about))
        partial.replace(out)
    except OSError as error:
        raise ValueError(f"cannot write {out}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """The command; gives its exit status."""
    parser = argparse.ArgumentParser(prog="python -m models.import_published")
    parser.description = "Turn the authors' checkpoints of one model into one weights file."
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a published .pth")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.safetensors")
    parser.add_argument(
        "--published", action="store_true", help="AdaAttN, NNST: with what we changed undone"
    )
    given = parser.parse_args(arguments)
    try:
        system = convert(given.files, given.output, given.published)
    except (ValueError, OSError) as error:
        named = isinstance(error, OSError) and error.filename
        print(
            f"error: {error.filename}: {error.strerror}" if named else f"error: {error}",
            file=sys.stderr,
        )
        return 2
    print(f"{system.title} -> {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
