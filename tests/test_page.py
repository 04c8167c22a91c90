"""The live page as its output serves it: who may use it, what it asks of a stream, what it keeps.

Frames come from here, so that no model and no stage is needed.
"""

import asyncio
import http.client
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import av
import cv2
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from pipeline.control import Change, Region
from pipeline.errors import ConfigError, SinkError
from pipeline.frame import ColorTags, Frame, StreamInfo
from pipeline.options import build
from pipeline.request import StreamOptions
from pipeline.sinks import SinkOptions, open_sink, prepare
from pipeline.sinks.web import address_of

WAVE, INK = str(ROOT / "styles/wave.jpg"), str(ROOT / "styles/ink.jpg")
INFO = StreamInfo(64, 48, Fraction(1, 25), Fraction(25), ColorTags("bt709", "tv"), live=True)
TOKEN = "a token of some length"
TICK = Fraction(1, 90_000)


class Served:
    """A page of its own; frames are red, what they were painted from is green, and in both blue
    counts."""

    info = INFO

    def __init__(
        self,
        folder: Path,
        host: str = "127.0.0.1",
        token: str | None = None,
        size: tuple[int, int] = (64, 48),
        names: tuple[str, ...] = (),
        paints: bool = True,
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.token = token
        if token:
            (folder / "token").write_text(token)
        options = SinkOptions(
            web_token=str(folder / "token") if token else None,
            web_names=names,
            paints=paints,
            recordings=str(folder / "kept"),
            wanted=Change((Region("0", None, {WAVE: 1.0}),), 0.8, False),
        )
        text = f"web:{host}:{self.port}"
        prepare(text, options)
        self.asked: list[Change] = []
        self.away = False  # the source, from which no frame comes then
        self.sink = open_sink(text, replace(self.info, width=size[0], height=size[1]), options)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._feed)
        self.sink.__enter__()
        self._thread.start()
        wait(lambda: self.get("/api")[0] == 200)

    def _feed(self) -> None:
        began = time.monotonic()
        red, green = np.zeros((2, 48, 64, 3), np.uint8)
        red[..., 0] = green[..., 1] = 200
        index = 0
        while not self._ended.wait(0.04):
            pts = round((time.monotonic() - began) / TICK)
            self.sink.tell({"dropped": 7})
            self.asked += self.sink.take_asked()
            if not self.away:
                red[..., 2] = green[..., 2] = index % 200
                self.sink.write(Frame(index, pts, TICK, red, before=green))
                index += 1

    def close(self) -> None:
        """End it like a run that is complete."""
        self._ended.set()
        self._thread.join()
        self.sink.finish()

    def ask(
        self, method: str, path: str, body: object = b"", **headers: str
    ) -> tuple[int, bytes, Any]:
        """Status, body and headers of an answer; headers may replace those that are needed."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        about = {"X-Stylestream": "1"} | {k.replace("_", "-"): v for k, v in headers.items()}
        if self.token:
            about = {"Authorization": f"Bearer {self.token}"} | about
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, data, {k: v for k, v in about.items() if v})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        except OSError:
            return 0, b"", {}
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, bytes, Any]:
        return self.ask("GET", path, **headers)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/api")[1])
        return found

    def change(self, **words: object) -> Change:
        """What the stream is asked for after these words."""
        count = len(self.asked)
        assert self.ask("POST", "/api", words)[0] == 200
        wait(lambda: len(self.asked) > count)
        return self.asked[-1]


def wait(ready: Callable[[], Any], limit_s: float = 60) -> None:
    until = time.monotonic() + limit_s
    while not ready():
        assert time.monotonic() < until, "it did not come to be in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("page"))
    yield served
    served.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("guarded")
    served = Served(folder, "0.0.0.0", TOKEN, names=("wall.example.org",))
    yield served
    served.close()


def picture(form: str, size: tuple[int, int] = (64, 64)) -> bytes:
    data = BytesIO()
    Image.new("RGB", size, "orange").save(data, form)
    return data.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A small PNG whose header says another size."""
    data = picture("PNG")
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


