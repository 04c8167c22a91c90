"""python -m evaluation.systems --content DIR --style DIR -o docs/: all systems side by side."""

import sys
from dataclasses import dataclass

from evaluation.command import command
from evaluation.options import EvaluationOptions
from pipeline.errors import ConfigError, SinkError
from pipeline.options import option

ABOUT = "All systems on the same pictures: one table and one contact sheet."
EPILOG = """example:
  python -m evaluation.systems --content photos/ --style paintings/ --vgg vgg19.safetensors -o docs/

Writes docs/systems.md, the figures of docs/evaluation.md beside what a frame costs, and
docs/systems.jpg, photographs and styles that ship in every model. nnst takes
minutes a picture: --side and --pairs bound the time of all alike.
"""
SETTING = (
    "paintings",
    "motion of exact flow",
    "still pictures under noise",
    "painted by key frames",
    "pictures in several passes, clips and cost in one",
    "short side, frames, seed",
)
"""What of an evaluation's setting is told: not where files lie on this machine."""
SYSTEMS = ["compact", "adaattn", "stya2k", "neat", "dynast", "nnst_d", "nnst"]


@dataclass(frozen=True)
class SystemsOptions(EvaluationOptions):
    """As of any evaluation; by default all systems, on less."""

    model: list[str] = option(SYSTEMS, "systems, or weights files", metavar="NAME")
    side: int = option(256, "short side of photographs, styles and frames, px", least=64)
    pairs: int = option(12, "photographs in a style to judge at most", least=1)
    clip_pairs: int = option(4, "clips in a style at most: made, and as many filmed", least=1)


def main(arguments: list[str]) -> int:
    """Judge and write -> exit code."""
    return command(
        arguments, "python -m evaluation.systems", ABOUT, EPILOG, SystemsOptions, compare
    )


def compare(options: SystemsOptions) -> None:
    """Write the table and the sheet; ConfigError, SinkError."""
    if not options.content or not options.style or not options.output:
        raise ConfigError("name folders with --content and --style, and with -o where to write")
    # torch is imported only once the request makes sense: mistakes are answered at once.
    from evaluation import contact
    from evaluation.cost import cost
    from evaluation.course import run
    from evaluation.report import prepared
    from evaluation.table import by_model
    from training.names import printable

    out = prepared(options.output)
    found = run(options)
    costs = [cost(name, options.side) for name in options.model]
    lines = by_model(found.models, found.measured, costs).markdown()
    notes = [(name, found.setting[name]) for name in SETTING]
    notes += [("cost", circumstances(options.side))]
    sheet = contact.side_by_side(dict(zip(found.models, options.model, strict=True)), options.side)
    try:
        contact.write(sheet, out / "systems.jpg")
        said = "".join(f"- {name}: {value}\n" for name, value in notes)
        text = f"# All systems side by side\n\n{lines}\n{said}"
        (out / "systems.md").write_text(text, encoding="utf-8")
    except OSError as error:
        raise SinkError(f"cannot write into {out}: {error}") from error
    print(printable(f"{lines}written: {out / 'systems.md'}, {out / 'systems.jpg'}"))


def circumstances(side: int) -> str:
    """Where `cost` was measured."""
    import torch

    from engines.machine import processor

    return f"{side}x{side} px, eager torch, {torch.get_num_threads()} threads of {processor()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
