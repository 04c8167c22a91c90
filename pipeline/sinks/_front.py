"""The index of an MP4 or MOV file, moved from its end to its front, where a player that reads while
it loads finds it at once. All else is copied byte for byte: samples, edit lists, chapters, tags."""

import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

LONGEST_S, HURRIED_S = 120.0, 2.0
"""For the whole copy: whoever waits for the file takes a writer for dead that is silent longer; who
has interrupted the run wants it to end."""
_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
"""Boxes on the way from the index to the places of the samples."""
_PLACES = {b"stco": ">u4", b"co64": ">u8"}
_BLOCK = 1 << 20
_4_GIB = 1 << 32

Box = tuple[bytes, int, int]
"""Kind, begin and end in bytes."""


def index_first(source: Path, target: Path, hurry: bool) -> None:
    """Writes what `source` holds, whose index is its last box, to `target`.

    OSError (the disk is full, or the time over) and ValueError (the index is elsewhere) leave a
    `target` that is not whole."""
    limit_s = HURRIED_S if hurry else LONGEST_S
    until_s = time.monotonic() + limit_s
    size = source.stat().st_size
    with source.open("rb") as file, target.open("wb") as out:
        first, *_, (kind, begin, _) = _boxes(file, 0, size)
        if first[0] != b"ftyp" or kind != b"moov":
            raise ValueError("it is not where it was written")
        index = _read(file, begin, size)
        # Places beyond 4 GiB need 8 bytes each; both forms of the index must be within the sum.
        form = b"co64" if size + 2 * len(index) >= _4_GIB else b"stco"
        grown = len(_shifted(index, 0, form))
        out.write(_read(file, 0, first[2]))
        out.write(_shifted(index, grown, form))
        for place in range(first[2], begin, _BLOCK):
            out.write(_read(file, place, min(place + _BLOCK, begin)))
            if time.monotonic() > until_s:
                raise TimeoutError(0, f"to copy it takes more than {limit_s:.0f} s")


def _read(file: BinaryIO, begin: int, end: int) -> bytes:
    file.seek(begin)
    return file.read(end - begin)


def _boxes(file: BinaryIO, begin: int, end: int) -> Iterator[Box]:
    """What lies between two places, in order."""
    while begin < end:
        head = _read(file, begin, begin + 16)
        size = int.from_bytes(head[:4])
        size = int.from_bytes(head[8:]) if size == 1 else size
        if not 8 <= size <= end - begin:
            raise ValueError("its boxes do not fit")
        yield head[4:8], begin, begin + size
        begin += size


def _shifted(box: bytes, by: int, form: bytes) -> bytes:
    """A box of the index with all places of samples moved `by` bytes, and written in `form`."""
    kind, body = box[4:8], box[8:]
    if kind in _PARENTS:
        within = _boxes(BytesIO(body), 0, len(body))
        body = b"".join(_shifted(body[begin:end], by, form) for _, begin, end in within)
    elif kind in _PLACES:
        places = np.frombuffer(body, _PLACES[kind], offset=8).astype(np.int64) + by
        kind, body = form, body[:8] + places.astype(_PLACES[form]).tobytes()
    return (8 + len(body)).to_bytes(4) + kind + body