# -- who may use it ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("web:", ("127.0.0.1", 8642)),
        ("web:80", ("127.0.0.1", 80)),
        ("web:localhost:81", ("127.0.0.1", 81)),
        ("web:0.0.0.0", ("0.0.0.0", 8642)),
        ("web:[::]:82", ("::", 82)),
        ("web:[::1]", ("::1", 8642)),
    ],
)
def test_addresses_are_understood(text: str, where: tuple[str, int]) -> None:
    assert address_of(text) == where


@pytest.mark.parametrize("text", ["web:0", "web:65536", "web:example.org:80", "web:1.2.3.4:x"])
def test_what_is_no_address_is_said(text: str) -> None:
    with pytest.raises(SinkError, match="write web:"):
        address_of(text)


@pytest.mark.parametrize("text", ["web:0.0.0.0:8650", "web:[::]:8650", "web:192.0.2.1:8650"])
def test_others_are_not_let_in_without_a_token(text: str) -> None:
    with pytest.raises(SinkError, match="--web-token FILE"):
        prepare(text, SinkOptions())


def test_a_token_is_made_for_this_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    prepare(f"web:127.0.0.1:{port}", SinkOptions(web_token=str(file)))
    assert len(file.read_text().strip()) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("short")
    with pytest.raises(SinkError, match="16 letters"):
        prepare(f"web:127.0.0.1:{port}", SinkOptions(web_token=str(file)))


def test_nothing_but_the_way_in_is_served_without_the_token(guarded: Served) -> None:
    paths = ("/", "/page.js", "/video", "/frame.png", "/api", "/api/live", "/health", "/looks/wave")
    for path in paths:
        for word in ("", "Bearer wrong", f"Basic {TOKEN}", "Bearer "):
            assert guarded.get(path, Authorization=word)[0] == 401, (path, word)
    assert guarded.ask("POST", "/api", {"strength": 0}, Authorization="")[0] == 401
    assert guarded.get("/page.css", Authorization="")[0] == 200
    asked = guarded.get("/", Authorization="", Accept="text/html")
    assert asked[0] == 401
    assert b"Token" in asked[1]
    assert guarded.state()["strength"] == 0.8


def test_the_token_in_the_address_becomes_a_cookie(guarded: Served) -> None:
    word = TOKEN.replace(" ", "%20")
    status, _, headers = guarded.get(f"/?token={word}", Authorization="")
    assert (status, headers["Location"]) == (303, "/")
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    held = cookie.split(";")[0]
    assert guarded.get("/api", Authorization="", Cookie=held)[0] == 200
    assert guarded.get("/api", Authorization="", Cookie=held[:-1])[0] == 401
    assert guarded.get(f"/api?token={word}", Authorization="")[0] == 401
    assert guarded.get("/?token=wrong", Authorization="")[0] == 401


def test_the_token_is_taken_from_a_form(guarded: Served) -> None:
    form = {"Authorization": "", "X_Stylestream": ""}
    form["Content_Type"] = "application/x-www-form-urlencoded"
    word = TOKEN.replace(" ", "+").encode()
    assert guarded.ask("POST", "/sign_in", b"token=" + word, **form)[0] == 303
    assert guarded.ask("POST", "/sign_in", b"token=wrong", **form)[0] == 401
    other = {**form, "Origin": "http://evil.example"}
    assert guarded.ask("POST", "/sign_in", b"token=" + word, **other)[0] == 403


def test_names_that_are_not_ours_are_refused(page: Served, guarded: Served) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"):
        assert page.get("/api", Host=host)[0] == 403
        assert guarded.get("/api", Host=host)[0] == 403
    assert page.get("/api", Host="192.0.2.7")[0] == 403
    assert guarded.get("/api", Host="192.0.2.7")[0] == 200
    for host in ("localhost", f"[::1]:{page.port}", f"127.0.0.1:{page.port}"):
        assert page.get("/api", Host=host)[0] == 200


