"""python -m training --config configs/train_compact.yaml --content DIR ... --style DIR ..."""

import argparse
import sys
from pathlib import Path

from pipeline.errors import ConfigError, StreamError
from pipeline.options import Parser, add_options, build, read_yaml
from training.options import TrainingOptions

EPILOG = """example:
  python -m training --config configs/train_compact.yaml --content photos/ --style paintings/

A run resumes from the checkpoint in its --out folder, also after being killed. Watch it with
`tensorboard --logdir runs`; the shipped form of the weights is OUT/weights.safetensors.
"""


def main(arguments: list[str]) -> int:
    """Train as the config says -> exit code."""
    parser = Parser(
        prog="python -m training",
        description="Train a model, or fine-tune it with --init.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, help="YAML file with the settings of the run")
    add_options(parser, TrainingOptions)
    try:
        given = vars(parser.parse_args(arguments))
        config = given.pop("config")
        options = build(TrainingOptions, read_yaml(config) if config else {}, given)
        train(options)
    except StreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def train(options: TrainingOptions) -> None:
    """Run the trainer; what it refuses becomes a ConfigError."""
    from training.loop import Trainer

    try:
        trainer = Trainer(options)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error
    trainer.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
