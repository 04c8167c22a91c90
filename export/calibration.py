"""The frames that lower precision is tried on, and what of a frame side bears it."""

from itertools import islice
from pathlib import Path

import onnx

from engines import Frames
from engines.bearing import ALONE_DB, calibrate, made_up
from engines.precision import convolutions
from engines.runtime import pad
from export.options import ExportOptions
from pipeline.sources import SourceOptions, open_source

COUNT = 8
"""Frames of a clip that int8 is calibrated with."""
FURTHEST = 250
"""Frames between two of them at most, so that a long film is not decoded whole."""


def bearing(frame: Path, style: Path, options: ExportOptions) -> dict[str, float]:
    """What `lower` needs for the graph of a frame side: which convolutions, and how far each."""
    model = onnx.load(frame)
    if options.precision not in ALONE_DB:
        return dict.fromkeys(convolutions(model.graph), 0.0)
    frames = frames_of(options.clip, min(options.checked[0]))
    return calibrate(model, style, frames, options.precision)


def frames_of(clip: str | None, short_px: int) -> list[Frames]:
    """Frames (1,H,W,3) spread over a video, their short side `short_px`, padded; without a video
    two made-up ones."""
    if clip is None:
        return made_up(short_px)
    with open_source(clip, SourceOptions(size=short_px)) as source:
        step = min(max(1, (source.info.frames or 0) // COUNT), FURTHEST)
        taken = islice(source.frames(), 0, step * COUNT, step)
        return [pad(frame.pixels)[None].copy() for frame in taken]
