"""The live page of a running stream, by its HTTP API and in a real browser."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import live
import numpy as np
import pytest
from browser import BROWSER, browser
from conftest import ROOT, Run

WORD = "hush"


class Stream:
    """A camera that shows a still picture, painted to a live page."""

    def __init__(self) -> None:
        self.camera = live.start()
        self.camera.step = 0
        self.camera.number = 40
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        where = f"127.0.0.1:{self.camera.server_port}/video"
        words = (
            *(f"http://me:{WORD}@{where}?key={WORD}", "--engine", "torch"),
            *("--style", ROOT / "styles/wave.jpg", "-o", f"web:{self.port}"),
        )
        command = [sys.executable, ROOT / "run_stream.py", *words]
        for _ in range(3):  # Ray may not start in time on a machine that is busy
            self.process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
            if self.is_up():
                return
            self.process.kill()
            self.process.communicate()
        raise AssertionError("the stream did not start")

    def is_up(self) -> bool:
        """Whether frames come, in time."""
        until = time.monotonic() + 120
        while self.process.poll() is None and time.monotonic() < until:
            try:
                return bool(self.get("/health"))
            except urllib.error.URLError:
                time.sleep(0.2)
        return False

    def wait(self, ready: Callable[[], Any], limit_s: float = 30) -> None:
        """Until `ready()`; the page may not answer yet meanwhile."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            try:
                if ready():
                    return
            except urllib.error.URLError:
                pass
            time.sleep(0.1)
        raise AssertionError("it did not come to be in time")

    def get(self, path: str, **headers: str) -> bytes:
        """The body of an answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/api"))
        return found

    def shares(self) -> dict[str, float]:
        return {k["name"]: k["share"] for k in self.state()["looks"] if k["share"]}

    def post(self, path: str, body: object, **headers: str) -> tuple[int, bytes]:
        """Status and body."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        about = {"X-Stylestream": "1", **headers}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, about)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def picture(self) -> np.ndarray:
        """The frame that is shown now."""
        data = np.frombuffer(self.get("/frame.png"), np.uint8)
        return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB).astype(int)

    def settled(self, unlike: np.ndarray | None = None) -> np.ndarray:
        """The frame once it no longer changes, and differs from another one."""
        last = self.picture()

        def still() -> bool:
            nonlocal last
            time.sleep(0.3)
            before, last = last, self.picture()
            moved = unlike is None or np.abs(last - unlike).mean() > 3
            return bool(moved and np.array_equal(before, last))

        self.wait(still)
        return last


@pytest.fixture(scope="module")
def stream() -> Iterator[Stream]:
    running = Stream()
    yield running
    if running.process.poll() is None:
        running.process.kill()
    running.process.communicate()
    running.camera.stop()


def test_the_page_is_whole(stream: Stream) -> None:
    page = stream.get("/").decode()
    for name in ("page.css", "page.js"):
        assert name in page
        assert len(stream.get(f"/{name}")) > 500
    assert stream.get("/looks/ink")[:2] == b"\xff\xd8"


def test_it_says_what_is_painted_without_its_secrets(stream: Stream) -> None:
    assert stream.state()["input"] == f"http://127.0.0.1:{stream.camera.server_port}/video"
    for path in ("/", "/api", "/page.js", "/health"):
        assert WORD not in stream.get(path).decode()


def test_what_is_seen_at_first_is_what_was_asked_for(stream: Stream) -> None:
    assert stream.shares() == {"wave": 1.0}
    first = stream.state()["frames"]
    stream.wait(lambda: stream.state()["frames"] > first + 3)
    assert stream.state()["frames_per_s"] > 0


def test_the_stream_is_seen_as_it_comes(stream: Stream) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{stream.port}/video", timeout=10) as answer:
        assert "multipart/x-mixed-replace" in answer.headers["Content-Type"]
        data = b""
        while data.count(b"--frame") < 4:
            data += answer.read(1024)
    parts = data.split(b"--frame\r\n")[1:3]
    for part in parts:
        jpeg = np.frombuffer(part.partition(b"\r\n\r\n")[2], np.uint8)
        assert cv2.imdecode(jpeg, cv2.IMREAD_COLOR).shape == (96, 160, 3)


def test_looks_are_changed_mixed_and_changed_back(stream: Stream) -> None:
    before = stream.settled()
    assert stream.post("/api", {"shares": {"mosaic": 1}, "fade_s": 0})[0] == 200
    mosaic = stream.settled(unlike=before)
    assert stream.shares() == {"mosaic": 1.0}
    stream.post("/api", {"shares": {"mosaic": 1, "wave": 1}, "fade_s": 0.5})
    mixed = stream.settled(unlike=mosaic)
    assert stream.shares() == {"wave": 0.5, "mosaic": 0.5}
    assert np.abs(mixed - before).mean() > 3
    stream.post("/api", {"shares": {"wave": 1}, "fade_s": 0})
    again = stream.settled(unlike=mixed)
    assert np.abs(again - before).max() <= 1


