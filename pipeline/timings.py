"""Times of a stage in constant memory, and what a process has used of the machine."""

import math
import re
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

STEP = 1.02
SMALLEST_S = 1e-6
LOOK_S = 1.0
"""As long what the helpers of a process use is taken to be what it was."""

_helpers = (-math.inf, 0.0)


class Timings:
    """A histogram of seconds with bins 2 % apart: percentiles of any number of frames."""

    def __init__(self) -> None:
        self._bins = np.zeros(1200, np.int64)
        self.total_s = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        """Note `count` frames that took `seconds` each."""
        place = math.log(max(seconds, SMALLEST_S) / SMALLEST_S) / math.log(STEP)
        self._bins[min(int(place), len(self._bins) - 1)] += count
        self.total_s += seconds * count

    @property
    def count(self) -> int:
        """Frames noted so far."""
        return int(self._bins.sum())

    def below(self, seconds: float) -> int:
        """Frames that took no longer, to within the width of a bin."""
        place = round(math.log(max(seconds, SMALLEST_S) / SMALLEST_S) / math.log(STEP))
        return int(self._bins[:place].sum())

    def percentile_ms(self, share: float) -> float:
        """Milliseconds that `share` (0 to 1) of the frames did not exceed."""
        if not self.count:
            return 0.0
        place = int(np.searchsorted(self._bins.cumsum(), share * self.count))
        return float(SMALLEST_S * STEP ** (place + 0.5) * 1e3)


def cpu_seconds() -> float:
    """CPU time of this process so far, all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory_mib() -> float:
    """Resident size of this process, MiB; its largest so far where only that is told."""
    return _resident_mib("VmRSS")


def peak_memory_mib() -> float:
    """Largest resident size of this process so far, MiB."""
    return _resident_mib("VmHWM")


def helpers_mib() -> float:
    """Resident size of the processes that this one has started, and of theirs, together, MiB: of
    about now. 0 where /proc does not tell."""
    global _helpers
    looked_s, mib = _helpers
    if time.monotonic() - looked_s > LOOK_S:
        mib = sum(_status_mib(pid, "VmRSS") for pid in _children("self"))
        _helpers = time.monotonic(), mib
    return mib


def _children(pid: str) -> Iterator[str]:
    """All processes beneath one."""
    for task in Path("/proc", pid, "task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # the thread has ended
            continue
        for child in children:
            yield child
            yield from _children(child)


def _status_mib(pid: str, key: str) -> float:
    """A size that /proc tells; 0 of a process that has ended."""
    try:
        found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc", pid, "status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def _resident_mib(key: str) -> float:
    # What getrusage says on Linux counts the process that started this one.
    if told := _status_mib("self", key):
        return told
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
