"""The frame pool: slots in memory that all stages share, made by the driver.

On one machine pixels never travel through Ray; a slot number does. On Linux the memory has no name
in any folder: stages reach it through the driver's open descriptor, so it does not depend on the
size of /dev/shm, and however the program ends the kernel takes it back. Elsewhere it is a mapped
temporary file. To a stylizer on another node the pixels go with the call.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import StreamError
from pipeline.frame import Pixels


@dataclass(frozen=True, slots=True)
class PoolHandle:
    """What a stage needs to reach the pool. All slots hold one RGB frame of the same size."""

    path: str
    slots: int
    height: int
    width: int
    beside: int = 0
    """So many slots after a painted frame lies what it was painted from; 0: nowhere."""


class FramePool:
    """The mapped slots. The driver's object owns the memory; stages attach by handle."""

    def __init__(self, handle: PoolHandle, owned: int | None = None) -> None:
        self.handle, self._owned = handle, owned
        self._pixels: np.memmap | None = None
        self._closed = False

    @classmethod
    def create(cls, slots: int, height: int, width: int, beside: int = 0) -> "FramePool":
        """New zeroed memory for `slots` frames."""
        size = slots * height * width * 3
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("stylestream")
            path = f"/proc/{os.getpid()}/fd/{descriptor}"
        else:
            descriptor, path = tempfile.mkstemp(prefix="stylestream-", suffix=".pool")
        made = cls(PoolHandle(path, slots, height, width, beside), descriptor)
        try:
            os.ftruncate(descriptor, size)
            made[0]  # mapped here, where there may be no room
            return made
        except OSError as error:
            made.close()
            raise StreamError(
                f"no room for {size >> 20} MiB of frames ({error.strerror}): use a smaller --size"
            ) from error

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frames."""
        return self.handle.width, self.handle.height

    def __getitem__(self, slot: int) -> Pixels:
        """The pixels of a slot, to read or to write in place."""
        if self._closed:
            raise ValueError("the pool is closed")
        if self._pixels is None:  # not before: a stage on another node never can
            handle = self.handle
            shape = (handle.slots, handle.height, handle.width, 3)
            self._pixels = np.memmap(handle.path, np.uint8, "r+", 0, shape)
        pixels: Pixels = self._pixels[slot]
        return pixels

    def close(self) -> None:
        """Let go of the memory; it is freed when the last process has."""
        self._pixels, self._closed = None, True
        if self._owned is None:
            return
        os.close(self._owned)
        if not self.handle.path.startswith("/proc/"):
            Path(self.handle.path).unlink(missing_ok=True)
        self._owned = None


class SentFrames:
    """Stands for the pool on a node that cannot reach it: the slots of one call, with the pixels
    that came with it."""

    def __init__(self, handle: PoolHandle, slots: Sequence[int], frames: NDArray[np.uint8]) -> None:
        """`frames`: (N,H,W,3), one for each of the N slots."""
        self.handle = replace(handle, beside=0)  # what was painted from is where it came from
        self._pixels: dict[int, Pixels] = dict(zip(slots, frames, strict=True))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frames."""
        return self.handle.width, self.handle.height

    def __getitem__(self, slot: int) -> Pixels:
        """The pixels of a slot; those of one that did not come are to be written."""
        empty = (self.handle.height, self.handle.width, 3)
        if slot not in self._pixels:
            self._pixels[slot] = np.empty(empty, np.uint8)
        return self._pixels[slot]
