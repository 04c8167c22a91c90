"""python -m benchmarks.soak [FRAMES [MODEL]]: a day of video at 25 frames a second, small and as
fast as it goes. Fails when memory, handles, threads or shared memory of the run grow."""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

from pipeline.plan import planned
from pipeline.report import Progress
from pipeline.request import StreamOptions
from pipeline.run import Pipeline

DAY = 25 * 24 * 3600
SAMPLES = 40
WARM_UP = 60_000
"""Frames (40 minutes of video) after which nothing may grow any more; half of a shorter run. Until
then Ray's processes and the allocators of the stages take what they keep."""
MOST_MIB = 1.0
"""Growth of the memory of all processes together for each 100,000 frames."""


class Watch:
    """Takes SAMPLES samples of all processes of this run, evenly over its frames."""

    def __init__(self, frames: int) -> None:
        self._every = max(1, frames // SAMPLES)
        self.samples: list[tuple[int, float, int, int, int]] = []
        """Frames, MiB resident, handles, threads, mappings of named shared memory."""

    def __call__(self, progress: Progress) -> None:
        """Is told how far the run is."""
        if progress.frames < self._every * (len(self.samples) + 1):
            return
        family = [used for pid in processes() if (used := of_process(pid))]
        if not family:
            sys.exit("error: this looks into /proc, which this system does not have")
        memory, handles, threads, shared = (sum(column) for column in zip(*family, strict=True))
        sample = progress.frames, memory, int(handles), int(threads), int(shared)
        self.samples.append(sample)
        print("{:>10} frames {:>9.2f} MiB {:>5} handles {:>5} threads {:>4} shared".format(*sample))

    def verdict(self) -> list[str]:
        """What grew."""
        most = self.samples[-1][0] / 2
        late = np.array([sample for sample in self.samples if sample[0] >= min(WARM_UP, most)])
        slope = float(np.polyfit(late[:, 0], late[:, 1], 1)[0]) * 1e5
        print(f"memory grows by {slope:.3f} MiB for each 100,000 frames (wanted: < {MOST_MIB})")
        grown = [f"memory by {slope:.2f} MiB per 100,000 frames"] if slope > MOST_MIB else []
        half = len(late) // 2
        for column, name in enumerate(("handles", "threads", "shared memory"), 2):
            if late[half:, column].min() > late[:half, column].max():
                grown.append(name)
        return grown


def processes() -> list[int]:
    """This process and all below it."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        parents[int(entry.name)] = int(stat.rsplit(")", 1)[1].split()[1])
    ours = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return sorted(ours)


def of_process(pid: int) -> tuple[float, int, int, int] | None:
    """MiB resident without files and shared pages, handles, threads, shared memory; None: gone."""
    place = Path(f"/proc/{pid}")
    try:
        lines = (place / "status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines if ":" in line)
        handles = len(os.listdir(place / "fd"))
        shared = sum("/dev/shm/" in line for line in (place / "maps").read_text().splitlines())
        return int(status["RssAnon"].split()[0]) / 1024, handles, int(status["Threads"]), shared
    except (OSError, KeyError):
        return None


def main(words: list[str]) -> int:
    """Run, say what grew -> exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("frames", nargs="?", type=int, default=DAY)
    parser.add_argument("model", nargs="?", default="identity")
    asked = parser.parse_args(words)
    frames, model = asked.frames, asked.model
    style = [] if model == "identity" else ["styles/wave.jpg"]
    source = f"test:size=64x48,rate=25,frames={frames}"
    watch = Watch(frames)
    options = StreamOptions(model=model, style=style, output=["null:"], no_audio=True)
    with planned(source, options) as plan, Pipeline(plan, watch) as pipeline:
        pipeline.run()
    print(*pipeline.report.lines(), sep="\n")
    grown = watch.verdict()
    for text in grown:
        print(f"grew: {text}", file=sys.stderr)
    return bool(grown)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
