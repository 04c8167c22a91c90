"""SRT by the system's ffmpeg command: the FFmpeg inside PyAV has none. What is secret in an address
reaches it by a pipe or a file that nobody else can read, for its command line anyone can."""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import IO
from urllib.parse import parse_qsl, urlencode, urlsplit

from pipeline.patience import Patience

ENDING_S, LEAVING_S = 5.0, 1.0
CALLED_S = 15.0
"""A listener waits so long for a caller at a time."""
COMMAND = "ffmpeg"
SECRETS = {"passphrase", "streamid"}
IN = ("-probesize", "500000", "-analyzeduration", "500000", "-fflags", "nobuffer")
COPY = (
    *("-c", "copy", "-f", "mpegts", "-flush_packets", "1"),
    # Pictures do not wait for sound, which comes in larger pieces: measured, up to 0.3 s.
    *("-max_interleave_delta", "1"),
)
PACKET_BYTES = 1316
"""Seven of MPEG-TS, which is what a packet of SRT holds."""
AS_IT_IS = (
    *("-blocksize", str(PACKET_BYTES), "-f", "data", "-raw_packet_size", str(PACKET_BYTES)),
    *("-i", "pipe:0", "-map", "0", "-c", "copy", "-f", "data", "-flush_packets", "1"),
)
"""Bytes, which nothing has to be known of, so that it calls before there are pictures."""
EMPTY = (b"\x47\x1f\xff\x10" + bytes([255] * 184)) * 7
"""A packet of MPEG-TS that says nothing, for FFmpeg looks at the first bytes before it calls."""
CONNECTED = b"Output #0"
"""What it says then, and not before."""
PR_SET_PDEATHSIG = 1
"""Of linux/prctl.h."""


@cache
def lacks() -> str:
    """What is missing here for SRT, and the way out; "" where nothing is."""
    path = shutil.which(COMMAND)
    if path is None:
        return "SRT needs the ffmpeg command: install it (apt install ffmpeg, brew install ffmpeg)"
    listed = subprocess.run([path, "-hide_banner", "-protocols"], capture_output=True, text=True)
    if "srt" not in listed.stdout.split():
        return "the ffmpeg command on this machine was built without SRT: install one that has it"
    return ""


class Unreached(ConnectionError):
    """Nobody is at the address, or none who takes what is secret in it."""


class Pipe:
    """The stream as it comes, for PyAV; TimeoutError when nothing does."""

    def __init__(self, file: IO[bytes], first_s: float, patience: Patience) -> None:
        """`first_s`: how long the first byte may take."""
        self._file, self._patience = file, patience
        self._first_s: float | None = first_s
        self._ended = False

    def read(self, most: int) -> bytes:
        """At least one byte; none at the end."""
        if self._ended:
            return b""
        limit_s = self._first_s or self._patience.seconds
        if not select.select([self._file], [], [], limit_s)[0]:
            self._ended = True  # PyAV prints a second error, when FFmpeg asks once more
            raise TimeoutError
        self._first_s = None
        return os.read(self._file.fileno(), most)


def listens(text: str) -> bool:
    """Whether others call this address, and it calls none."""
    return ("mode", "listener") in parse_qsl(urlsplit(text).query)


@contextmanager
def receiving(text: str, first_s: float, patience: Patience) -> Iterator[Pipe]:
    """What comes from the address, as MPEG-TS; a caller is waited for longer than `first_s`."""
    script = "ffconcat version 1.0\nfile '" + text.replace("'", r"'\''") + "'\n"
    opened = ("-protocol_whitelist", "pipe,srt,udp", "-f", "concat", "-safe", "0", "-i", "pipe:0")
    command = [COMMAND, "-v", "quiet", *IN, *opened, *COPY, "pipe:1"]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert child.stdin
    assert child.stdout
    try:
        child.stdin.write(script.encode())
        child.stdin.close()
        yield Pipe(child.stdout, CALLED_S if listens(text) else first_s, patience)
    finally:
        child.stdout.close()
        child.terminate()  # so that it tells the other side, which else notices after seconds
        with suppress(subprocess.TimeoutExpired):
            child.wait(LEAVING_S)
        child.kill()
        child.wait()


@contextmanager
def sending(text: str, ended: IO[bytes]) -> Iterator[IO[bytes]]:
    """Takes MPEG-TS and sends it to the address, once connected; BrokenPipeError when that ends,
    or `ended` can be read before."""
    parts = urlsplit(text)
    asked = parse_qsl(parts.query)
    plain = parts._replace(query=urlencode([(k, v) for k, v in asked if k not in SECRETS]))
    with tempfile.NamedTemporaryFile("w", suffix=".ffpreset") as preset:
        preset.writelines(f"{key}={value}\n" for key, value in asked if key in SECRETS)
        preset.flush()
        secret = ("-fpre", preset.name) if set(dict(asked)) & SECRETS else ()
        command = [COMMAND, "-hide_banner", "-nostats", *AS_IT_IS, *secret, plain.geturl()]
        child = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=_ends_with_us(),
        )
        assert child.stdin
        try:
            child.stdin.write(EMPTY)
            _await_connection(child, ended)
            yield child.stdin
            child.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                child.wait(ENDING_S)
        finally:
            child.kill()
            child.wait()
            with suppress(OSError):
                child.stdin.close()


def _ends_with_us() -> Callable[[], object] | None:
    """Asks Linux to end a child when we are killed, for while it listens it reads nothing, not
    even the end of its input. Elsewhere it goes on until somebody has called."""
    if sys.platform != "linux":
        return None
    ask = ctypes.CDLL(None).prctl  # looked up here: between fork and exec little is allowed
    return lambda: ask(PR_SET_PDEATHSIG, signal.SIGKILL)


def _await_connection(child: "subprocess.Popen[bytes]", ended: IO[bytes]) -> None:
    assert child.stderr
    with child.stderr as said:  # of what comes later nothing is wanted, and no pipe can fill
        while said in select.select([said, ended], [], [])[0]:
            line = said.readline()
            if line.startswith(CONNECTED):
                return
            if not line:
                raise Unreached
        raise BrokenPipeError