def test_a_proxy_is_called_by_its_own_name(guarded: Served, page: Served) -> None:
    proxied = {"Host": "wall.example.org", "Origin": "https://wall.example.org"}
    hides = {"Origin": "https://wall.example.org:8443"}  # the page sees the proxy's own address
    for about in (proxied, hides):
        assert guarded.get("/api", **about)[0] == 200
        assert guarded.ask("POST", "/api", {"strength": 0.8}, **about)[0] == 200
        assert page.ask("POST", "/api", {"strength": 0.8}, **about)[0] == 403
    assert guarded.get("/api", Host="WALL.example.org:443")[0] == 200
    assert guarded.get("/api", Authorization="", Host="wall.example.org")[0] == 401
    for other in ("evil.example", "wall.example.org.evil.example", "a.wall.example.org"):
        assert guarded.get("/api", Host=other)[0] == 403
        for origin in (f"https://{other}", f"https://wall.example.org@{other}", "https://[", ""):
            about = {"Host": "wall.example.org", "Origin": origin or "null"}
            assert guarded.ask("POST", "/api", {"strength": 0}, **about)[0] == 403

    async def talk() -> dict[str, Any]:
        headers = proxied | {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.ws_connect(f"http://127.0.0.1:{guarded.port}/api/live") as talking,
        ):
            heard: dict[str, Any] = await talking.receive_json(timeout=60)
            return heard

    assert asyncio.run(talk())["strength"] == 0.8


def test_a_name_for_others_wants_a_token() -> None:
    with pytest.raises(SinkError, match="--web-token FILE"):
        prepare("web:", SinkOptions(web_names=("wall.example.org",)))


@pytest.mark.parametrize(
    "name", ["https://wall.example.org", "wall.example.org:443", "a..b", "-a", "", "a b", "a/b"]
)
def test_what_is_no_name_is_said(name: str) -> None:
    with pytest.raises(ConfigError, match="a name alone"):
        build(StreamOptions, {"web_name": [name]})
    assert build(StreamOptions, {"web-name": "Wall.example.org"}).web_name == ["wall.example.org"]


def test_other_pages_change_nothing_and_embed_nothing(page: Served) -> None:
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{page.port + 1}"):
        assert page.ask("POST", "/api", {"strength": 0}, Origin=origin)[0] == 403
        assert page.get("/api/live", Origin=origin, Upgrade="websocket")[0] == 403
    assert page.ask("POST", "/api", {"strength": 0}, X_Stylestream="")[0] == 403
    own = f"http://127.0.0.1:{page.port}"
    assert page.ask("POST", "/api", {"strength": 0.8}, Origin=own)[0] == 200
    for path in ("/", "/frame.png", "/api", "/nowhere"):
        headers = page.get(path, Origin="http://evil.example")[2]
        assert "Access-Control-Allow-Origin" not in headers
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize("form", ["BMP", "GIF", "TIFF", "ICO"])
def test_only_pictures_of_known_forms_are_read(page: Served, form: str) -> None:
    assert page.ask("POST", "/api/looks", picture(form))[0] == 400


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_pictures_are_handed_in_and_taken_away(page: Served, form: str) -> None:
    status, said, _ = page.ask("POST", f"/api/looks?name=..%2Fmy%20{form}", picture(form))
    assert (status, json.loads(said)) == (200, {"name": f"my {form}"})
    name = f"/looks/my%20{form}"
    assert page.get(name)[1][:2] == b"\xff\xd8"
    assert page.ask("DELETE", "/api" + name)[0] == 200
    assert page.get(name)[0] == 404
    assert page.ask("DELETE", "/api/looks/wave")[0] == 400


def test_what_would_unfold_to_too_much_is_refused_unread(page: Served) -> None:
    assert page.ask("POST", "/api/looks", claiming(8000, 8000))[0] == 400
    assert page.ask("POST", "/api/looks", claiming(60_000, 60_000))[0] == 400
    assert page.ask("POST", "/api/looks", picture("PNG", (8, 300)))[0] == 400
    assert page.ask("POST", "/api", b" " * (65 << 10))[0] == 413


# -- what it asks of the stream ----------------------------------------------------------------


def test_a_change_says_all_that_is_wanted(page: Served) -> None:
    asked = page.change(strength=0.5, fade_s=3)
    assert (asked.regions, asked.strength, asked.keep_color) == (None, 0.5, False)
    asked = page.change(shares={"wave": 3, "ink": 1}, fade_s=2)
    assert asked.regions == (Region("0", None, {WAVE: 0.75, INK: 0.25}),)
    assert (asked.fade_s, asked.strength) == (2.0, 0.5)
    assert set(asked.pictures) == {INK}  # the stream began with the other one
    assert not page.change(shares={"ink": 1}).pictures  # both are known now
    assert page.change(keep_color=True).keep_color is True


