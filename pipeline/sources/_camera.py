"""The process that holds a camera, and hands on what that sends, as it comes, as NUT.

Each time it is a fresh one: a camera that was unplugged meets nothing of the time before, and a
call that hangs inside a driver ends with its process. What to open is told by a line of JSON; the
answer is a line too: `connected`, or the name of an error and what it says.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import av

from pipeline import errors
from pipeline.address import shown
from pipeline.errors import SourceError, SourceLost, SourceSilent
from pipeline.opening import mapped, video_of
from pipeline.patience import Patience
from pipeline.srt import Pipe

OPENING_S = 15.0
"""To start, to ask for the modes, to open, to begin."""
FORM = "nut"


@contextmanager
def held(about: dict[str, Any], patience: Patience) -> Iterator[Pipe]:
    """What the camera sends; `about`: what `main` is told. SourceError: what is wrong with it."""
    command = [sys.executable, "-m", "pipeline.sources._camera"]
    child = subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin
    assert child.stdout
    try:
        child.stdin.write(json.dumps(about).encode() + b"\n")
        pipe = Pipe(child.stdout, OPENING_S, patience)
        answer = _line(pipe, shown(about["text"]))
        if answer != "connected":
            name, _, said = answer.partition(" ")
            raise getattr(errors, name, SourceLost)(said or f"{shown(about['text'])} broke off")
        yield pipe
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def _line(pipe: Pipe, name: str) -> str:
    """The next line; what is left of one at the end."""
    line = b""
    try:
        while not line.endswith(b"\n") and (more := pipe.read(1)):
            line += more
    except TimeoutError:
        raise SourceSilent(f"{name} does not open") from None
    return line.decode().strip()


def main(told: BinaryIO, out: BinaryIO) -> int:
    """Hand on what the camera sends until it or the reader ends -> exit code.

    Told: `text`, what the user wrote; `which` camera of which `system`; `side` and `asked`, which
    choose a mode."""
    from pipeline.sources import webcam  # which imports this file

    about = json.loads(told.readline())
    threading.Thread(target=_end_with, args=(told,), daemon=True).start()
    connected = False
    try:
        with mapped(about["text"]), webcam.opened(**about) as camera:
            source = video_of(camera, about["text"])
            out.write(b"connected\n")
            connected = True
            with av.open(out, "w", format=FORM, options={"flush_packets": "1"}) as pipe:
                target = pipe.add_stream_from_template(source, opaque=True)
                for packet in camera.demux(source):
                    if packet.size:
                        packet.stream = target
                        pipe.mux(packet)
    except SourceError as error:
        if not connected:
            out.write(f"{type(error).__name__} {error}\n".encode())
        return 1
    return 0


def _end_with(reader: BinaryIO) -> None:
    """Also one that hangs, when the reader is no more."""
    reader.read()
    os._exit(1)


if __name__ == "__main__":
    with open(1, "wb", buffering=0, closefd=False) as out:
        sys.exit(main(sys.stdin.buffer, out))
