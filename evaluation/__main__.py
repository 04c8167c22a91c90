"""python -m evaluation --content DIR --style DIR [--vgg FILE]: quality figures as a table."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pipeline.errors import ConfigError, StreamError
from pipeline.options import Parser, add_options, build, option


@dataclass(frozen=True)
class EvaluationOptions:
    """What to judge, on what, and by which network."""

    content: str | None = option(None, "folder of photographs, not used in training", metavar="DIR")
    style: str | None = option(None, "folder of style pictures", metavar="DIR")
    model: str = option("compact", "a model that ships, or a weights file")
    vgg: str = option("torchvision", "true VGG-19: torchvision, or a .safetensors with conv1_1 ...")
    side: int = option(384, "short side of photographs and styles, px", least=64)


def main(arguments: list[str]) -> int:
    """Print the table -> exit code."""
    parser = Parser(
        prog="python -m evaluation",
        description="How much of the style arrives, how much of the photograph stays.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser, EvaluationOptions)
    try:
        evaluate(build(EvaluationOptions, vars(parser.parse_args(arguments))))
    except StreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def evaluate(options: EvaluationOptions) -> None:
    """All photographs in all styles: a line for each style and the medians."""
    if not options.content or not options.style:
        raise ConfigError("name a folder of photographs with --content and one of --style pictures")
    import models
    from evaluation.quality import medians, read_folder, score
    from training.loss_network import load_loss_network

    try:
        model = models.load(options.model)
        network = load_loss_network(options.vgg)
        photographs = read_folder(Path(options.content), options.side)
        styles = read_folder(Path(options.style), options.side)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error
    scores = score(model, network, photographs, styles)
    print(f"{'style':32}{'style ratio':>12}{'content':>10}")
    for name in styles:
        own = [s for s in scores if s.style == name]
        ratio, content = median(s.style_ratio for s in own), median(s.content for s in own)
        print(f"{name:32}{ratio:12.3f}{content:10.3f}")
    ratio, content = medians(scores)
    print(f"{f'median of {len(scores)} pairs':32}{ratio:12.3f}{content:10.3f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
