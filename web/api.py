"""The page by HTTP and by WebSocket; docs/live.md lists what there is."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from web.guard import Guard, harden
from web.page import Page
from web.screen import STILL_S, Crowded, encoded
from web.shelf import Handed, checked
from web.webrtc import Connections

HERE = Path(__file__).parent
MOST_UPLOAD = 20 << 20
MOST_WORDS = 64 << 10
FIGURES_S = 1.0
INPUT_S = 5.0


def application(page: Page, guard: Guard, connections: Connections) -> web.Application:
    """The server of one page."""
    api = Api(page, guard, connections)
    app = web.Application(middlewares=[guard.middleware], client_max_size=MOST_UPLOAD)
    app.on_response_prepare.append(harden)
    app.add_routes(
        [
            web.get("/", api.home),
            web.get("/{file:(?:page|video|brush)\\.js|page\\.css|icon\\.svg}", api.asset),
            web.post("/sign_in", api.sign_in),
            web.get("/video", api.video),
            web.get("/frame.png", api.frame),
            web.get("/health", api.health),
            web.get("/api", api.state),
            web.post("/api", api.change),
            web.get("/api/live", api.live),
            web.post("/api/offer", api.offer),
            web.post("/api/looks", api.add_look),
            web.delete("/api/looks/{name}", api.remove_look),
            web.get("/looks/{name}", api.look),
            web.post("/api/regions", api.add_region),
            web.put("/api/regions/{name}", api.move_region),
            web.delete("/api/regions/{name}", api.remove_region),
            web.get("/regions/{name}", api.region),
            web.post("/api/recording", api.record),
            web.delete("/api/recording", api.stop_recording),
        ]
    )
    return app


class Api:
    """What each request does."""

    def __init__(self, page: Page, guard: Guard, connections: Connections) -> None:
        self._page, self._guard, self._connections = page, guard, connections
        self._decoding = asyncio.Semaphore(1)

    # -- to look at ----------------------------------------------------------------------------

    async def home(self, _: web.Request) -> web.StreamResponse:
        """The page."""
        return web.FileResponse(HERE / "page.html")

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """What belongs to it."""
        return web.FileResponse(HERE / request.match_info["file"])

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """The token, from a form."""
        given = (await request.post()).get("token", "")
        return await self._guard.sign_in(given if isinstance(given, str) else "")

    async def video(self, request: web.Request) -> web.StreamResponse:
        """The stream as MJPEG."""
        beside = wants_input(request)
        with self._page.screen.watched(beside):
            kind = "multipart/x-mixed-replace; boundary=frame"
            answer = web.StreamResponse(headers={"Content-Type": kind})
            await answer.prepare(request)
            with suppress(ConnectionError):  # until who watches leaves
                while True:
                    if self._page.screen.shows(beside):
                        jpeg = await self._page.screen.jpeg(beside)
                        kind = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}"
                        head = f"--frame\r\n{kind}\r\n\r\n"
                        await answer.write(head.encode() + jpeg + b"\r\n")
                    await self._page.screen.next(STILL_S)
        return answer

    async def frame(self, request: web.Request) -> web.Response:
        """The newest frame, as it is."""
        screen, beside = self._page.screen, wants_input(request)
        if not screen.shows(False):
            raise web.HTTPServiceUnavailable(text="no frame yet")
        with screen.watched(beside):
            try:
                async with asyncio.timeout(INPUT_S):
                    while not screen.shows(beside):  # the input must be asked for first
                        await screen.next()
            except TimeoutError:
                raise web.HTTPServiceUnavailable(text="the input does not come") from None
            pixels = screen.picture(beside)
        body = await asyncio.to_thread(encoded, pixels, ".png", [])
        return web.Response(body=body, content_type="image/png")

    async def health(self, _: web.Request) -> web.Response:
        """Whether frames come."""
        screen = self._page.screen
        said = {"frames": screen.frames, "still_s": round(screen.still_s, 1)}
        return web.json_response(said, status=200 if screen.healthy else 503)

    # -- to change -----------------------------------------------------------------------------

    async def state(self, _: web.Request) -> web.Response:
        """All there is to say."""
        return web.json_response(self._page.state())

    async def change(self, request: web.Request) -> web.Response:
        """A change, which comes back as the state that it leads to."""
        self._page.change(words_in(await self._words(request)))
        return web.json_response(self._page.state())

    async def live(self, request: web.Request) -> web.StreamResponse:
        """States as they come about, and every second; changes the other way."""
        socket = web.WebSocketResponse(heartbeat=20, max_msg_size=MOST_WORDS)
        await socket.prepare(request)

        async def tell() -> None:
            while not socket.closed:
                changed = self._page.changed
                await socket.send_json(self._page.state())
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), FIGURES_S)

        with self._page.screen.watched(False):
            telling = asyncio.create_task(tell())
            try:
                async for message in socket:
                    if message.type is not WSMsgType.TEXT:
                        break
                    try:
                        self._page.change(words_in(message.data))
                    except ValueError as error:
                        await socket.send_json({"error": str(error)})
            finally:
                telling.cancel()
        return socket

    async def offer(self, request: web.Request) -> web.Response:
        """A browser that wants to watch by WebRTC; it gets an answer."""
        if self._page.screen.is_full:
            raise Crowded
        words = words_in(await self._words(request))
        if not isinstance(words, dict):
            raise ValueError("an offer is a JSON object")
        return web.json_response(await self._connections.answer(words, wants_input(request)))

    async def add_look(self, request: web.Request) -> web.Response:
        """A picture, for its look."""
        name = request.query.get("name", "picture")
        return web.json_response({"name": self._page.add_look(name, await self._picture(request))})

    async def remove_look(self, request: web.Request) -> web.Response:
        """One that was handed in, away."""
        self._page.remove_look(request.match_info["name"])
        return web.json_response(self._page.state())

    async def look(self, request: web.Request) -> web.Response:
        """Its picture, small."""
        found = self._page.shelf.looks.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        body = await asyncio.to_thread(lambda: found.thumb)
        return web.Response(body=body, content_type="image/jpeg")

    async def add_region(self, request: web.Request) -> web.Response:
        """A mask, for a region of its own."""
        name = self._page.set_region(None, await self._picture(request, "black"))
        return web.json_response({"name": name})

    async def move_region(self, request: web.Request) -> web.Response:
        """Another mask for a region."""
        name = self._page.region(request.match_info["name"]).name
        self._page.set_region(name, await self._picture(request, "black"))
        return web.json_response({"name": name})

    async def remove_region(self, request: web.Request) -> web.Response:
        """A region, away."""
        self._page.remove_region(request.match_info["name"])
        return web.json_response(self._page.state())

    async def region(self, request: web.Request) -> web.Response:
        """Its mask, small."""
        region = self._page.region(request.match_info["name"])
        return web.Response(body=region.thumb, content_type="image/jpeg")

    async def record(self, _: web.Request) -> web.Response:
        """From now on, to a file."""
        self._page.start_recording()
        return web.json_response(self._page.state())

    async def stop_recording(self, _: web.Request) -> web.Response:
        """The file is complete when the answer comes."""
        done = await asyncio.to_thread(self._page.stop_recording)
        self._page.tell()
        if done is None:
            raise ValueError("nothing is being recorded")
        return web.json_response(done)

    async def _words(self, request: web.Request) -> bytes:
        data = await request.read()
        if len(data) > MOST_WORDS:
            raise web.HTTPRequestEntityTooLarge(MOST_WORDS, len(data))
        return data

    async def _picture(self, request: web.Request, beneath: str = "white") -> Handed:
        data = await request.read()
        async with self._decoding:  # one at a time: a picture may need 160 MB
            return await asyncio.to_thread(checked, data, beneath)


def wants_input(request: web.Request) -> bool:
    """`?beside=1`: with what it was painted from at its left."""
    return request.query.get("beside") == "1"


def words_in(text: str | bytes) -> Any:
    """What JSON says. ValueError: it is none, or nested more deeply than anything asked for."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"this is no JSON: {error}") from None
    except RecursionError:
        raise ValueError("this is nested too deeply") from None
