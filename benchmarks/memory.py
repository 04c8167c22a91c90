"""Memory of a long film against a short one."""

import tempfile
from collections.abc import Iterator

from benchmarks import Row, paint

RATE = 25


def measure() -> Iterator[Row]:
    """Identity at 720p into an MP4 (decoded frames are generated): 1 minute, then 10."""
    short, long = (peak(minutes) for minutes in (1, 10))
    yield Row("peak memory of 1 minute of 720p, all processes, MiB", short, "")
    yield Row("peak memory of 10 minutes / of 1 minute", long / short, "<= 1.05")


def peak(minutes: int) -> float:
    """Sum of the largest resident sizes of all processes of the run, MiB."""
    with tempfile.TemporaryDirectory() as folder:
        source = f"test:size=1280x720,rate={RATE},frames={minutes * 60 * RATE}"
        report = paint(source, "--model", "identity", "-o", f"{folder}/out.mp4")
    return float(sum(report["peak_memory_mib"].values()))
