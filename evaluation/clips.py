"""Which clips are painted in which styles: made ones of exact flow, still ones, filmed ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from torch import Tensor

from evaluation.flow import filmed
from evaluation.material import files, matched, probe, read_clip, read_folder, spaced
from evaluation.motion import WINDOW, frame_size, moved, resting, travelling
from evaluation.options import EvaluationOptions
from evaluation.temporal import Clip
from training.names import printable

SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".3gp"),
    *(".ogv", ".wmv", ".flv", ".gif"),
}
RESTING_FRAMES = 5


@dataclass(frozen=True, slots=True)
class Order:
    """A clip to be made when its turn comes, and the styles it is painted in. `kind` begins the
    names of its figures."""

    kind: str
    styles: list[str]
    make: Callable[[], Clip]


def orders(
    options: EvaluationOptions, photographs: dict[str, Tensor], styles: list[str]
) -> list[Order]:
    """All clips of a report; a filmed one that cannot be opened ends it before the work."""
    plan = [*travels(options, styles), *rests(options, photographs, styles)]
    return [*plan, *films(options, styles)] if options.clips else plan


def travels(options: EvaluationOptions, styles: list[str]) -> Iterator[Order]:
    """A camera over each photograph, which is read larger so that frames have the asked size."""
    folder, side = Path(options.content or ""), round(options.side / WINDOW)
    photographs = read_folder(folder, side, options.clip_pairs)
    for number, (name, chosen) in enumerate(grouped(list(photographs), styles, options)):

        def make(number: int = number, name: str = name) -> Clip:
            rng = np.random.default_rng([options.seed, number])
            path = travelling(photographs[name], options.frames, rng)
            size = frame_size(photographs[name])
            return moved(f"{name}, moving camera", photographs[name], path, size)

        yield Order("exact", chosen, make)


def rests(
    options: EvaluationOptions, photographs: dict[str, Tensor], styles: list[str]
) -> Iterator[Order]:
    """Each photograph at rest under noise."""
    names = spaced(list(photographs), options.clip_pairs)
    for name, chosen in grouped(names, styles, options):

        def make(name: str = name) -> Clip:
            return resting(f"{name}, at rest", photographs[name], RESTING_FRAMES, options.seed)

        yield Order("noise", chosen, make)


def films(options: EvaluationOptions, styles: list[str]) -> Iterator[Order]:
    """The videos of a folder."""
    found = files(Path(options.clips or ""), SUFFIXES, "clips")
    paths = {printable(path.name): path for path in spaced(found, options.clip_pairs)}
    for path in paths.values():
        probe(path)
    for name, chosen in grouped(list(paths), styles, options):

        def make(name: str = name) -> Clip:
            return filmed(name, read_clip(paths[name], options.side, options.frames))

        yield Order("filmed", chosen, make)


def grouped(
    names: list[str], styles: list[str], options: EvaluationOptions
) -> Iterator[tuple[str, list[str]]]:
    """Names with the styles each meets."""
    pairs = matched(names, styles, options.clip_pairs)
    for name, group in groupby(pairs, key=lambda pair: pair[0]):
        yield name, [style for _, style in group]
