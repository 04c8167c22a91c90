"""`--metrics PORT`: figures of a running stream for Prometheus, and whether it is well."""

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from pipeline.heartbeat import SLOW, Heartbeat
from pipeline.report import Progress, Report
from pipeline.timings import Timings

STILL_S = 10.0
"""Without a new frame; a model or a source that is slower gets SLOW times what it needs."""
EDGES_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
MIB = 1 << 20


class Metrics(Collector):
    """The figures of the latest Progress that it was called with; asked from other threads."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._frames, self._heart = 0, Heartbeat(STILL_S)

    def __call__(self, progress: Progress) -> None:
        if progress.frames > self._frames:  # what is done again after a fall back is no progress
            self._frames = progress.frames
            self._heart.beat()
        self._progress = progress

    @property
    def still_s(self) -> float:
        """Seconds since a new frame came out, or since the start."""
        return self._heart.still_s

    @property
    def limit_s(self) -> float:
        """How long that may be."""
        timings = self._progress.report.stages["Stylizer"] if self._progress else Timings()
        return max(self._heart.limit_s, SLOW * timings.percentile_ms(0.95) / 1e3)

    def health(self) -> dict[str, Any]:
        """Whether frames come out, how long none has, and why the source is away, if it is."""
        return {
            "healthy": self._frames > 0 and self.still_s < self.limit_s,
            "frames_out": self._frames,
            "still_s": round(self.still_s, 3),
            "limit_s": round(self.limit_s, 3),
            "away": self._progress.report.away if self._progress else "",
        }

    def collect(self) -> Iterator[Metric]:
        """All figures there are by now."""
        yield gauge("frame_age_seconds", "Since the last new frame came out", self.still_s)
        if self._progress is None:
            return
        report = self._progress.report
        about = {"input": report.input, "output": report.output}
        yield InfoMetricFamily("stylestream", "What goes where", about)
        yield from counters(report)
        yield from outputs(report)
        yield from machine(report)
        yield gauge("source_up", "1 while the source is there, 0 while not", not report.away)
        yield from queues(self._progress)


def gauge(name: str, about: str, value: float) -> Metric:
    """A figure that goes up and down."""
    return GaugeMetricFamily(f"stylestream_{name}", about, value)


def counters(report: Report) -> Iterator[Metric]:
    """What only grows."""
    for name, about, value in (
        ("frames_in", "Frames from the source", report.frames_in),
        ("frames_out", "Frames in the output", report.frames_out),
        ("reconnects", "Times that a live source came back", report.reconnects),
    ):
        yield CounterMetricFamily(f"stylestream_{name}", about, value)
    for name, label, about, values in (
        ("frames_dropped", "cause", "Live frames that were left out", report.drops),
        ("restarts", "stage", "Stages that died or hung and were started again", report.restarts),
        ("cpu_seconds", "process", "CPU time", report.cpu_s),
    ):
        family = CounterMetricFamily(f"stylestream_{name}", about, labels=[label])
        for key, count in dict(values).items():
            family.add_metric([key], count)
        yield family


def outputs(report: Report) -> Iterator[Metric]:
    """How each output is: one that is lost is no error as long as it comes back."""
    up = labelled("output_up", "Whether it takes frames")
    waiting = labelled("output_queue_frames", "Frames that wait for it")
    room = labelled("output_queue_capacity", "Frames that may")
    lost = counted("output_lost", "Times that it went away")
    dropped = counted("output_dropped", "Frames that came too fast for it")
    for name, outlet in dict(report.outputs).items():
        up.add_metric([name], outlet.up)
        waiting.add_metric([name], outlet.waiting)
        room.add_metric([name], outlet.room)
        lost.add_metric([name], outlet.lost)
        dropped.add_metric([name], outlet.dropped)
    yield from (up, waiting, room, lost, dropped)


def labelled(name: str, about: str) -> GaugeMetricFamily:
    """A figure of each output that goes up and down."""
    return GaugeMetricFamily(f"stylestream_{name}", about, labels=["output"])


def counted(name: str, about: str) -> CounterMetricFamily:
    """A figure of each output that only grows, as long as its writer lives."""
    return CounterMetricFamily(f"stylestream_{name}", about, labels=["output"])


def machine(report: Report) -> Iterator[Metric]:
    """Times and memory."""
    stages = HistogramMetricFamily("stylestream_stage_seconds", "Work on a frame", labels=["stage"])
    for name, timings in report.stages.items():
        stages.add_metric([name], *histogram(timings))
    yield stages
    if report.latency.count:
        about = "From the arrival of a live frame until the output had taken it"
        buckets, total_s = histogram(report.latency)
        yield HistogramMetricFamily("stylestream_latency_seconds", about, buckets, total_s)
    if report.max_latency and report.max_latency["in_time"] is not None:
        held = report.max_latency
        yield gauge("in_time_ratio", "Of the frames, within --max-latency", held["in_time"])
        about = "Of the pixels, how many are painted to hold --max-latency"
        yield gauge("working_size_ratio", about, held["size_ratio"])
    if report.flicker:
        about = "Change of paint beyond the content's motion, of 255"
        flicker = GaugeMetricFamily("stylestream_flicker", about, labels=["of"])
        for of, value in report.flicker.items():
            flicker.add_metric([of], value)
        yield flicker
    memory = GaugeMetricFamily("stylestream_memory_bytes", "Resident size", labels=["process"])
    for name, mib in dict(report.memory_mib).items():
        memory.add_metric([name], mib * MIB)
    yield memory


def queues(progress: Progress) -> Iterator[Metric]:
    """How full they are."""
    waiting = GaugeMetricFamily("stylestream_queue_frames", "Frames that wait", labels=["queue"])
    room = GaugeMetricFamily("stylestream_queue_capacity", "Frames it holds", labels=["queue"])
    for name, (depth, capacity) in progress.waiting.items():
        waiting.add_metric([name], depth)
        room.add_metric([name], capacity)
    yield from (waiting, room)


def histogram(timings: Timings) -> tuple[list[tuple[str, float]], float]:
    """Cumulative counts by upper edge, and the sum in seconds."""
    # Another thread adds: what was counted last must not be less than what was counted before.
    counts = [float(timings.below(edge)) for edge in EDGES_S]
    buckets = [(str(edge), count) for edge, count in zip(EDGES_S, counts, strict=True)]
    return [*buckets, ("+Inf", float(timings.count))], timings.total_s
