"""What the live page offers: the newest frame, the looks there are, and changes to them.

    GET  /            the page
    GET  /video       the painted stream, as MJPEG
    GET  /frame.png   the newest frame, for keeping
    GET  /api         looks with their shares, strength, keep_color, frames, frames_per_s
    POST /api         {"shares": {"wave": 0.7, "ink": 0.3}, "fade_s": 2, "strength": 0.8,
                      "keep_color": false}, each of them optional
    POST /api/looks?name=NAME   the bytes of a picture: a new look
    GET  /looks/NAME  its picture, small
    GET  /health      200 while frames come, else 503

It is for this machine: requests by another name than localhost are refused, and so are changes that
another page makes the browser send.
"""

import asyncio
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from models import codes, pictures

HERE = Path(__file__).parent
SHIPPED = HERE.parent / "styles"
LOCAL = {"127.0.0.1", "localhost", "[::1]"}
MOST_BYTES = 20 << 20
MOST_LOOKS = 64
THUMB_PX = 160
QUALITY = 85
STALE_S = 5.0
GREY = bytes(cv2.imencode(".png", np.full((THUMB_PX, THUMB_PX, 3), 128, np.uint8))[1])
"""Stands for a style code, which does not hold its picture."""

Ask = Callable[[dict[str, Any]], None]
Pixels = NDArray[np.uint8]


@dataclass
class Look:
    """A picture whose look can be had, and its share of what is seen."""

    name: str
    path: Path
    thumb: bytes
    share: float = 0.0


