"""python -m web: serves the live page of one stream.

Started by an output `web:`. A line of JSON on stdin says where; then frames come, each after its
time stamp. It says `connected`, or why not; then a line of JSON for each change that is asked for.
"""

import asyncio
import json
import sys
import threading
from typing import Any, BinaryIO

import numpy as np
from aiohttp import web

from pipeline.sinks._relay import HEADER
from web.page import Page, application


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

    page = Page(asyncio.get_running_loop(), ask, about["looks"])
    runner = web.AppRunner(application(page), shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, about["host"], about["port"]).start()
    print("connected", flush=True)
    shape = about["height"], about["width"], 3
    ended = asyncio.Event()

    def take() -> None:
        size = int(np.prod(shape))
        while len(frames.read(HEADER.size)) == HEADER.size:
            data = frames.read(size)
            if len(data) < size:
                break
            page.show(np.frombuffer(data, np.uint8).reshape(shape))
        page.loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=take, daemon=True).start()
    await ended.wait()
    page.close()
    await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main(sys.stdin.buffer))
