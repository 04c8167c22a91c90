"""From words to work: parse, build the options, go."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import TypeVar

from evaluation.options import EvaluationOptions
from pipeline.errors import StreamError
from pipeline.options import Parser, add_options, build

INTERRUPTED = 130
# As in the stream: threads that spin for long take the cores from each other on a busy machine.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

Options = TypeVar("Options", bound=EvaluationOptions)


def command(
    arguments: list[str],
    program: str,
    about: str,
    epilog: str,
    schema: type[Options],
    work: Callable[[Options], None],
) -> int:
    """Do the work that the words ask for -> exit code; every failure is one line on standard
    error."""
    parser = Parser(
        prog=program,
        description=about,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-o", dest="output", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    add_options(parser, schema)
    try:
        work(build(schema, vars(parser.parse_args(arguments))))
    except StreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: interrupted, nothing was written", file=sys.stderr)
        return INTERRUPTED
    return 0
