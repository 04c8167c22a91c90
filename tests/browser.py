"""A headless Chromium, driven by its own debugging protocol."""

import asyncio
import base64
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import aiohttp

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
WORDS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--mute-audio", "--remote-debugging-port=0"),
    *("--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-quic"),
)
STARTS = 3  # Chromium now and then ends itself while it starts; what is tested is the page


class Tab:
    """One page that is open."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._numbers = socket, count(1)

    async def do(self, method: str, **words: object) -> dict[str, Any]:
        """A command of the protocol -> its answer."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": words})
        while True:
            said = await self._socket.receive_json(timeout=60)
            if said.get("id") == number:
                assert "error" not in said, said
                answer: dict[str, Any] = said["result"]
                return answer

    async def run(self, script: str) -> Any:
        """The value of a script, which may be a promise."""
        about = {"expression": script, "awaitPromise": True, "returnByValue": True}
        answer = await self.do("Runtime.evaluate", **about)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, script: str, limit_s: float = 60) -> Any:
        """The value of a script once it is true."""
        async with asyncio.timeout(limit_s):
            while not (value := await self.run(script)):
                await asyncio.sleep(0.1)
        return value

    async def press(self, key: str, code: str = "", modifiers: int = 0) -> None:
        """A key, down and up."""
        for kind in ("keyDown", "keyUp"):
            about = {"type": kind, "key": key, "code": code, "modifiers": modifiers}
            await self.do("Input.dispatchKeyEvent", **about)

    async def open(self, address: str, width: int = 1280, height: int = 720) -> None:
        """Go there, in a window of this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.do("Emulation.setDeviceMetricsOverride", **size)
        await self.do("Page.navigate", url="about:blank")
        await self.do("Page.navigate", url=address)
        await self.until("document.readyState === 'complete'")

    async def picture(self) -> bytes:
        """What is seen, as PNG."""
        shot = await self.do("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])


def _started(folder: str) -> tuple[subprocess.Popen[str], str]:
    """A browser that runs, and the port at which it is driven."""
    said = []
    for start in range(STARTS):
        command = [str(BROWSER), *WORDS, f"--user-data-dir={folder}/{start}", "about:blank"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr
        for line in iter(process.stderr.readline, ""):
            if "DevTools listening on" in line:
                return process, line.split("127.0.0.1:")[1].split("/")[0]
            said.append(line)
        said.append(f"ended with {process.wait()}\n")
        process.communicate()
    raise AssertionError(f"the browser did not start:\n{''.join(said)}")


@asynccontextmanager
async def browser() -> AsyncIterator[Tab]:
    """A tab of a browser of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process, port = _started(folder)
        try:
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                    tabs = await answer.json()
                address = next(t["webSocketDebuggerUrl"] for t in tabs if t["type"] == "page")
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    yield Tab(socket)
        finally:
            process.kill()
            process.communicate()
