"""python -m evaluation --content DIR --style DIR [--model NAME ...] [-o report/]: judge models."""

import sys

from evaluation.command import command
from evaluation.options import EvaluationOptions
from pipeline.errors import ConfigError

EPILOG = """examples:
  python -m evaluation --content photos/ --style paintings/ --vgg vgg19.safetensors
  python -m evaluation --model compact --model mine.safetensors --content photos/ \\
      --style paintings/ --clips clips/ --vgg vgg19.safetensors -o report/

Without -o the style ratio and the content figure are printed; with it all figures are written as
report/table.csv, table.md, measurements.csv and index.html. docs/evaluation.md says what they are.
"""
ABOUT = "How much of the style arrives, how much of the photograph stays, how still."


def main(arguments: list[str]) -> int:
    """Judge and print -> exit code."""
    return command(arguments, "python -m evaluation", ABOUT, EPILOG, EvaluationOptions, evaluate)


def evaluate(options: EvaluationOptions) -> None:
    """Print two figures by style, or write the whole report."""
    if not options.content or not options.style:
        raise ConfigError("name a folder of photographs with --content and one of --style pictures")
    if not options.output and (options.clips or options.squeeze):
        raise ConfigError("--clips, --squeeze and --lpips are for the report: say where with -o")
    # torch is imported only once the request makes sense: mistakes are answered at once.
    from evaluation.course import run
    from evaluation.report import prepared, save
    from training.names import printable

    out = prepared(options.output) if options.output else None
    findings = run(options)
    if out is None:
        print(findings.by_style().text())
    else:
        save(findings, out)
        print(printable(f"{findings.summary().text()}\nwritten: {out}"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