class Page:
    """The state of the page. `show` is called by the thread that takes frames, all else by the
    server's loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, ask: Ask, there: list[tuple[str, float]]
    ) -> None:
        """`there`: path and share of each style that the stream began with."""
        self.loop, self._ask = loop, ask
        self.looks: dict[str, Look] = {}
        self.strength, self.keep_color = 1.0, False
        self.frames = 0
        self._newest: Pixels | None = None
        self._jpeg: tuple[int, bytes] = (-1, b"")
        self._came = asyncio.Event()
        self._times: deque[float] = deque(maxlen=60)
        self._folder = tempfile.TemporaryDirectory(prefix="stylestream-looks-")
        for text, share in there:
            path = Path(text)
            is_code = path.suffix == codes.SUFFIX
            look = self.add(path.stem, GREY if is_code else path.read_bytes())
            look.path, look.share = path, share
        for path in sorted(SHIPPED.glob("*.jpg")):
            if path.stem not in self.looks:
                self.add(path.stem, path.read_bytes())

    def close(self) -> None:
        """Forget the pictures that were handed in."""
        self._folder.cleanup()

    # -- frames --------------------------------------------------------------------------------

    def show(self, pixels: Pixels) -> None:
        """The newest frame, RGB."""
        self._newest = pixels
        self.loop.call_soon_threadsafe(self._arrived)

    def _arrived(self) -> None:
        self.frames += 1
        self._times.append(time.monotonic())
        came, self._came = self._came, asyncio.Event()
        came.set()

    async def next_jpeg(self) -> bytes:
        """The next frame as JPEG, made once for all who watch."""
        await self._came.wait()
        if self._jpeg[0] != self.frames:
            self._jpeg = self.frames, self.encoded(".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return self._jpeg[1]

    def encoded(self, suffix: str, options: list[int]) -> bytes:
        """The newest frame as a picture file."""
        assert self._newest is not None
        return bytes(cv2.imencode(suffix, self._newest[..., ::-1], options)[1])

    @property
    def rate(self) -> float:
        """Frames a second, of late."""
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) / max(1e-3, self._times[-1] - self._times[0])

    @property
    def healthy(self) -> bool:
        """Whether frames come."""
        return bool(self._times) and time.monotonic() - self._times[-1] < STALE_S

    # -- looks ---------------------------------------------------------------------------------

    def add(self, name: str, data: bytes) -> Look:
        """A picture as a look. ValueError: it is none, or there are too many."""
        if len(self.looks) >= MOST_LOOKS:
            raise ValueError(f"{MOST_LOOKS} looks are the most")
        pixels, _ = pictures.decode(data)
        scale = THUMB_PX / min(pixels.shape[:2])
        small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        thumb = bytes(cv2.imencode(".jpg", small[..., ::-1])[1])
        name = "".join(c for c in name if c.isalnum() or c in "-_ ")[:40].strip() or "picture"
        while name in self.looks:
            name += "'"
        # Kept as what was decoded: nothing else of what came in is ever read again.
        path = Path(self._folder.name) / f"{len(self.looks)}.png"
        cv2.imwrite(str(path), pixels[..., ::-1])
        self.looks[name] = Look(name, path, thumb)
        return self.looks[name]

    def change(self, words: dict[str, Any]) -> None:
        """Ask the stream for it. ValueError: it makes no sense."""
        asked: dict[str, Any] = {"fade_s": number(words, "fade_s", 0, 60, 1.0)}
        if "strength" in words:
            asked["strength"] = self.strength = number(words, "strength", 0, 1.5, 1.0)
        if "keep_color" in words:
            asked["keep_color"] = self.keep_color = words["keep_color"] is True
        if "shares" in words:
            asked |= self._mixed(words["shares"])
        self._ask(asked)

    def _mixed(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(wanted, dict) or not set(wanted) <= set(self.looks):
            raise ValueError("shares are {look: number}")
        shares = {name: number(wanted, name, 0, 1e6, 0.0) for name in wanted}
        if not sum(shares.values()):
            raise ValueError("the shares are all zero")
        for look in self.looks.values():
            look.share = shares.get(look.name, 0.0) / sum(shares.values())
        return {"looks": {str(k.path): k.share for k in self.looks.values() if k.share}}

    def state(self) -> dict[str, Any]:
        """All that the page shows."""
        return {
            "looks": [{"name": k.name, "share": k.share} for k in self.looks.values()],
            "strength": self.strength,
            "keep_color": self.keep_color,
            "frames": self.frames,
            "frames_per_s": round(self.rate, 1),
        }


def number(words: dict[str, Any], key: str, low: float, high: float, usual: float) -> float:
    """A number within bounds. ValueError: it is none."""
    value = words.get(key, usual)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{key} is a number from {low:g} to {high:g}")
    return float(value)


def application(page: Page) -> web.Application:
    """The server."""
    routes = web.RouteTableDef()

    @routes.get("/")
    async def home(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(HERE / "page.html")

    @routes.get("/{file:page\\.(?:css|js)}")
    async def asset(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(HERE / request.match_info["file"])

    @routes.get("/video")
    async def video(request: web.Request) -> web.StreamResponse:
        kind = "multipart/x-mixed-replace; boundary=frame"
        answer = web.StreamResponse(headers={"Content-Type": kind, "Cache-Control": "no-store"})
        await answer.prepare(request)
        while True:
            jpeg = await page.next_jpeg()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            await answer.write(head.encode() + jpeg + b"\r\n")

    @routes.get("/frame.png")
    async def frame(_: web.Request) -> web.Response:
        if not page.frames:
            raise web.HTTPServiceUnavailable(text="no frame yet")
        return web.Response(body=page.encoded(".png", []), content_type="image/png")

    @routes.get("/api")
    async def state(_: web.Request) -> web.Response:
        return web.json_response(page.state())

    @routes.post("/api")
    async def change(request: web.Request) -> web.Response:
        words = await request.json()
        if not isinstance(words, dict):
            raise ValueError("a change is a JSON object")
        page.change(words)
        return web.json_response(page.state())

    @routes.post("/api/looks")
    async def look(request: web.Request) -> web.Response:
        added = page.add(request.query.get("name", "picture"), await request.read())
        return web.json_response({"name": added.name})

    @routes.get("/looks/{name}")
    async def thumb(request: web.Request) -> web.Response:
        found = page.looks.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        return web.Response(body=found.thumb, content_type="image/jpeg")

    @routes.get("/health")
    async def health(_: web.Request) -> web.Response:
        return web.json_response({"frames": page.frames}, status=200 if page.healthy else 503)

    app = web.Application(middlewares=[guarded], client_max_size=MOST_BYTES)
    app.add_routes(routes)
    return app


@web.middleware
async def guarded(
    request: web.Request, handler: Callable[[web.Request], Any]
) -> web.StreamResponse:
    """Only for this machine; mistakes become one line."""
    name = request.host.rpartition(":")[0] if ":" in request.host.strip("]") else request.host
    if name not in LOCAL:
        raise web.HTTPForbidden(text="this page is for localhost")
    if request.method == "POST" and request.headers.get("X-Stylestream") != "1":
        raise web.HTTPForbidden(text="changes need the header X-Stylestream: 1")
    try:
        answer: web.StreamResponse = await handler(request)
    except ValueError as error:
        return web.json_response({"error": str(error)}, status=400)
    return answer
