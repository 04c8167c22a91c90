"""Where memory runs out: smaller batches, then tiles.

Engines raise MemoryError when what they are given does not fit; `shortage` makes it one of what
runtimes raise.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf

import numpy as np

from engines import Frames
from models.allocation import give_back

SIDES = (1024, 512, 256)
"""Of tiles, px; smaller ones would be overlap for the greater part."""
WORDS = ("alloc", "memory", "could not create a primitive", "unable to find an engine to execute")
"""One of these is in what torch, CUDA, oneDNN, cuDNN, ONNX Runtime, OpenVINO and TensorRT say, in
small letters."""
OTHER = "illegal memory access"
"""A fault in CUDA, after which nothing runs: it is no lack of memory."""


@contextmanager
def shortage(*kinds: type[Exception]) -> Iterator[None]:
    """MemoryError in place of RuntimeError, and of these kinds, where memory is the reason."""
    try:
        yield
    except (RuntimeError, *kinds) as error:
        for line in str(error).splitlines():
            text = line.lower()
            if OTHER not in text and any(word in text for word in WORDS):
                raise MemoryError(line.strip()) from None
        raise


@dataclass(frozen=True, slots=True)
class Portion:
    """What is painted at once: so many frames, or a tile of so many px a side of one."""

    frames: int
    side: int | None
    area: int
    """px"""

    def __str__(self) -> str:
        if self.side:
            return f"in tiles of {self.side} px"
        return f"{self.frames} at a time"


class Sparing:
    """Paints with the memory there is. What failed for a size of frame is not tried again."""

    def __init__(self, paint: Callable[..., Frames], in_tiles: Callable[..., Frames]) -> None:
        """`paint(frames, *how)` paints all of them at once, `in_tiles(frame, side, *how)` one in
        tiles; both raise MemoryError."""
        self._paint, self._in_tiles = paint, in_tiles
        self._failed: dict[tuple[int, ...], int] = {}
        self.notice = ""

    def __call__(self, frames: Frames, *how: object) -> Frames:
        """Frames (N,H,W,3), painted. MemoryError: not even the smallest portion fits."""
        size, reason = frames.shape[1:3], ""
        for portion in portions(len(frames), *size):
            if portion.area >= self._failed.get(size, inf):
                continue
            try:
                painted = self._portioned(frames, portion, *how)
            except MemoryError as error:
                reason = str(error)
            else:
                if size in self._failed:
                    w, h = size[::-1]
                    self.notice = f"memory is short: frames of {w}x{h} are painted {portion}"
                return painted
            # Only here has the traceback let go of what was in the making.
            give_back()
            self._failed[size] = portion.area
        del self._failed[size]
        raise MemoryError(
            f"memory is too short to paint frames of {size[1]}x{size[0]}, however small the tiles "
            f"({reason}): --size paints smaller ones"
        )

    def _portioned(self, frames: Frames, portion: Portion, *how: object) -> Frames:
        if portion.side:
            return np.concatenate([self._in_tiles(f[None], portion.side, *how) for f in frames])
        pieces = range(0, len(frames), portion.frames)
        painted = [self._paint(frames[i : i + portion.frames], *how) for i in pieces]
        return painted[0] if len(painted) == 1 else np.concatenate(painted)


def portions(count: int, height: int, width: int) -> Iterator[Portion]:
    """Of a batch, from the largest on."""
    while count:
        yield Portion(count, None, count * height * width)
        count //= 2
    for side in SIDES:
        if side < max(height, width):
            yield Portion(1, side, min(side, height) * min(side, width))
