"""Makes weights ready to ship: what ships as a part of its own is left out and named instead."""

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

import models


def ship(source: Path, target: Path) -> None:
    """Copy a weights file without the parts of its model that are, bit for bit, parts that ship."""
    with safe_open(source, framework="pt") as file:
        about = file.metadata() or {}
    tensors = load_file(source)
    left_out = models.parts(source)
    for path in sorted((models.FOLDER / "weights" / "parts").glob("*.safetensors")):
        part = load_file(path)
        for place in {name.partition(".")[0] for name in tensors}:
            own = {n.partition(".")[2]: t for n, t in tensors.items() if n.startswith(f"{place}.")}
            if own.keys() <= part.keys() and all(torch.equal(own[n], part[n]) for n in own):
                left_out[place] = path.stem
                tensors = {n: t for n, t in tensors.items() if not n.startswith(f"{place}.")}
    try:
        target.write_bytes(save(tensors, about | {"parts": json.dumps(left_out)}))
    except OSError as error:
        raise ValueError(f"cannot write {target}: {error.strerror}") from error
    said = ", ".join(f"{place} ({part})" for place, part in left_out.items()) or "nothing"
    print(f"{target}: {target.stat().st_size} bytes; left out: {said}")


def main(arguments: list[str]) -> int:
    """`python -m training.ship runs/NAME/weights.safetensors models/weights/NAME.safetensors`
    -> exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.ship", description=__doc__)
    parser.add_argument("source", type=Path, help="weights of a run")
    parser.add_argument("target", type=Path, help="the same, ready to ship")
    given = parser.parse_args(arguments)
    try:
        ship(given.source, given.target)
    except (OSError, ValueError, SafetensorError) as error:
        print(f"error: {given.source}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
