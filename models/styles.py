"""Style codes: plain named tensors, `GROUP.name`, made once per style.

Kinds of groups. With `key_value`: summaries of linear attention (attention.py), which add. With
`variance`: mean and variance, which add likewise. With `share`: what only one picture can hold
(softmax keys, patches); mixing keeps the parts of all pictures as `GROUP@0`, `GROUP@1` ..., each
with its share, and the model averages what it attends to (AdaAttN, section 4.5). All others are
plain averages, which add.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

import models
from models import attention, codes, pictures

STYLE_SIDE = 384
"""px, the short side at which larger pictures are encoded: it sets the scale of the strokes."""

Code = dict[str, Tensor]


def encode(model: nn.Module, picture: NDArray[Any]) -> Code:
    """An RGB picture, uint8 (H,W,3) of any size -> its code, on the device of the model."""
    device = next(model.parameters()).device
    x = torch.tensor(picture, device=device).permute(2, 0, 1)[None].float().div(255)
    h, w = x.shape[2:]
    scale = STYLE_SIDE / min(h, w)
    if scale < 1:
        x = F.interpolate(x, (round(h * scale), round(w * scale)), mode="bilinear", antialias=True)
    code: Code = model.encode_style(x)
    return code


def mix(codes: list[Code], weights: list[float]) -> Code:
    """Weighted sum of codes of one model; weights are scaled to sum 1."""
    total = sum(weights)
    if len(codes) != len(weights) or min(weights) < 0 or total <= 0:
        raise ValueError(f"weights of styles must not be negative nor all zero: {weights}")
    used = [(code, w / total) for code, w in zip(codes, weights, strict=True) if w]
    if len(used) == 1:
        return used[0][0]
    mixed: Code = {}
    for group in dict.fromkeys(base(name) for code, _ in used for name in code):
        held = [(part, share) for code, share in used for part in parts(code, group)]
        first = held[0][0]
        if "share" in first:
            sums = {
                f"{group}@{i}.{name}": tensor * share if name == "share" else tensor
                for i, (part, share) in enumerate(held)
                for name, tensor in part.items()
            }
        else:
            alone, shares = [p for p, _ in held], [share for _, share in held]
            added = mixer(first)(alone, shares)
            sums = {f"{group}.{name}": tensor for name, tensor in added.items()}
        mixed |= sums
    return mixed


def mixer(group: Code) -> Callable[[list[Code], list[float]], Code]:
    """How groups of this kind are added."""
    if "key_value" in group:
        return attention.mix
    return spread if "variance" in group else add


def spread(moments: list[Code], shares: list[float]) -> Code:
    """Mean and variance of the places of all pictures together, each around its own mean."""
    mean = attention.weighted([m["mean"] for m in moments], shares)
    about = [m["variance"] + (m["mean"] - mean).square() for m in moments]
    return {"mean": mean, "variance": attention.weighted(about, shares)}


def add(moments: list[Code], shares: list[float]) -> Code:
    """Weighted sums, name by name."""
    return {n: attention.weighted([m[n] for m in moments], shares) for n in moments[0]}


def base(name: str) -> str:
    """`attention3@1.key` -> `attention3`."""
    return name.split(".")[0].split("@")[0]


def parts(code: Code, group: str) -> list[Code]:
    """The tensors of one group, by their names within it: one dictionary for each picture that is
    held on its own, else a single one."""
    found: dict[str, Code] = {}
    for name, tensor in code.items():
        if base(name) == group:
            whole, _, rest = name.partition(".")
            found.setdefault(whole, {})[rest] = tensor
    return list(found.values())


def select(code: Code, group: str) -> Code:
    """The tensors of a group that adds."""
    (only,) = parts(code, group)
    return only


def main(arguments: list[str]) -> int:
    """`python -m models.styles make PICTURE -o CODE.style` -> exit code."""
    parser = argparse.ArgumentParser(prog="python -m models.styles", description=main.__doc__)
    make = parser.add_subparsers(required=True).add_parser(
        "make", help="work out the code of a picture once; use it wherever a picture is"
    )
    make.add_argument("picture", type=Path)
    make.add_argument("-o", "--output", type=Path, help="default: the picture's name with .style")
    make.add_argument("--model", default="compact", help="a model that ships, or a weights file")
    given = parser.parse_args(arguments)
    output = given.output or given.picture.with_suffix(codes.SUFFIX)
    try:
        pixels, _ = pictures.decode(given.picture.read_bytes())
        with torch.inference_mode():
            code = encode(models.load(given.model), pixels)
        codes.write(output, {name: t.numpy() for name, t in code.items()}, given.model)
    except (ValueError, OSError) as error:
        print(f"error: {given.picture}: {error}", file=sys.stderr)
        return 2
    print(f"written: {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
