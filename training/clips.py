"""Frames of videos in memory, for pairs of frames a little apart in time."""

from collections.abc import Iterable, Iterator, Sequence
from math import inf
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from pipeline.errors import SourceError
from pipeline.sources import SourceOptions, open_source
from training.data import Pixels, batch, crop, files, window
from training.names import printable

SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".wmv", ".3gp", ".ogv"),
    *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
}
# Mean difference of 16x16 px thumbnails, of 255. A fast pan that exceeds it only ends a run early.
CUT = 30.0


class Clips:
    """Runs of consecutive frames, each within one shot."""

    def __init__(self, runs: list[list[Pixels]], apart: int) -> None:
        self.runs, self.apart = runs, apart

    @property
    def frames(self) -> list[Pixels]:
        """All frames, as photographs."""
        return [frame for run in self.runs for frame in run]

    def pairs(
        self, count: int, side: int, closest: float, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Crops of frames and of frames up to `apart` later, (N,3,side,side) each, in [0, 1]."""
        firsts, seconds = [], []
        for _ in range(count):
            run = self.runs[rng.integers(len(self.runs))]
            gap = rng.integers(1, min(self.apart, len(run) - 1) + 1)
            at = rng.integers(len(run) - gap)
            where = window(run[at], closest, rng)
            firsts.append(crop(run[at], where, side))
            seconds.append(crop(run[at + gap], where, side))
        return batch(firsts), batch(seconds)


def read(folders: Sequence[str], short_side: int, apart: int, limit: int) -> Clips:
    """All videos of some folders, evenly thinned to `limit` bytes of frames: fewer and shorter runs
    of each and, where there is not room for two frames of each, fewer videos.

    Those that cannot be decoded are named and left out. ValueError when none is left.
    """
    paths = files(folders, SUFFIXES, "videos")
    runs = thinned(runs_of_all(paths, short_side, 4 * apart, limit // len(paths)), limit)
    if not runs:
        raise ValueError(f"no videos in {', '.join(folders)}")
    if (needed := size(runs)) > limit:
        raise ValueError(
            f"--clip-memory-mb {limit >> 20} does not hold two frames: give {-(-needed >> 20)}, or "
            "a smaller --short-side"
        )
    return Clips(runs, apart)


def runs_of_all(
    paths: list[Path], short_side: int, length: int, share: int
) -> Iterator[list[Pixels]]:
    """Runs of at least two frames of each video, `share` bytes of them or, where these do not hold
    two frames, one run of two."""
    for path in paths:
        try:
            runs = in_shots(decoded(path, short_side), length, share)
            yield from thinned((run for run in runs if len(run) > 1), share)
        except SourceError as error:
            print(printable(f"left out: {error}"), flush=True)


def decoded(path: Path, short_side: int) -> Iterator[Pixels]:
    """The frames of a video, with at most `short_side` px."""
    with open_source(str(path)) as source:
        large = min(source.info.width, source.info.height) > short_side
    with open_source(str(path), SourceOptions(size=short_side if large else None)) as source:
        for frame in source.frames():
            yield frame.pixels


def in_shots(frames: Iterator[Pixels], length: int, limit: float = inf) -> Iterator[list[Pixels]]:
    """Runs of up to `length` frames, and `limit` bytes but two frames, without a cut in them."""
    run: list[Pixels] = []
    last = None
    for frame in frames:
        small = cv2.resize(frame, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32)
        cut = last is not None and np.abs(small - last).mean() > CUT
        full = len(run) == length or (len(run) > 1 and (len(run) + 1) * frame.nbytes > limit)
        if run and (cut or full):
            yield run
            run = []
        run.append(frame)
        last = small
    if run:
        yield run


def size(runs: Iterable[list[Pixels]]) -> int:
    """Bytes of all frames."""
    return sum(frame.nbytes for run in runs for frame in run)


def thinned(runs: Iterator[list[Pixels]], limit: int) -> list[list[Pixels]]:
    """Runs spread evenly over a clip of unknown length, `limit` bytes of them at most (but one).

    Whenever they grow over the limit every second one goes, and from then on only as many come.
    """
    kept: list[list[Pixels]] = []
    total, every = 0, 1
    for number, run in enumerate(runs):
        if number % every:
            continue
        kept.append(run)
        total += size([run])
        while len(kept) > 1 and total > limit:
            kept, every = kept[::2], 2 * every
            total = size(kept)
    return kept
