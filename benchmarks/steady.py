"""python -m benchmarks.steady [SECONDS]: a camera that gives 30 frames a second of 720p before a
stylizer that takes 370 ms for each, slept, for ten minutes. Fails when the last frames are later
than those after ten seconds; then the same with `--max-latency 150ms`, for a minute."""

import argparse
import sys
from dataclasses import replace

from benchmarks.scale import sleeping
from pipeline.plan import planned
from pipeline.report import Progress, Report
from pipeline.request import StreamOptions
from pipeline.run import Pipeline

SECONDS, HELD_SECONDS = 600, 60
COST_S = 0.4
LIMIT_S = 0.150
WINDOW_S = 10.0
MOST = 1.2


class Watch:
    """Mean latency of the frames of each window, ms; told how far the run is."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self.windows: list[float] = []
        self._frames, self._total_s = 0, 0.0

    def __call__(self, progress: Progress) -> None:
        """A window has ended: note it, begin the next."""
        if progress.media_s < self._window_s * (len(self.windows) + 1):
            return
        latency = progress.report.latency
        frames, total_s = latency.count - self._frames, latency.total_s - self._total_s
        self._frames, self._total_s = latency.count, latency.total_s
        self.windows.append(1e3 * total_s / max(1, frames))
        until_s = self._window_s * len(self.windows)
        print(f"until {until_s:.0f} s: {frames} frames, {self.windows[-1]:.0f} ms", flush=True)


def run(seconds: float, limit_s: float | None, watch: Watch) -> Report:
    """Paint it slowly -> what was done."""
    source = f"test:live,size=1280x720,rate=30,duration={seconds:g}"
    options = StreamOptions(model="identity", output=["null:"], max_latency=limit_s)
    with planned(source, options) as plan:
        slow = replace(plan, stylizer=sleeping(COST_S))
        with Pipeline(slow, watch) as pipeline:
            pipeline.run()
    print(*pipeline.report.lines(), sep="\n")
    return pipeline.report


def main(words: list[str]) -> int:
    """Run, print what was seen -> exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steady", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=SECONDS)
    watch = Watch()
    run(parser.parse_args(words).seconds, None, watch)
    if len(watch.windows) < 3:
        parser.error(f"too short: it takes {3 * WINDOW_S:g} s and more")
    grown = watch.windows[-1] / watch.windows[1]
    print(f"the last {WINDOW_S:g} s / those after the first: {grown:.2f} (wanted: <= {MOST})")
    run(HELD_SECONDS, LIMIT_S, Watch())
    return int(grown > MOST)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
