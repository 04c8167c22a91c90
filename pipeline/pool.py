"""The frame pool: slots in memory that all stages share, made by the driver.

Pixels never travel through Ray; a slot number does. On Linux the memory has no name in any folder:
stages reach it through the driver's open descriptor, so it is not bounded by the size of /dev/shm,
and however the program ends the kernel takes it back. Elsewhere it is a mapped temporary file.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
        shape = (handle.slots, handle.height, handle.width, 3)
        self._pixels: np.memmap | None = np.memmap(handle.path, np.uint8, "r+", 0, shape)

    @classmethod
    def create(cls, slots: int, height: int, width: int, beside: int = 0) -> "FramePool":
        """New zeroed memory for `slots` frames."""
        size = slots * height * width * 3
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("stylestream")
            path = f"/proc/{os.getpid()}/fd/{descriptor}"
        else:
            descriptor, path = tempfile.mkstemp(prefix="stylestream-", suffix=".pool")
        try:
            os.ftruncate(descriptor, size)
            return cls(PoolHandle(path, slots, height, width, beside), descriptor)
        except OSError as error:
            raise StreamError(
                f"no room for {size >> 20} MiB of frames ({error.strerror}): use a smaller --size"
            ) from error

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frames."""
        return self.handle.width, self.handle.height

    def __getitem__(self, slot: int) -> Pixels:
        """The pixels of a slot, to read or to write in place."""
        if self._pixels is None:
            raise ValueError("the pool is closed")
        pixels: Pixels = self._pixels[slot]
        return pixels

    def close(self) -> None:
        """Let go of the memory; it is freed when the last process has."""
        self._pixels = None
        if self._owned is None:
            return
        os.close(self._owned)
        if not self.handle.path.startswith("/proc/"):
            Path(self.handle.path).unlink(missing_ok=True)
        self._owned = None
