"""RTSP cameras as they are: with passwords, killed, frozen, of another size, of another time."""

import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import av
import av.logging
import live as live_servers
import pytest
import rtsp
from conftest import ROOT
from test_outputs import LIVE
from test_outputs import frames as moving

from pipeline.errors import (
    SourceError,
    SourceForbidden,
    SourceMissing,
    SourceRefused,
    SourceSilent,
)
from pipeline.frame import Frame
from pipeline.sinks import open_sink
from pipeline.sources import open_source

pytestmark = rtsp.needed
USER, PASSWORD = "cam", "a@b#c%d:?f"


@pytest.fixture
def server() -> Iterator[rtsp.Server]:
    with rtsp.Server() as started:
        yield started


def some(frames: Iterator[Frame | None], count: int, limit_s: float = 20) -> list[Frame]:
    """The next `count` frames."""
    until_s, found = time.monotonic() + limit_s, list[Frame]()
    while len(found) < count:
        assert time.monotonic() < until_s
        frame = next(frames)
        found += [frame] if frame is not None else []
    return found


def until(frames: Iterator[Frame | None], wanted: Callable[[Frame], bool]) -> Frame:
    """The first frame like that."""
    return next(f for _ in range(200) for f in some(frames, 1) if wanted(f))


def number(frame: Frame) -> float:
    """Which picture of the server this is, modulo 100, by its grey."""
    return float((16 + frame.pixels.mean() * 219 / 255 - 30) / 2)


@pytest.mark.parametrize("kind", ["basic", "digest"])
def test_a_password_of_odd_characters_opens_and_is_never_shown(kind: str) -> None:
    with rtsp.Server(0, USER, PASSWORD, kind) as server:
        where = f"127.0.0.1:{server.port}/mute"
        with open_source(f"rtsp://{USER}:{PASSWORD}@{where}") as source:
            assert source.info.live
        for access in ("", f"{USER}:b@d#w%rd@"):
            with pytest.raises(SourceForbidden) as refused:
                open_source(f"rtsp://{access}{where}")
            assert "user and password" in str(refused.value)
            assert "d#w" not in str(refused.value)
            assert where in str(refused.value)


def test_a_camera_that_encrypts_is_seen_with_the_certificate_that_it_made(tmp_path: Path) -> None:
    if not rtsp.encrypts():
        pytest.skip("GStreamer cannot speak TLS here (glib-networking)")
    certificate = live_servers.certify(tmp_path / "camera.pem")
    with rtsp.Server(0, USER, PASSWORD, "digest", str(certificate)) as server:
        where = f"127.0.0.1:{server.port}/cam"
        with open_source(f"rtsps://{USER}:{PASSWORD}@{where}") as source:
            assert source.info.live
            assert source.info.sounds
            frames = some(source.frames(), 3)
        assert frames[0].pixels.shape == (96, 160, 3)
        with pytest.raises(SourceForbidden):
            open_source(f"rtsps://{USER}:nothing@{where}")
        with pytest.raises(SourceError):
            open_source(f"rtsp://{USER}:{PASSWORD}@{where}")  # nobody there speaks without TLS


def test_refusals_are_told_apart(server: rtsp.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str, kind: type[SourceError]) -> None:
        with pytest.raises(SourceError) as found:
            open_source(f"rtsp://127.0.0.1:{path}")
        assert type(found.value) is kind

    refused("1/cam", SourceRefused)
    refused(f"{server.port}/nothing", SourceMissing)
    monkeypatch.setattr("pipeline.sources.live.CONNECT_S", 1.0)
    monkeypatch.setattr("pipeline.sources._live.FIRST_FRAME_S", 1.0)
    server.tell("hush")
    refused(f"{server.port}/mute", SourceSilent)  # accepts, answers, sends nothing
    server.freeze()
    refused(f"{server.port}/mute", SourceSilent)  # accepts only


def test_by_udp_when_asked_and_packets_that_get_lost_smear_nothing(server: rtsp.Server) -> None:
    """Grey that a lost picture changed would stay wrong up to the next key frame."""
    with open_source(f"rtspu://127.0.0.1:{server.port}/lossy") as source:
        frames = some(source.frames(), 100)
        assert source.dropped["damaged"] > 10
    assert {f.epoch for f in frames} == {0}
    grey = [f for f in frames if f.pixels.mean() < 250]  # the rest is white, at whole seconds
    apart = [(number(f) - f.time_s * 25) % 100 for f in grey]
    assert max(abs((a - apart[0] + 50) % 100 - 50) for a in apart) < 1
    while av.logging.get_level() is not None:  # else FFmpeg and Python come to wait for each other
        time.sleep(0.05)


