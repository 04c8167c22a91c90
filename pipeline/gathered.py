"""The figures of several streams as one: `metrics: PORT` beside `streams:`.

Each stream serves its own on some port; whoever asks here is told those of all, each with the name
of its stream as a label, so that streams may come and go without a word to Prometheus.
"""

import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from pipeline.metrics_server import HOST

ANSWER_S = 5.0


class Watched(Protocol):
    """A stream that serves figures of its own."""

    name: str
    port: int | None

    @property
    def state(self) -> str:
        """In a word: `running`, `done`, ..."""
        ...


class Gathered(Collector):
    """Of streams that serve theirs; asked from other threads."""

    def __init__(self, streams: Sequence[Watched]) -> None:
        self._streams = streams

    def collect(self) -> Iterator[Metric]:
        """All figures that any stream has by now, and whether it runs."""
        running = GaugeMetricFamily("stylestream_up", "Whether it runs", labels=["stream"])
        found: dict[str, Metric] = {}
        for stream in self._streams:
            running.add_metric([stream.name], stream.state == "running")
            for own in text_string_to_metric_families(told(stream, "/metrics")):
                about = own.name, own.documentation, own.type
                family = found.setdefault(own.name, Metric(*about))
                label = {"stream": stream.name}
                family.samples += [s._replace(labels=label | s.labels) for s in own.samples]
        yield running
        yield from found.values()

    def health(self) -> dict[str, Any]:
        """Well when every stream is that has not ended well."""
        each = {}
        for stream in self._streams:
            about = json.loads(told(stream, "/health") or '{"healthy": false}')
            about["state"] = stream.state
            each[stream.name] = about
        well = all(a["healthy"] or a["state"] == "done" for a in each.values())
        return {"healthy": well, "streams": each}


def told(stream: Watched, path: str) -> str:
    """What a stream answers; nothing when it does not."""
    if stream.port is None:
        return ""
    connection = http.client.HTTPConnection(HOST, stream.port, timeout=ANSWER_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def free_ports(count: int) -> list[int]:
    """So many ports of this machine that nobody listens on."""
    with ExitStack() as held:
        taken = [held.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [int(s.getsockname()[1]) for s in taken]
