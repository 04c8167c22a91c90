"""`--metrics PORT`: figures of a running stream for Prometheus, and whether it is well.

    GET /metrics    the report so far, in Prometheus' format
    GET /health     200 while frames come out, else 503; how long none has, as JSON

For this machine only: it listens on loopback and answers to no other name.
"""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from pipeline.errors import ConfigError
from pipeline.report import Progress, Report
from pipeline.timings import Timings

HOST = "127.0.0.1"
LOCAL = {"127.0.0.1", "localhost", "[::1]"}
STILL_S = 10.0
"""Without a new frame; a model that is slower than that gets SLOW times what it needs."""
SLOW = 3
EDGES_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
MIB = 1 << 20


class Metrics(Collector):
    """A server in a thread, as a context. Call it with each Progress."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._progress: Progress | None = None
        self._frames, self._moved_s = 0, time.monotonic()

    def __enter__(self) -> Self:
        """ConfigError: the port cannot be used."""
        registry = CollectorRegistry()
        registry.register(self)
        self._text = make_wsgi_app(registry)
        try:
            self._server = make_server(HOST, self._port, self._answer, ThreadingWSGIServer, Quiet)
        except OSError as error:
            why = error.strerror
            raise ConfigError(f"--metrics: port {self._port} cannot be used ({why})") from error
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __call__(self, progress: Progress) -> None:
        if progress.frames > self._frames:  # what is done again after a fall back is no progress
            self._frames, self._moved_s = progress.frames, time.monotonic()
        self._progress = progress

    @property
    def still_s(self) -> float:
        """Seconds since a new frame came out, or since the start."""
        return time.monotonic() - self._moved_s

    @property
    def limit_s(self) -> float:
        """How long that may be."""
        timings = self._progress.report.stages["Stylizer"] if self._progress else Timings()
        return max(STILL_S, SLOW * timings.percentile_ms(0.95) / 1e3)

    # -- the server's threads --------------------------------------------------------------------

    def _answer(self, request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        host = str(request.get("HTTP_HOST", ""))
        if host.rpartition(":")[0] not in LOCAL and host not in LOCAL:
            return plain(start, "403 Forbidden", "text/plain", "only for localhost\n")
        if request["PATH_INFO"] == "/metrics":
            text: Iterable[bytes] = self._text(request, start)
            return text
        if request["PATH_INFO"] == "/health":
            return self._health(start)
        return plain(start, "404 Not Found", "text/plain", "there are /metrics and /health\n")

    def _health(self, start: StartResponse) -> Iterable[bytes]:
        healthy = self._frames > 0 and self.still_s < self.limit_s
        about = {
            "healthy": healthy,
            "frames_out": self._frames,
            "still_s": round(self.still_s, 3),
            "limit_s": round(self.limit_s, 3),
        }
        status = "200 OK" if healthy else "503 Service Unavailable"
        return plain(start, status, "application/json", json.dumps(about) + "\n")

    def collect(self) -> Iterator[Metric]:
        """All figures there are by now."""
        yield gauge("frame_age_seconds", "Since the last new frame came out", self.still_s)
        if self._progress is None:
            return
        report = self._progress.report
        about = {"input": report.input, "output": report.output}
        yield InfoMetricFamily("stylestream", "What goes where", about)
        yield from counters(report)
        yield from machine(report)
        yield from queues(self._progress)


class Quiet(WSGIRequestHandler):
    """Does not write a line for each request."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def plain(start: StartResponse, status: str, kind: str, text: str) -> Iterable[bytes]:
    """An answer that is not for a cache."""
    start(status, [("Content-Type", kind), ("Cache-Control", "no-store")])
    return [text.encode()]


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
