"""Numbers drawn into a picture as black and white blocks, which lossy video leaves readable.

A row of blocks at the top holds the number of a frame; the row beneath it, in live scenes, when the
frame was there: so that what comes out anywhere tells how old it is.
"""

import time
from zlib import adler32

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

CODE_BITS, CHECK_BITS = 32, 8
WRAP_MS = 1 << CODE_BITS
"""A time code counts milliseconds since 1970 and begins again after 50 days."""
MOST_S = 600.0
"""Older, or that much in the future: then it was no time code."""


def draw(picture: Pixels, number: int, bits: int, row: int) -> None:
    """White for a 1, black for a 0, lowest bit on the left."""
    side = side_of(picture)
    for bit in range(bits):
        colour = 255 if number >> bit & 1 else 0
        picture[row * side : (row + 1) * side, bit * side : (bit + 1) * side] = colour


def read(picture: Pixels, bits: int, row: int) -> int:
    """What was drawn there, taken from the middles of the blocks."""
    side = side_of(picture)
    top, rim = row * side, side // 4
    line = picture[top + rim : top + side - rim, : bits * side].mean((0, 2)).reshape(bits, side)
    return sum(1 << bit for bit in range(bits) if line[bit, rim : side - rim].mean() > 127)


def draw_time(picture: Pixels, at_s: float) -> None:
    """The time code of `at_s` (seconds since 1970); left out where it has no room."""
    if side_of(picture) * (CODE_BITS + CHECK_BITS) <= picture.shape[1]:
        code = round(at_s * 1e3) % WRAP_MS
        draw(picture, code | check(code) << CODE_BITS, CODE_BITS + CHECK_BITS, 1)


def age_s(picture: Pixels, now_s: float | None = None) -> float | None:
    """How old a picture is by its time code; None where it has none that can be read."""
    if side_of(picture) * (CODE_BITS + CHECK_BITS) > picture.shape[1]:
        return None
    found = read(picture, CODE_BITS + CHECK_BITS, 1)
    code = found % WRAP_MS
    if found >> CODE_BITS != check(code):
        return None
    now_ms = round((time.time() if now_s is None else now_s) * 1e3)
    past = (now_ms - code) % WRAP_MS
    age = (past - WRAP_MS if past > WRAP_MS // 2 else past) / 1e3
    return age if abs(age) <= MOST_S else None


def check(code: int) -> int:
    """A byte that tells a time code from a picture."""
    return adler32(code.to_bytes(CODE_BITS // 8)) % (1 << CHECK_BITS)


def side_of(picture: Pixels) -> int:
    """Of a block, px."""
    return max(4, int(picture.shape[1]) // 64)
