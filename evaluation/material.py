"""What models are judged on: pictures and clips of folders, and which of them meet."""

import sys
from itertools import islice
from pathlib import Path
from typing import TypeVar

import cv2
import torch
from torch import Tensor

from pipeline.errors import ConfigError, SourceInvalid
from pipeline.sources import SourceOptions, open_source
from training.data import SUFFIXES, load
from training.names import printable

PROBE_SIDE = 64  # px

T = TypeVar("T")


def read_folder(folder: Path, side: int, most: int) -> dict[str, Tensor]:
    """Pictures by printable name, NCHW in [0, 1] with a short side of `side` px.

    Of more than `most` files, that many evenly spaced ones are read; those that cannot be are named
    and left out. ConfigError when none can be.
    """
    found: dict[str, Tensor] = {}
    for path in spaced(files(folder, SUFFIXES, "pictures"), most):
        try:
            picture = load(path, side)
        except (ValueError, OSError) as error:
            print(printable(f"left out: {path}: {error}"), file=sys.stderr)
            continue
        scale = side / min(picture.shape[:2])
        if scale > 1:
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        name = printable(path.stem)
        if name in found:
            name = printable(path.name)
        found[name] = torch.tensor(picture).permute(2, 0, 1)[None].float() / 255
    if not found:
        raise ConfigError(f"no pictures in {folder} that can be read")
    return found


def read_clip(path: Path, side: int, frames: int) -> Tensor:
    """The first frames of a video, upright, (N,3,H,W) in [0, 1]; SourceInvalid below two."""
    with open_source(str(path), SourceOptions(size=side)) as source:
        read = [torch.from_numpy(frame.pixels) for frame in islice(source.frames(), frames)]
    if len(read) < 2:
        raise SourceInvalid(f"{path} has a single frame; two at least make a motion")
    return torch.stack(read).permute(0, 3, 1, 2).float() / 255


def probe(path: Path) -> None:
    """SourceInvalid, in one line, unless two frames of a video can be decoded."""
    read_clip(path, PROBE_SIDE, 2)


def files(folder: Path, suffixes: set[str], what: str) -> list[Path]:
    """The files of a folder with these suffixes, sorted; ConfigError when there are none."""
    try:
        found = sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes)
    except OSError as error:
        raise ConfigError(f"cannot read the folder {folder}: {error.strerror}") from error
    if not found:
        raise ConfigError(f"no {what} in {folder}")
    return found


def spaced(items: list[T], most: int) -> list[T]:
    """At most `most` of the items, evenly spaced: neighbours in a folder are often alike."""
    count = min(most, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def matched(first: list[str], second: list[str], count: int) -> list[tuple[str, str]]:
    """At most `count` different pairs in which every name is about equally frequent.

    The pairs of one `first` are neighbours.
    """
    rounds = [(i, (i + r) % len(second)) for r in range(len(second)) for i in range(len(first))]
    return [(first[i], second[j]) for i, j in sorted(rounds[:count])]
