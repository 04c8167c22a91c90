"""python -m training --config configs/train_compact.yaml --content DIR ... --style DIR ..."""

import sys

from training.command import command
from training.options import TrainingOptions

EXAMPLE = (
    "python -m training --config configs/train_compact.yaml --content photos/ --style paintings/"
)

if __name__ == "__main__":
    sys.exit(
        command(
            sys.argv[1:],
            TrainingOptions,
            "training.painting",
            "Trains a model, or goes on from given weights with --init.",
            EXAMPLE,
        )
    )
