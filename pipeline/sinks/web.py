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
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.control import Figures, change_of
from pipeline.errors import SinkError
from pipeline.frame import Frame, Pixels, StreamInfo
from pipeline.sinks import Sink, SinkOptions, check_folder
from pipeline.sinks._relay import Relay

HOST, PORT = "127.0.0.1", 8642
SHORTEST_TOKEN = 16
INPUTS = 4
"""Kept of the newest frames: the page says it is frozen one or two frames later."""


class Head(NamedTuple):
    """What comes before a frame."""

    pts: int
    number: int
    """Counts the frames, from 1."""
    again: bool
    """It was handed over before: no new one came."""
    input_of: int
    """The number of the frame whose input comes after the painting; 0: none does."""
    figures: int
    """Bytes of figures as JSON, which come first."""


HEAD = struct.Struct("<qQ?QI")
"""A Head as bytes."""


def prepare(text: str, options: SinkOptions) -> None:
    """Refuses an address that is taken, and one that others could reach without a token."""
    host, port = address_of(text)
    if not options.web_token and not ipaddress.ip_address(host).is_loopback:
        raise SinkError(
            f"{text}: others could reach this page: --web-token FILE makes it ask for a token"
        )
    if options.web_names and not options.web_token:
        raise SinkError(
            f"{text}: others reach this page by --web-name {options.web_names[0]}: "
            "--web-token FILE makes it ask for a token"
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
        self._first = frozenset(self._known)
        self._place = {
            "host": host,
            "port": port,
            "token": token_in(Path(options.web_token)) if options.web_token else None,
            "names": options.web_names,
            "paints": options.paints,
            "recordings": options.recordings,
            "rate": float(info.rate or 25),
            "input": options.source,
        }
        self._number = 0
        self._inputs: deque[tuple[int, Pixels]] = deque(maxlen=INPUTS)
        self._with_input = False
        self._held: tuple[int, Pixels] | None = None  # of the frame at which the page is frozen
        self._figures: Figures = {}

    def _about(self) -> dict[str, Any]:
        self._with_input, self._held = False, None  # a page that begins has asked for nothing
        info = self._info
        size = {"width": info.width, "height": info.height, "aspect": str(info.aspect)}
        return self._place | size | {"wanted": self._wanted, "sounds": self.hears}

    def _pictures(self, frame: Frame) -> list[Pixels]:
        """The input is always kept, for who asks once no frame comes any more."""
        before = frame.pixels if frame.before is None else frame.before
        return [*super()._pictures(frame), before.copy()]

    def _parts(self, pts: int, pictures: list[Pixels], again: bool) -> Iterable[bytes | memoryview]:
        painted, before = pictures
        if not again:
            self._number += 1
            self._inputs.append((self._number, before))
        of, seen = self._held or (self._number, before)
        figures = json.dumps(self._figures).encode()
        head = Head(pts, self._number, again, of if self._with_input else 0, len(figures))
        yield HEAD.pack(*head) + figures
        yield painted.data.cast("B")
        if self._with_input:
            yield seen.data.cast("B")

    def tell(self, figures: Figures) -> None:
        """Goes to the page with the next frame."""
        self._figures = figures

    def _hold(self, number: int) -> None:
        """The page is frozen at that frame, 0: no longer. Its input is kept, or if it is gone
        already the next one to it."""
        near = min(self._inputs, key=lambda known: abs(known[0] - number), default=None)
        self._held = (number, near[1]) if number and near else None

    def _heard(self, line: str) -> None:
        try:
            words = json.loads(line)
            if "with_input" in words:
                self._with_input = bool(words["with_input"])
                return
            if "held" in words:
                self._hold(int(words["held"]))
                return
            offers = set(words.pop("offers"))
            change = change_of(words, self._known)
            seen = {path for region in change.regions or () for path in region.shares}
            gone = self._known - self._first - offers - seen
            self._known -= gone
            self._asked.append(replace(change, forget=frozenset(gone)))
            # A page that must be started again goes on from here.
            said = {key: value for key, value in words.items() if value is not None}
            self._wanted = self._wanted | said
        except (ValueError, OSError, TypeError, KeyError):
            self._why = "the page asked for something that makes no sense"
