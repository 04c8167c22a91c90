"""`web:`, `web:8642` or `web:ADDRESS:8642`: a live page, where the stream is seen and changed.

The page is served by a process of its own (`python -m web`), which gets the frames and says what
those who watch ask for. It is for this machine, or for those who know the token.
"""

import ipaddress
import json
import os
import secrets
import socket
import struct
from pathlib import Path
from typing import Any

from pipeline.control import Figures, change_of
from pipeline.errors import SinkError
from pipeline.frame import Frame, Pixels, StreamInfo
from pipeline.sinks import Sink, SinkOptions, check_folder
from pipeline.sinks._relay import Relay

HOST, PORT = "127.0.0.1", 8642
SHORTEST_TOKEN = 16
HEAD = struct.Struct("<qB?I")
"""Before a frame: time stamp, number of pictures (painted; input), whether they are those of the
frame before, for want of new ones; bytes of figures as JSON."""


def prepare(text: str, options: SinkOptions) -> None:
    """Refuses an address that is taken, and one that others could reach without a token."""
    host, port = address_of(text)
    if not options.web_token and not ipaddress.ip_address(host).is_loopback:
        raise SinkError(
            f"{text}: others could reach this page: --web-token FILE makes it ask for a token"
        )
    if options.web_token:
        token_in(Path(options.web_token))
    if options.recordings:
        check_folder(Path(options.recordings))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise SinkError(f"{text}: port {port} cannot be used ({error.strerror})") from None


def create(text: str, info: StreamInfo, options: SinkOptions) -> Sink:
    """A sink that serves the page at `text`."""
    return WebSink(text, info, options)


def address_of(text: str) -> tuple[str, int]:
    """`web:8642` -> this machine and 8642; `web:[::]:8642`, `web:0.0.0.0`."""
    rest = text.partition(":")[2]
    host, colon, port = rest.rpartition(":")
    if rest.isdigit() or not rest:
        host, port = HOST, rest
    elif not colon or "]" in port:
        host, port = rest, ""
    host = HOST if host == "localhost" else host.strip("[]")
    try:
        ipaddress.ip_address(host)
        number = int(port or PORT)
    except ValueError:
        number = 0
    if not 0 < number < 65536:
        raise SinkError(f"{text}: write web:, web:PORT or web:ADDRESS:PORT, ADDRESS in digits")
    return host, number


def token_in(path: Path) -> str:
    """The token of a file, which is made for this user alone where there is none."""
    try:
        if not path.exists():
            with open(path, "x", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
                file.write(secrets.token_urlsafe(32) + "\n")
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise SinkError(f"token file {path} cannot be used ({reason})") from None
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise SinkError(
            f"token file {path}: a token has {SHORTEST_TOKEN} letters, digits or signs or more; "
            "without the file one is made"
        )
    return token


class WebSink(Relay):
    """Hands frames to the page, and on what is asked there."""

    module = "web"
    hears = True
    connect_s = 60.0  # it imports much, beside stages that do so too

    def __init__(self, text: str, info: StreamInfo, options: SinkOptions) -> None:
        super().__init__(text, info)
        host, port = address_of(text)
        assert options.wanted
        self._wanted = options.wanted.words()
        self._known = {path for r in options.wanted.regions or () for path in r.shares}
        self._place = {
            "host": host,
            "port": port,
            "token": token_in(Path(options.web_token)) if options.web_token else None,
            "recordings": options.recordings,
            "rate": float(info.rate or 25),
            "input": options.source,
        }
        self._with_input = False
        self._figures: Figures = {}

    def _about(self) -> dict[str, Any]:
        size = {"width": self._info.width, "height": self._info.height}
        return self._place | size | {"wanted": self._wanted, "sounds": self.hears}

    def _pictures(self, frame: Frame) -> list[Pixels]:
        pictures = super()._pictures(frame)
        if self._with_input and frame.before is not None:
            pictures.append(frame.before.copy())
        return pictures

    def _head(self, pts: int, pictures: list[Pixels], again: bool) -> bytes:
        figures = json.dumps(self._figures).encode()
        return HEAD.pack(pts, len(pictures), again, len(figures)) + figures

    def tell(self, figures: Figures) -> None:
        """Goes to the page with the next frame."""
        self._figures = figures

    def _heard(self, line: str) -> None:
        try:
            words = json.loads(line)
            if "with_input" in words:
                self._with_input = bool(words["with_input"])
                return
            self._asked.append(change_of(words, self._known))
            # A page that must be started again goes on from here.
            said = {key: value for key, value in words.items() if value is not None}
            self._wanted = self._wanted | said
        except (ValueError, OSError, TypeError, KeyError):
            self._why = "the page asked for something that makes no sense"
