"""Answers `GET /metrics` with figures for Prometheus and `GET /health` with whether all is well.

For this machine only: it listens on loopback and answers to no other name.
"""

import json
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from pipeline.errors import ConfigError

HOST = "127.0.0.1"
LOCAL = {"127.0.0.1", "localhost", "[::1]"}


class MetricsServer:
    """A server in a thread, as a context. `health` says {"healthy": bool, ...}."""

    def __init__(self, port: int, figures: Collector, health: Callable[[], dict[str, Any]]) -> None:
        registry = CollectorRegistry()
        registry.register(figures)
        self._port, self._health = port, health
        self._text = make_wsgi_app(registry)

    def __enter__(self) -> Self:
        """ConfigError: the port cannot be used."""
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

    # -- the server's threads --------------------------------------------------------------------

    def _answer(self, request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        host = str(request.get("HTTP_HOST", ""))
        if host.rpartition(":")[0] not in LOCAL and host not in LOCAL:
            return plain(start, "403 Forbidden", "text/plain", "only for localhost\n")
        if request["PATH_INFO"] == "/metrics":
            text: Iterable[bytes] = self._text(request, start)
            return text
        if request["PATH_INFO"] == "/health":
            about = self._health()
            status = "200 OK" if about["healthy"] else "503 Service Unavailable"
            return plain(start, status, "application/json", json.dumps(about) + "\n")
        return plain(start, "404 Not Found", "text/plain", "there are /metrics and /health\n")


class Quiet(WSGIRequestHandler):
    """Does not write a line for each request."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def plain(start: StartResponse, status: str, kind: str, text: str) -> Iterable[bytes]:
    """An answer that is not for a cache."""
    start(status, [("Content-Type", kind), ("Cache-Control", "no-store")])
    return [text.encode()]