def test_strength_and_colour_are_changed(stream: Stream) -> None:
    before = stream.settled()
    stream.post("/api", {"strength": 0.0})
    plain = stream.settled(unlike=before)
    stream.post("/api", {"strength": 1.0, "keep_color": True})
    coloured = stream.settled(unlike=plain)
    assert stream.state()["keep_color"] is True
    stream.post("/api", {"keep_color": False})
    assert np.abs(stream.settled(unlike=coloured) - before).max() <= 1


def test_a_picture_is_handed_in(stream: Stream) -> None:
    before = stream.settled()
    checks = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((16, 16)))[..., None]
    pixels = (checks * np.array([20, 20, 250])).astype(np.uint8)
    status, said = stream.post(
        "/api/looks?name=my%20checks", cv2.imencode(".png", pixels)[1].tobytes()
    )
    assert (status, json.loads(said)["name"]) == (200, "my checks")
    stream.post("/api", {"shares": {"my checks": 1}, "fade_s": 0})
    checked = stream.settled(unlike=before)
    stream.post("/api", {"shares": {"wave": 1}, "fade_s": 0})
    assert np.abs(stream.settled(unlike=checked) - before).max() <= 1


def test_a_region_has_a_look_of_its_own(stream: Stream) -> None:
    before = stream.settled()
    mask = np.zeros((96, 160), np.uint8)
    mask[:, 80:] = 255
    status, said = stream.post("/api/regions", cv2.imencode(".png", mask)[1].tobytes())
    assert status == 200
    name = json.loads(said)["name"]
    stream.post("/api", {"region": name, "shares": {"mosaic": 1}, "fade_s": 0})
    both = stream.settled(unlike=before)
    assert np.abs(both - before)[:, :80].max() <= 1
    assert np.abs(both - before)[:, 80:].mean() > 6
    stream.post("/api", {"shares": {"ink": 1}, "fade_s": 0})
    other = stream.settled(unlike=both)
    assert np.abs(other - both)[:, 80:].max() <= 1
    stream.post("/api", {"shares": {"wave": 1}, "fade_s": 0})
    stream.settled(unlike=other)
    request = urllib.request.Request(
        f"http://127.0.0.1:{stream.port}/api/regions/{name}",
        headers={"X-Stylestream": "1"},
        method="DELETE",
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    assert np.abs(stream.settled(unlike=both) - before).max() <= 1


def settings(stream: Stream) -> dict[str, Any]:
    """The state without what goes on by itself."""
    moving = ("figures", "frames", "frames_per_s", "still_s")
    return {k: v for k, v in stream.state().items() if k not in moving}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api", {"shares": {"unknown": 1}}, 400),
        ("/api", {"shares": {"wave": 0}}, 400),
        ("/api", {"shares": {"wave": -1}}, 400),
        ("/api", {"shares": {"wave": "1"}}, 400),
        ("/api", {"shares": [1]}, 400),
        ("/api", {"strength": 9}, 400),
        ("/api", {"strength": True}, 400),
        ("/api", [1], 400),
        ("/api", b"{", 400),
        ("/api/looks", b"no picture", 400),
        ("/api/looks", b"", 400),
        ("/api/looks", bytes(21 << 20), 413),
    ],
)
def test_nonsense_changes_nothing(stream: Stream, path: str, body: object, status: int) -> None:
    before = settings(stream)
    assert stream.post(path, body)[0] == status
    assert settings(stream) == before


def test_other_names_and_other_pages_are_refused(stream: Stream) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        stream.get("/api", Host="evil.example")
    assert stream.get("/api", Host=f"localhost:{stream.port}")
    assert stream.post("/api", {"strength": 1}, **{"X-Stylestream": "0"})[0] == 403
    with pytest.raises(urllib.error.HTTPError, match="404"):
        stream.get("/looks/..%2F..%2Fpyproject.toml")


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_a_browser_shows_it(stream: Stream) -> None:
    async def look() -> None:
        async with browser() as tab:
            await tab.open(f"http://127.0.0.1:{stream.port}/")
            await tab.until("document.querySelector('[data-name=wave]') !== null")
            await tab.until("document.querySelectorAll('[aria-pressed]').length > 5")
            assert "frames/s" in await tab.run("document.documentElement.outerHTML")
            title = f"http://127.0.0.1:{stream.camera.server_port}/video · stylestream"
            assert await tab.until("document.title !== 'stylestream' && document.title") == title

    asyncio.run(look())


def test_a_port_that_is_taken_is_said_at_once(stream: Stream, paint: Run) -> None:
    words = ("test:frames=2", "--model", "identity", "-o")
    done = paint(*words, f"web:{stream.port}")
    assert done.returncode == 1
    assert "cannot be used" in done.stderr
    assert paint(*words, "web:0.0.0.0:80").returncode == 1


def test_ctrl_c_ends_it_whole(stream: Stream) -> None:
    stream.process.send_signal(signal.SIGINT)
    assert stream.process.wait(30) == 130
    with pytest.raises(urllib.error.URLError):
        stream.get("/health")
