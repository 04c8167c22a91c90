"""Starts rtsp_server.py in the system's python3, as a process that can be killed and frozen."""

import os
import signal
import subprocess
from functools import cache
from pathlib import Path
from typing import Self

import pytest

SYSTEM = "/usr/bin/python3"
PARTS = "x264enc", "rtph264pay", "opusenc"


@cache
def lacks() -> str:
    """What this machine lacks to serve RTSP; "" when nothing."""
    asked = (
        "import gi; gi.require_version('GstRtspServer', '1.0')\n"
        "from gi.repository import Gst, GstRtspServer; Gst.init(None)\n"
        f"missing = [p for p in {PARTS} if not Gst.ElementFactory.find(p)]\n"
        "raise SystemExit('GStreamer has no ' + ' '.join(missing) if missing else 0)"
    )
    if not Path(SYSTEM).exists():
        return f"there is no {SYSTEM}"
    done = subprocess.run([SYSTEM, "-c", asked], capture_output=True, text=True)
    return (done.stderr.strip().splitlines() or ["it ended"])[-1] if done.returncode else ""


@cache
def encrypts() -> bool:
    """Whether it can speak TLS, which takes glib-networking."""
    asked = "from gi.repository import Gio; assert Gio.TlsBackend.get_default().supports_tls()"
    return subprocess.run([SYSTEM, "-c", asked], capture_output=True).returncode == 0


needed = pytest.mark.skipif(
    bool(lacks()),
    reason=f"no RTSP server: {lacks()} (gir1.2-gst-rtsp-server-1.0, python3-gi, "
    "gstreamer1.0-plugins-good and -ugly)",
)


class Server:
    """`with Server(port, user, password, "digest", certificate) as server:`; `server.port` is
    where; all are optional."""

    def __init__(self, port: int = 0, *access: str) -> None:
        script = Path(__file__).with_name("rtsp_server.py")
        self._process = subprocess.Popen(
            [SYSTEM, script, str(port), *access],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def tell(self, line: str) -> None:
        """Have it do what a line says."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    def freeze(self) -> None:
        """Its connections stay, and new ones are accepted by the system; it says nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def kill(self) -> None:
        """Gone at once, without a word to anyone."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
