"""Style codes: plain named tensors, made once per style. mixing.py adds them."""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import models
from models import codes, pictures

Code = dict[str, Tensor]


def encode(model: nn.Module, picture: NDArray[Any]) -> Code:
    """An RGB picture, uint8 (H,W,3) of any size -> its code, on the device of the model, at the
    size at which it sees styles."""
    device = next(model.parameters()).device
    own = getattr(model, "sizes_styles", False)
    x = torch.tensor(picture if own else pictures.style_sized(picture), device=device)
    code: Code = model.encode_style(x.permute(2, 0, 1)[None].float().div(255))
    return code


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
        if output.suffix != codes.SUFFIX:
            raise ValueError(f"a style code is a {codes.SUFFIX} file, not {output.name}")
        pixels, told = picture(given.picture)
        if told:
            print(f"note: {given.picture} {told}")
        with torch.inference_mode():
            code = encode(models.load(given.model), pixels)
        codes.write(output, {name: t.numpy() for name, t in code.items()}, given.model)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"written: {output}")
    return 0


def picture(path: Path) -> tuple[NDArray[Any], str]:
    """As pictures.read_style; its errors name the file."""
    try:
        return pictures.read_style(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
