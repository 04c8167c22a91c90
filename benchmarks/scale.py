"""Several stylizers on one film. What each costs is slept, so that cores and GPUs do not matter:
what is measured is how well frames are dealt out and put in order again."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks import Row, pace
from engines import Frames
from pipeline.plan import planned
from pipeline.request import StreamOptions
from pipeline.run import Pipeline
from pipeline.stylizer import Stylizer

COST_S = 0.4
SIZE = 160, 96
FRAMES = 30
COUNTS = (2, 4, 8)


def sleeping(cost_s: float) -> type[Stylizer]:
    """A stylizer that paints nothing, and takes `cost_s` for each megapixel of it."""

    class Sleeping(Stylizer):
        def _paint(self, frames: Frames, shares: Any) -> Frames:
            time.sleep(cost_s * frames.size / 3e6)
            return frames

    Sleeping.__name__ = Stylizer.__name__
    return Sleeping


def measure() -> Iterator[Row]:
    """One stylizer, then several, each with the same share of the frames."""
    alone = speed(1)
    yield Row("1 stylizer whose frames take 0.4 s, frames/s", alone, f"{1 / COST_S:g} at best")
    for count in COUNTS:
        yield Row(f"{count} stylizers / {count} times one", speed(count) / alone / count, ">= 0.9")


def speed(stylizers: int) -> float:
    """Frames a second of the whole stream."""
    width, height = SIZE
    source = f"test:size={width}x{height},frames={FRAMES * stylizers}"
    options = StreamOptions(model="identity", output=["null:"], stylizers=stylizers)
    with planned(source, options) as plan:
        slow = replace(plan, stylizer=sleeping(COST_S / (width * height / 1e6)))
        with Pipeline(slow, lambda _: None) as pipeline:
            pipeline.run()
    return pace(pipeline.report.as_dict())