def test_regions_have_looks_of_their_own(page: Served) -> None:
    mask = np.zeros((48, 64, 3), np.uint8)
    mask[:, 32:] = 255
    body = cv2.imencode(".png", mask)[1].tobytes()
    page.change(shares={"wave": 1})
    name = json.loads(page.ask("POST", "/api/regions", body)[1])["name"]
    wait(lambda: len(page.asked[-1].regions or ()) == 2)
    asked = page.change(region=name, shares={"mosaic": 1}, fade_s=1)
    assert asked.regions is not None
    beneath, over = asked.regions
    assert (beneath.mask, beneath.shares) == (None, {WAVE: 1.0})
    assert over.shares == {str(ROOT / "styles/mosaic.jpg"): 1.0}
    assert over.mask is not None
    assert np.array_equal(cv2.imread(over.mask), mask)
    assert page.get(f"/regions/{name}")[1][:2] == b"\xff\xd8"
    assert page.ask("PUT", f"/api/regions/{name}", body[:40])[0] == 400
    cut_out = cv2.imencode(".png", np.dstack([np.full_like(mask, 255), mask[..., :1]]))[1]
    assert page.ask("PUT", f"/api/regions/{name}", cut_out.tobytes())[0] == 200
    wait(lambda: (page.asked[-1].regions or asked.regions)[1].mask != over.mask)
    assert np.array_equal(cv2.imread(page.asked[-1].regions[1].mask), mask)
    assert page.ask("PUT", "/api/regions/0", body)[0] == 400
    assert page.ask("POST", "/api/regions", picture("PNG"))[0] == 200
    for region in page.state()["regions"][1:]:
        assert page.ask("DELETE", f"/api/regions/{region['name']}")[0] == 200
    assert page.ask("DELETE", "/api/regions/0")[0] == 400
    wait(lambda: len(page.asked[-1].regions or ()) == 1)


def test_a_mask_that_no_region_has_is_deleted(page: Served) -> None:
    def masked(level: int) -> bytes:
        return cv2.imencode(".png", np.full((48, 64, 3), level, np.uint8))[1].tobytes()

    name = json.loads(page.ask("POST", "/api/regions", masked(50))[1])["name"]
    for level in (60, 70, 80, 90):
        assert page.ask("PUT", f"/api/regions/{name}", masked(level))[0] == 200
    page.change(strength=0.7)
    wait(lambda: page.asked[-1].strength == 0.7)
    asked = page.asked[-1]
    assert asked.regions is not None
    mask = Path(str(asked.regions[1].mask))
    assert cv2.imread(str(mask)).max() == 90
    # The one before may be read yet by what paints.
    assert len(list(mask.parent.iterdir())) <= 2
    assert page.ask("DELETE", f"/api/regions/{name}")[0] == 200
    wait(lambda: len(page.asked[-1].regions or ()) == 1)


def test_a_look_that_was_taken_away_is_forgotten(page: Served) -> None:
    page.ask("POST", "/api/looks?name=short", picture("PNG"))
    (path,) = page.change(shares={"short": 1}).pictures
    page.change(shares={"wave": 1})
    again = page.change(shares={"short": 1})  # offered still, so known still
    assert (again.pictures, again.forget) == ({}, frozenset())
    page.change(shares={"wave": 1})
    assert page.ask("DELETE", "/api/looks/short")[0] == 200
    assert page.change(shares={"ink": 1}).forget == {path}
    assert not page.change(shares={"wave": 1}).forget
    assert not Path(path).exists()


@pytest.mark.parametrize(
    "words",
    [
        {"sharse": {"wave": 1}},
        {"strength": float("nan")},
        {"keep_color": 1},
        {"frozen": "yes"},
        {"region": "9", "shares": {"wave": 1}},
        {"region": ["0"], "shares": {"wave": 1}},
        {"strength": 0.1, "shares": {}},
    ],
)
def test_nonsense_changes_nothing(page: Served, words: dict[str, object]) -> None:
    def said() -> dict[str, Any]:
        return {k: v for k, v in page.state().items() if "frames" not in k and k != "still_s"}

    before = said()
    assert page.ask("POST", "/api", words)[0] == 400
    assert said() == before


