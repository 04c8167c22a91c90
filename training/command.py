"""From words to a run: parse, build the task, go."""

import argparse
import sys
from pathlib import Path

from pipeline.errors import ConfigError, StreamError
from pipeline.options import Parser, add_options, build, read_yaml
from training.options import RunOptions

EPILOG = """example:
  %s

A run resumes from the checkpoint in its --out folder, also after being killed. Watch it with
`tensorboard --logdir runs`; the shipped form of the weights is OUT/weights.safetensors.
"""


def command(
    arguments: list[str], schema: type[RunOptions], task: str, about: str, example: str
) -> int:
    """Train the task of the module `task` as the words and their config say -> exit code."""
    parser = Parser(
        prog=" ".join(example.split()[:3]),
        description=about,
        epilog=EPILOG % example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, help="YAML file with the settings of the run")
    add_options(parser, schema)
    try:
        given = vars(parser.parse_args(arguments))
        config = given.pop("config")
        start(task, build(schema, read_yaml(config) if config else {}, given))
    except StreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def start(task: str, options: RunOptions) -> None:
    """Run here, or in several processes; StreamError."""
    try:
        from training.loop import train

        if options.workers > 1:
            from training.workers import spread
    except ImportError as error:
        raise ConfigError(f"{error}: pip install -e '.[train]' has what training needs") from error
    if options.workers > 1:
        spread(task, options)
        return
    import torch

    train(task, options, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
