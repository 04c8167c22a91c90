"""`web:` or `web:8642`: a live page on this machine, where the stream is seen and changed.

The page is served by a process of its own (`python -m web`), which gets the frames and says what
those who watch ask for.
"""

import json
import socket
from typing import Any

from pipeline.control import change_of
from pipeline.errors import SinkError
from pipeline.frame import StreamInfo
from pipeline.sinks import Sink, SinkOptions
from pipeline.sinks._relay import Relay

HOST, PORT = "127.0.0.1", 8642


def prepare(text: str, options: SinkOptions) -> None:
    """Refuses an address that is taken, or that others could reach."""
    port = port_of(text)
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise SinkError(f"{text}: port {port} cannot be used ({error.strerror})") from None


def create(text: str, info: StreamInfo, options: SinkOptions) -> Sink:
    """A sink that serves the page at `text`."""
    return WebSink(text, info, options)


def port_of(text: str) -> int:
    """`web:8642` -> 8642."""
    rest = text.partition(":")[2] or str(PORT)
    if not rest.isdigit() or not 0 < int(rest) < 65536:
        raise SinkError(f"{text}: write web: or web:PORT; the page is for this machine only")
    return int(rest)


class WebSink(Relay):
    """Hands frames to the page, and on what is asked there."""

    module = "web"

    def __init__(self, text: str, info: StreamInfo, options: SinkOptions) -> None:
        super().__init__(text, info)
        self._port, self._looks = port_of(text), options.looks

    def _about(self) -> dict[str, Any]:
        return {
            "host": HOST,
            "port": self._port,
            "width": self._info.width,
            "height": self._info.height,
            "looks": self._looks,
        }

    def _heard(self, line: str) -> None:
        try:
            self._asked.append(change_of(json.loads(line)))
        except (ValueError, OSError, TypeError):
            self._why = "the page asked for something that makes no sense"
