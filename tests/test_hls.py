"""Playlists: written for any web server, followed when asked for."""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from media import picture
from test_live import number
from test_outputs import BASE, LIVE

from pipeline.errors import SinkError, SourceError, SourceInvalid
from pipeline.frame import Frame
from pipeline.sinks import SinkOptions, open_sink, prepare
from pipeline.sources import open_source

WIDE = Fraction(16, 15)
"""Of a pixel, as of television with 4:3 pictures."""


@contextmanager
def written(path: Path, seconds: int) -> Iterator[threading.Thread]:
    """A stream into the playlist `path`, by a thread that ends with it; 8 frames a second, as a
    slow model makes them."""
    prepare(str(path), SinkOptions())

    def write() -> None:
        with open_sink(str(path), replace(LIVE, aspect=WIDE)) as sink:
            for i in range(8 * seconds):
                sink.write(Frame(i, 3 * i, BASE, picture(i % 100)))
                time.sleep(0.125)
            sink.finish()

    thread = threading.Thread(target=write)
    thread.start()
    yield thread
    thread.join()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a plain web server."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)


def started(by: str = "self") -> list[int]:
    """The processes that this one started, and those that they did."""
    of_threads = Path(f"/proc/{by}/task").glob("*/children")
    found = [pid for listed in of_threads for pid in listed.read_text().split()]
    return [int(pid) for pid in found] + [p for pid in found for p in started(pid)]


def wait_for(path: Path, text: str) -> None:
    until_s = time.monotonic() + 20
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < until_s
        time.sleep(0.05)


def test_a_playlist_is_written_through_a_kill_and_followed(tmp_path: Path) -> None:
    path, others = tmp_path / "live.m3u8", started()
    with written(path, 14) as thread, served(tmp_path) as address:
        wait_for(path, "live-000001.ts")
        with open_source(f"hls+{address}/live.m3u8") as source:
            assert source.info.live
            assert source.info.aspect == WIDE
            seen = [number(f) for f, _ in zip(source.frames(), range(24), strict=False) if f]
        # Fetched two seconds at a time, shown one after another.
        assert seen == sorted(seen)
        assert len(seen) > (seen[-1] - seen[0]) / 2
        for pid in {*started()} - {*others}:
            os.kill(pid, signal.SIGKILL)
        while thread.is_alive():
            listed = path.read_text()
            assert listed.startswith("#EXTM3U")  # whole at any moment
            for name in re.findall(r".*\.ts", listed):
                assert (tmp_path / name).stat().st_size
            time.sleep(0.02)
        assert listed.count("#EXT-X-DISCONTINUITY") == 1
        assert {float(s) for s in re.findall(r"EXTINF:([\d.]+)", listed)[:2]} <= {2.0, 2.04, 2.08}
        assert "#EXT-X-ENDLIST" in path.read_text()
        with open_source(f"hls+{address}/live.m3u8") as film:
            assert not film.info.live
            assert len(list(film.frames())) > 30


def test_no_more_than_a_window_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sinks.hls.SEGMENTS", 1)
    path = tmp_path / "live.m3u8"
    with written(path, 8):
        pass
    assert len(re.findall(r".*\.ts", path.read_text())) == 1
    assert 1 <= len(list(tmp_path.glob("*.ts"))) <= 3
    with pytest.raises(SinkError, match="--overwrite"):
        prepare(str(path))
    path.unlink()  # what is left of a stream without its playlist is not deleted unasked
    with pytest.raises(SinkError, match="--overwrite"):
        prepare(str(path))
    (tmp_path / "other-000001.ts").touch()
    prepare(str(path), SinkOptions(overwrite=True))
    assert [p.name for p in tmp_path.iterdir()] == ["other-000001.ts"]


def test_a_playlist_is_followed_only_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "live.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n")
    with served(tmp_path) as address:
        with pytest.raises(SourceInvalid, match=r"write hls\+http"):
            open_source(f"{address}/live.m3u8")
        with pytest.raises(SourceError, match="sends nothing that can be read"):
            open_source(f"hls+{address}/live.m3u8")
    with pytest.raises(SinkError, match="h264"):
        prepare(str(tmp_path / "a.m3u8"), SinkOptions(codec="vp9"))