@pytest.mark.parametrize("words", [b"", b"{strength: 1}", b"\xff\xfe"])
def test_words_that_are_no_json_are_refused(page: Served, words: bytes) -> None:
    for path in ("/api", "/api/offer"):
        status, said, _ = page.ask("POST", path, words)
        assert status == 400
        assert json.loads(said)["error"].startswith("this is no JSON: ")


def test_words_that_are_nested_too_deeply_are_refused(page: Served) -> None:
    deep = b"[" * 60_000
    for path in ("/api", "/api/offer"):
        status, said, _ = page.ask("POST", path, deep)
        assert (status, json.loads(said)) == (400, {"error": "this is nested too deeply"})

    async def talk() -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{page.port}/api/live") as talking,
        ):
            await talking.send_str(deep.decode())
            while "error" not in (heard := await talking.receive_json(timeout=60)):
                pass
            return heard["error"]

    assert asyncio.run(talk()) == "this is nested too deeply"


def test_where_nothing_is_painted_no_look_is_chosen(tmp_path: Path) -> None:
    served = Served(tmp_path, paints=False)
    try:
        before = served.state()
        asked: list[tuple[str, object]] = [
            ("/api", {"shares": {"ink": 1}}),
            ("/api", {"strength": 0.5}),
            ("/api/looks", picture("PNG")),
            ("/api/regions", picture("PNG")),
        ]
        for path, body in asked:
            status, said, _ = served.ask("POST", path, body)
            assert status == 400
            assert "--model identity" in json.loads(said)["error"]
        assert served.ask("POST", "/api", {"frozen": True})[0] == 200
        state = served.state()
        assert (state["looks"], state["regions"]) == (
            before["looks"],
            [{"name": "0", "shares": {}}],
        )
        assert not served.asked
    finally:
        served.close()


def test_a_socket_tells_and_is_told(page: Served) -> None:
    async def talk() -> list[dict[str, Any]]:
        heard = []
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{page.port}/api/live") as talking,
        ):
            heard.append(await talking.receive_json(timeout=5))
            await talking.send_json({"strength": 1.25})
            while heard[-1].get("strength") != 1.25:
                heard.append(await talking.receive_json(timeout=5))
            await talking.send_json({"strength": 9})
            while "error" not in heard[-1]:
                heard.append(await talking.receive_json(timeout=5))
        return heard

    heard = asyncio.run(talk())
    assert heard[0]["figures"] == {"dropped": 7}
    assert "strength" in heard[-1]["error"]


def test_freezing_holds_what_is_seen(page: Served) -> None:
    page.ask("POST", "/api", {"frozen": True})
    before = page.state()["frames"]
    wait(lambda: page.state()["frames"] > before + 2)
    assert page.state()["frozen"] is True
    assert page.get("/frame.png")[0] == 200
    page.ask("POST", "/api", {"frozen": False})
    assert page.state()["frozen"] is False


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB).astype(int)


def frame_of(page: Served, path: str) -> np.ndarray:
    status, body, _ = page.get(path)
    assert status == 200
    return decoded(body)


