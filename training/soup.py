"""Weights between those of two runs of which one began from the other, often better than both.

A "model soup" (Wortsman et al., ICML 2022) of two: between a model and what fine-tuning made of it
this also says how much the fine-tuning counts.
"""

import argparse
import sys
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save

import models


def stir(first: str, second: str, share: float, target: Path) -> None:
    """Write the weighted mean of two weights files, `share` of it the second's. ValueError: they
    are not of one model."""
    paths = [models.weights_file(name) for name in (first, second)]
    about = [models.metadata(name) for name in (first, second)]
    begun, trained = map(load_file, paths)
    # One of them may leave out what the other holds.
    begun |= models.from_parts(paths[0], trained.keys() - begun.keys())
    trained |= models.from_parts(paths[1], begun.keys() - trained.keys())
    of = [(each.get("model"), each.get("model_options")) for each in about]
    shapes = [{name: tensor.shape for name, tensor in each.items()} for each in (begun, trained)]
    if shapes[0] != shapes[1] or of[0] != of[1]:
        raise ValueError(f"{first} and {second} are not weights of one model with the same options")
    mean = {
        name: begun[name].float().lerp(tensor.float(), share).to(tensor.dtype).contiguous()
        for name, tensor in trained.items()
    }
    whole = not mean.keys() - load_file(paths[1]).keys()
    left_out = {} if whole else {"parts": "{}"}
    target.write_bytes(save(mean, about[1] | left_out))
    print(f"{target}: {1 - share:g} of {first}, {share:g} of {second}")


def main(arguments: list[str]) -> int:
    """`python -m training.soup compact runs/tuned/weights.safetensors -o soup.safetensors` -> exit
    code."""
    parser = argparse.ArgumentParser(prog="python -m training.soup", description=__doc__)
    parser.add_argument("first", help="weights that a run began from: a name or a file")
    parser.add_argument("second", help="weights that came of it")
    parser.add_argument("--share", type=float, default=0.5, help="of the second, 0 to 1 (0.5)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a .safetensors")
    given = parser.parse_args(arguments)
    try:
        if not 0 <= given.share <= 1:
            raise ValueError(f"--share {given.share:g}: 0 to 1")
        stir(given.first, given.second, given.share, given.output)
    except (OSError, ValueError, SafetensorError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
