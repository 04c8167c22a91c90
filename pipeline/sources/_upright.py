"""Which way up a picture is, from its display matrix or EXIF tag."""

import struct
from pathlib import Path
from typing import cast

import numpy as np
from av.buffer import Buffer
from av.video.frame import VideoFrame

from models.pictures import orientation
from pipeline.frame import Pixels

_MIRRORED = {2: 0, 4: 2, 5: 1, 7: 3}
"""Orientations of EXIF, and the quarter turns that follow."""


def turn_of(frame: VideoFrame, still: Path | None = None) -> tuple[int, bool]:
    """(quarter turns counter-clockwise, mirrored first?) that make the picture upright; `still`:
    the file, where it is of one picture."""
    try:
        side = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know EXIF, and of the matrix tells the angle alone
        said = 1 if still is None else orientation(still)
        if said in _MIRRORED:
            return _MIRRORED[said], True
        return round(frame.rotation / 90) % 4, False
    if side is None:
        return 0, False
    a, b, _, c, d = struct.unpack("<5i", memoryview(cast(Buffer, side))[:20])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    angle = np.degrees(np.arctan2(b, a))
    return round(-angle / 90) % 4, mirrored


def upright(pixels: Pixels, turn: tuple[int, bool]) -> Pixels:
    """The picture turned (and mirrored) as `turn_of` says."""
    quarters, mirrored = turn
    if mirrored:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, quarters))
