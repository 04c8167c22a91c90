"""python -m web: serves the live page of one stream.

Started by an output `web:`. A line of JSON on stdin says where; then frames come, each after its
head. It says `connected`, or why not; then a line of JSON for each change that is asked for.
"""

import asyncio
import json
import math
import sys
import threading
from typing import Any, BinaryIO

import numpy as np
from aiohttp import web

from pipeline.frame import Heard
from pipeline.sinks._relay import TIME_BASE, pieces_of
from pipeline.sinks.web import HEAD, Head
from web.api import application
from web.guard import Guard
from web.page import Page
from web.webrtc import Connections


def main(frames: BinaryIO) -> int:
    """Serve until the end of `frames` -> exit code."""
    about = json.loads(frames.readline())
    try:
        asyncio.run(serve(about, frames))
    except OSError as error:
        print(f"web:{about['port']}: {error.strerror}", flush=True)
        return 1
    return 0


async def serve(about: dict[str, Any], frames: BinaryIO) -> None:
    """The page, and beside it a thread that takes frames."""

    def ask(words: dict[str, Any]) -> None:
        print(json.dumps(words), flush=True)

    loop = asyncio.get_running_loop()
    page = Page(loop, ask, about)
    guard = Guard(about["host"], about["port"], about["token"], about["names"])
    connections = Connections(page.screen, about["host"])
    server = application(page, guard, connections)
    runner = web.AppRunner(server, shutdown_timeout=0.5, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, about["host"], about["port"]).start()
    print("connected", flush=True)
    ended = asyncio.Event()

    def take() -> None:
        while whole := taken(frames, about):
            page.show(*whole)
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=take, daemon=True).start()
    await ended.wait()
    await connections.close()
    await asyncio.to_thread(page.close)
    await runner.cleanup()


def taken(
    frames: BinaryIO, about: dict[str, Any]
) -> tuple[Head, list[Any], Any, list[Heard]] | None:
    """The next frame: its head, pictures, figures, sound; None at the end."""
    data = frames.read(HEAD.size)
    if len(data) < HEAD.size:
        return None
    head = Head(*HEAD.unpack(data))
    figures = json.loads(frames.read(head.figures) or b"{}")
    shape = about["height"], about["width"], 3
    size = math.prod(shape)
    parts = [frames.read(size) for _ in range(2 if head.input_of else 1)]
    if any(len(part) < size for part in parts):
        return None
    heard = list(pieces_of(frames, float(head.pts * TIME_BASE))) if about["sounds"] else []
    return head, [np.frombuffer(part, np.uint8).reshape(shape) for part in parts], figures, heard


if __name__ == "__main__":
    sys.exit(main(sys.stdin.buffer))
