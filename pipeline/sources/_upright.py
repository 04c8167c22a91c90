"""Which way up a picture is, from its display matrix or EXIF tag."""

import struct
from typing import cast

import numpy as np
from av.buffer import Buffer
from av.video.frame import VideoFrame

from pipeline.frame import Pixels


def turn_of(frame: VideoFrame) -> tuple[int, bool]:
    """(quarter turns counter-clockwise, mirrored first?) that make the picture upright."""
    side = frame.side_data.get("DISPLAYMATRIX")
    if side is None:
        return 0, False
    a, b, _, c, d = struct.unpack("<5i", memoryview(cast(Buffer, side))[:20])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, c = -a, -c
    angle = np.degrees(np.arctan2(b, a))
    return round(-angle / 90) % 4, mirrored


def upright(pixels: Pixels, turn: tuple[int, bool]) -> Pixels:
    """The picture turned (and mirrored) as `turn_of` says."""
    quarters, mirrored = turn
    if mirrored:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, quarters))