def first_of(page: Served, path: str) -> np.ndarray:
    """The first picture of a stream of JPEGs."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.readline() == b"--frame\r\n"
        answer.readline()
        length = int(answer.readline().split()[1])
        answer.readline()
        return decoded(answer.read(length))
    finally:
        connection.close()


def is_beside(both: np.ndarray, alone: np.ndarray) -> bool:
    """Whether it is that frame, with its own input at its left; JPEGs differ a little, and more
    where colours meet."""
    own = np.stack([np.zeros((48, 64)), np.full((48, 64), 200), alone[..., 2]], axis=-1)
    differences = np.abs(both - np.hstack([own, alone]))
    differences[:, 60:68] = 0
    return bool(differences.max() < 12)


def test_the_input_is_shown_beside_it_when_asked_for(page: Served) -> None:
    alone, both = frame_of(page, "/frame.png"), frame_of(page, "/frame.png?beside=1")
    assert np.array_equal(alone[..., :2], np.full((48, 64, 2), (200, 0)))
    assert is_beside(both, both[:, 64:])
    assert np.array_equal(both[:, 64:, :2], alone[..., :2])


@pytest.fixture
def still(page: Served) -> Iterator[Served]:
    """The page while its source is away; afterwards as it was."""
    page.away = True
    wait(lambda: page.state()["still_s"] > 1)
    yield page
    page.away = False
    page.ask("POST", "/api", {"frozen": False})
    wait(lambda: page.state()["still_s"] < 1)


def test_what_is_seen_while_the_source_is_away_has_its_input(still: Served) -> None:
    alone = frame_of(still, "/frame.png")
    assert is_beside(frame_of(still, "/frame.png?beside=1"), alone)
    assert is_beside(first_of(still, "/video?beside=1"), alone)
    assert np.abs(first_of(still, "/video") - alone).max() < 12


def test_what_is_frozen_has_its_own_input_beside_it(still: Served) -> None:
    alone = frame_of(still, "/frame.png")
    still.ask("POST", "/api", {"frozen": True})
    before = still.state()["frames"]
    still.away = False
    wait(lambda: still.state()["frames"] > before + 6)
    assert is_beside(frame_of(still, "/frame.png?beside=1"), alone)
    assert is_beside(first_of(still, "/video?beside=1"), alone)
    assert np.abs(first_of(still, "/video") - alone).max() < 12
    assert np.array_equal(frame_of(still, "/frame.png"), alone)


def test_a_picture_that_is_shown_again_is_no_new_frame(page: Served) -> None:
    wait(lambda: page.get("/health")[0] == 200)
    page.away = True
    try:
        wait(lambda: page.get("/health")[0] == 503)
        state = page.state()
        wait(lambda: page.state()["still_s"] > state["still_s"] + 1)  # it is shown twice meanwhile
        assert page.state()["frames"] == state["frames"]
        assert page.state()["frames_per_s"] < 1
        assert page.get("/frame.png")[0] == 200
    finally:
        page.away = False
    wait(lambda: page.get("/health")[0] == 200)
    assert page.state()["frames"] > state["frames"]


# -- what it keeps -----------------------------------------------------------------------------


def times_in(path: Path) -> list[float]:
    with av.open(str(path)) as film:
        return [float(frame.time or 0) for frame in film.decode(video=0)]


def test_a_recording_is_a_film(page: Served) -> None:
    assert page.state()["recording"] is None
    assert page.ask("DELETE", "/api/recording")[0] == 400
    assert page.ask("POST", "/api/recording")[0] == 200
    assert page.ask("POST", "/api/recording")[0] == 400
    time.sleep(2)
    assert page.state()["recording"]["seconds"] > 1
    done = json.loads(page.ask("DELETE", "/api/recording")[1])
    assert done["error"] is None
    assert page.state()["recording"] is None
    (file,) = Path(page.sink._place["recordings"]).iterdir()
    assert file.name == done["file"]
    times = times_in(file)
    assert len(times) > 10
    assert times[0] == 0
    assert all(a < b for a, b in pairwise(times))
    assert 1 < times[-1] < 4
    file.unlink()


def test_what_is_recorded_survives_a_kill(tmp_path: Path) -> None:
    served = Served(tmp_path)
    try:
        served.ask("POST", "/api/recording")
        time.sleep(4)
        listed = subprocess.run(
            ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="], capture_output=True, text=True
        ).stdout.splitlines()
        # The one that was started last is its own.
        pids = [int(line.split()[0]) for line in listed if line.endswith("-m web")]
        os.kill(max(pids), signal.SIGKILL)
        (file,) = (tmp_path / "kept").glob("*.part*.mp4")
        times = times_in(file)
        assert len(times) > 20
        wait(lambda: served.get("/health")[0] == 200)  # the page is there again
    finally:
        served.close()


def test_a_folder_that_cannot_be_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot be written"):
        prepare("web:", SinkOptions(recordings=str(tmp_path / "file/kept")))