@pytest.mark.parametrize("how", ["freeze", "hush"])
def test_whatever_way_it_goes_it_comes_back(
    server: rtsp.Server, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.sources._pulse.BURST_S", 0.0)
    monkeypatch.setattr("pipeline.sources._pulse.PATIENCE_S", (1.0, 10.0))
    with open_source(f"rtsp://127.0.0.1:{server.port}/mute") as source:
        frames = source.frames()
        before = some(frames, 5)
        if how == "hush":
            server.tell("hush")
        else:
            server.freeze()  # half-open: the connection stays, and nobody is there
        until_s = time.monotonic() + 1.5
        while time.monotonic() < until_s:
            before += [frame for frame in [next(frames)] if frame]
        server.kill()
        with rtsp.Server(server.port):
            after = some(frames, 5)
    assert {f.epoch for f in after} == {1}
    times = [f.time_s for f in before + after]
    assert times == sorted(set(times))
    assert times[-1] - times[0] < 20


def test_another_picture_size_is_fitted_into_the_first(server: rtsp.Server) -> None:
    with open_source(f"rtsp://127.0.0.1:{server.port}/mute") as source:
        frames = source.frames()
        some(frames, 5)
        server.tell("size 320 240")
        assert source.info.width == 160
        for frame in some(frames, 40):
            assert frame.pixels.shape == (96, 160, 3)
            assert frame.epoch == 0
            assert frame.pixels[:, 20:140].std() < 3  # grey, not smeared
        assert frame.pixels[:, :14].max() < 20 < frame.pixels[:, 20:140].min()  # nor stretched


def test_an_hour_of_jump_in_time_is_no_gap(server: rtsp.Server) -> None:
    with open_source(f"rtsp://127.0.0.1:{server.port}/cam") as source:
        frames = source.frames()
        times = [f.time_s for f in some(frames, 10)]
        for hours in (1, -1):
            server.tell(f"jump {3600 * hours}")
            times += [f.time_s for f in some(frames, 30)]
        assert any("its times and the clock parted" in text for text in source.notices)
    assert max(b - a for a, b in pairwise(times)) < 1.5
    assert times == sorted(set(times))


def restarted(port: int, times: int, seen: Callable[[], int]) -> Iterator[float]:
    """Kills and starts the server at `port`; yields how long after each start frames came again."""
    for turn in range(times):
        with rtsp.Server(port):
            back_s, before = time.monotonic(), seen()
            while seen() <= before:
                assert time.monotonic() < back_s + (60 if turn else 240)
                time.sleep(0.02)
            if turn:
                yield time.monotonic() - back_s
            time.sleep(2)
        time.sleep(0.5 + turn % 4)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_restarts_are_twenty_recoveries(tmp_path: Path) -> None:
    with rtsp.Server() as server:
        port = server.port
    pictures, film, report = tmp_path / "pictures", tmp_path / "out.mkv", tmp_path / "report.json"
    words = ("--style", "styles/ink.jpg", "--wait-for-source", "--report", report)
    words = (*words, "-o", f"{pictures}/", "-o", film)
    run = subprocess.Popen(
        [sys.executable, "run_stream.py", f"rtsp://127.0.0.1:{port}/cam", *map(str, words)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )

    def seen() -> int:
        assert run.poll() is None, run.communicate()
        return len(list(pictures.glob("*.png"))) if pictures.is_dir() else 0

    try:
        waits = sorted(restarted(port, 21, seen))
    finally:
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=60)[1]
    assert run.returncode == 130, said
    about = json.loads(report.read_text())
    print(f"20 restarts: median {statistics.median(waits):.2f} s, p95 {waits[18]:.2f} s")
    assert len(waits) == about["reconnects"] == 20
    assert about["restarts"] == {}
    with av.open(str(film)) as media:
        times = [frame.time for frame in media.decode(video=0)]
    assert len(times) == about["frames_out"]
    assert times == sorted(set(times))


def test_a_stream_is_published_to_a_server(server: rtsp.Server, tmp_path: Path) -> None:
    got = tmp_path / "got.h264"
    server.tell(f"record {got}")
    with open_sink(f"rtsp://127.0.0.1:{server.port}/in", LIVE) as sink:
        for frame in moving(120):
            sink.write(frame)
        sink.finish()
    with av.open(str(got), format="h264") as media:
        pictures = list(media.decode(video=0))
    assert len(pictures) > 10
    assert (pictures[0].width, pictures[0].height) == (160, 96)
    assert pictures[0].key_frame
