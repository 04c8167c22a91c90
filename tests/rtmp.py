"""Starts nginx with its RTMP module on loopback, a server that can be killed and started again."""

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import pytest

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
COMMAND = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/log;
load_module {module};
events {{}}
rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}
"""

needed = pytest.mark.skipif(
    COMMAND is None or not MODULE.exists(), reason="no RTMP server: nginx-core, libnginx-mod-rtmp"
)


class Server:
    """`with Server(folder) as server:`; `server.url` takes a stream and gives it to all who ask."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"rtmp://127.0.0.1:{self.port}/live/s3cret"
        self._config = folder / "nginx.conf"
        self._config.write_text(CONFIG.format(folder=folder, module=MODULE, port=self.port))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Until it takes calls."""
        self._process = subprocess.Popen([str(COMMAND), "-c", str(self._config)])
        until_s = time.monotonic() + 20
        while time.monotonic() < until_s:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert self._process.poll() is None
                time.sleep(0.05)
        raise AssertionError("nginx did not start")

    def kill(self) -> None:
        """Gone at once, with all connections."""
        self._process.kill()
        self._process.wait()
