"""Live sources against real senders on loopback: the newest picture wins, the lost come back."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice, pairwise
from pathlib import Path

import av
import cv2
import live
import pytest
from av.container import InputContainer
from conftest import ROOT, Run
from media import picture, video
from test_kills import children

from pipeline import color, srt
from pipeline.address import shown
from pipeline.errors import (
    HostUnknown,
    SourceError,
    SourceForbidden,
    SourceInvalid,
    SourceLost,
    SourceMissing,
    SourceRefused,
    SourceSilent,
)
from pipeline.frame import Frame
from pipeline.opening import open_media
from pipeline.sources import Source, SourceOptions, open_source, webcam
from pipeline.sources._live import LiveSource
from pipeline.sources._pulse import Pulse
from pipeline.timing import LiveClock


@pytest.fixture
def camera() -> Iterator[live.Server]:
    server = live.start()
    yield server
    if server.running:
        server.stop()


def number(frame: Frame) -> int:
    """Which picture of the camera this is, by its brightness (media.picture)."""
    return round((frame.pixels[2:20, 2:36].mean() - 30) / 2)


def some(source: Source, count: int) -> list[Frame]:
    """The next `count` frames, leaving out when there is none."""
    found = (frame for frame in source.frames() if frame is not None)
    return [next(found) for _ in range(count)]


def url(camera: live.Server, path: str = "video", user: str = "") -> str:
    return f"http://{user}127.0.0.1:{camera.server_port}/{path}"


def test_a_camera_with_a_certificate_of_its_own_is_seen(tmp_path: Path) -> None:
    camera = live.start(certificate=live.certify(tmp_path / "camera.pem"))
    try:
        with open_source(
            url(camera, "auth", "cam:a%40b%23c%25d%3Af@").replace("http", "https")
        ) as s:
            first, second = some(s, 2)
        assert second.time_s > first.time_s
    finally:
        camera.stop()


def test_whoever_is_slow_gets_the_newest_and_drops_are_counted(camera: live.Server) -> None:
    with open_source(url(camera)) as source:
        assert source.info.live
        frames = source.frames()
        first = next(f for f in frames if f)
        assert source.dropped["newer"] == 0
        time.sleep(0.8)
        late = next(f for f in frames if f)
        assert source.dropped["newer"] > 10
        assert late.index == first.index + 1
        behind = (camera.number - number(late)) % 100
        assert behind < 5
        assert 0.5 < late.time_s - first.time_s < 2


@pytest.mark.parametrize("period_s", [0.1, 0.015])
def test_pictures_without_times_have_those_of_their_arrival(
    camera: live.Server, period_s: float
) -> None:
    """FFmpeg gives 25 a second to a camera of any rate."""
    camera.period_s = period_s
    with open_source(url(camera)) as source:
        frames = some(source, 25)
    for frame in frames:
        since_s = float(frame.arrived_s or 0) - float(frames[0].arrived_s or 0)
        assert frame.time_s - frames[0].time_s == pytest.approx(since_s, abs=0.001)
    assert not any("parted" in notice for notice in source.notices)


def test_what_a_source_gives_is_measured_and_said(
    camera: live.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.sources._pulse.MEASURED_S", 0.5)
    with open_source(url(camera)) as source:
        frames = source.frames()
        while not source.notices:
            next(frames)
        where = f"http://127.0.0.1:{camera.server_port}/video"
    assert re.fullmatch(rf"{where} gives mjpeg 160x96, \d+\.\d frames a second", source.notices[0])


def test_what_goes_away_comes_back_in_a_new_epoch(camera: live.Server) -> None:
    with open_source(url(camera)) as source:
        frames = source.frames()
        before = [next(f for f in frames if f) for _ in range(3)]
        assert source.away == ""
        camera.stop()
        assert any(frame is None for _, frame in zip(range(60), frames, strict=False))
        while not source.away:
            next(frames)
        assert source.away.startswith(f"http://127.0.0.1:{camera.server_port}/video")
        again = live.start(camera.server_port)
        after = [next(f for f in frames if f) for _ in range(3)]
        assert source.away == ""
        again.stop()
        assert [f.epoch for f in before + after] == [0, 0, 0, 1, 1, 1]
        # A last picture may have been on its way when the sender stopped.
        assert [f.index for f in after] == list(range(after[0].index, after[0].index + 3))
        times = [f.pts for f in before + after]
        assert times == sorted(set(times))
        assert "went away 1 times" in source.notices[0]


def test_attempts_are_bounded_when_asked(
    camera: live.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.sources._feed.WAITS_S", (0.01, 0.05))
    with open_source(url(camera), SourceOptions(attempts=3)) as source:
        frames = source.frames()
        next(frames)
        camera.stop()
        assert len(list(zip(range(200), frames, strict=False))) < 200
        assert source.damage == source.away != ""


def test_a_source_that_is_not_there_yet_is_waited_for() -> None:
    camera = live.start()
    port = camera.server_port
    camera.stop()
    with pytest.raises(SourceRefused):
        open_source(f"http://127.0.0.1:{port}/video")
    later = threading.Timer(0.7, lambda: started.append(live.start(port)))
    started: list[live.Server] = []
    later.start()
    with open_source(f"http://127.0.0.1:{port}/video", SourceOptions(wait=True)) as source:
        assert len(some(source, 2)) == 2
    started[0].stop()


def test_a_slate_stands_for_one_that_is_not_there_yet() -> None:
    camera = live.start()
    camera.stop()
    with open_source(url(camera), SourceOptions(slate=(320, 180))) as source:
        assert (source.info.width, source.info.height, source.info.live) == (320, 180, True)
        frames = source.frames()
        first = next(frames)
        assert first is not None
        assert first.pixels.shape == (180, 320, 3)
        assert first.arrived_s is None  # so no --max-latency leaves it out
        assert (first.pixels.min(axis=2) > 220).mean() > 0.01  # words on it
        assert next(frames) is None
        assert re.search(r"refuses|not there yet", source.away)
        again = live.start(camera.server_port)
        after = [frame for frame in islice(frames, 30) if frame][:5]
        assert source.away == ""
        again.stop()
    assert [(f.index, f.epoch) for f in after] == [(n, 0) for n in range(1, 6)]
    assert first.pts < after[0].pts
    for frame in after:  # 5:3 in 16:9
        assert frame.pixels[:, :9].max() < 20
        assert frame.pixels[:, 12:-12].mean() > 30
        assert frame.pixels[:, -9:].max() < 20
    assert not any("parted" in notice for notice in source.notices)


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("auth", SourceForbidden, "user and password"),
        ("nothing", SourceMissing, "not there"),
        ("page", SourceLost, "nothing that can be read"),
    ],
)
def test_refusals_are_told_apart(
    camera: live.Server, path: str, kind: type[SourceError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        open_source(url(camera, path))


@pytest.mark.parametrize(
    "address",
    ["rtsp://", "http:///video", "rtsp://h:99999/x", "tcp://h", "udp://h", "rtsp://u:a@b/c@h/x"],
)
def test_what_can_never_be_there_is_not_waited_for(address: str) -> None:
    for options in (SourceOptions(wait=True), SourceOptions(slate=(64, 64))):
        with pytest.raises(SourceInvalid, match=r"is no address|which @"):
            open_source(address, options)


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp", "http", "tcp", "srt"])
def test_a_host_that_nobody_knows_is_said(scheme: str) -> None:
    if scheme == "srt" and srt.lacks():
        pytest.skip(srt.lacks())
    with pytest.raises(HostUnknown, match=rf"^{scheme}://nowhere.invalid:9\S*: no such host") as it:
        open_source(f"{scheme}://me:s3cret@nowhere.invalid:9/a?s3cret")
    assert "s3cret" not in str(it.value)


def test_one_that_accepts_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sources.live.CONNECT_S", 0.5)
    with live.silent() as port:
        began = time.monotonic()
        with pytest.raises(SourceSilent):
            open_source(f"http://127.0.0.1:{port}/video")
        with pytest.raises(SourceSilent):
            open_source(f"rtmp://127.0.0.1:{port}/app/secret")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("encoded", [False, True])
def test_any_password_works_and_is_never_shown(camera: live.Server, encoded: bool) -> None:
    word = "a%40b%23c%25d%3Af" if encoded else live.PASSWORD
    address = url(camera, "auth", f"{live.USER}:{word}@")
    with open_source(address) as source:
        assert len(some(source, 1)) == 1
    with pytest.raises(SourceForbidden) as refused:
        open_source(url(camera, "auth", f"{live.USER}:wrong@#word@"))
    assert "wrong" not in str(refused.value)
    assert "127.0.0.1" in str(refused.value)


@pytest.mark.parametrize(
    ("address", "safe"),
    [
        ("rtsp://u:s3cret@h:554/p?token=s3cret#s3cret", "rtsp://h:554/p"),
        ("rtsp://u:s3cret@x#s3cret%@h/p", "rtsp://h/p"),
        ("rtsp://u:s3cret/s3cret@h:1/p", "rtsp://h:1/p"),
        ("rtsp://u:x@s3cret/s3cret@h/p", "rtsp://h/p"),
        ("rtsp://u:s3cret@[::1]:8554/p", "rtsp://[::1]:8554/p"),
        ("rtsp://h/path@hd", "rtsp://h/path@hd"),
        ("rtmp://h/app/s3cret", "rtmp://h/app/..."),
        ("RTMPS://u:s3cret@h/app/s3cret?s3cret", "RTMPS://h/app/..."),
    ],
)
def test_what_is_shown_of_an_address(address: str, safe: str) -> None:
    assert shown(address) == safe


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
def test_transport_streams(scheme: str) -> None:
    with live.transport_stream(scheme) as port, open_source(f"{scheme}://127.0.0.1:{port}") as it:
        assert it.info.live
        frames = some(it, 10)
    assert frames[-1].pixels.shape == (96, 160, 3)
    assert len({number(f) for f in frames}) > 5


def test_a_port_that_falls_silent_is_listened_at_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sources._pulse.BURST_S", 0.0)
    monkeypatch.setattr("pipeline.sources._pulse.PATIENCE_S", (0.3, 10.0))
    with live.transport_stream("udp") as port:
        source = open_source(f"udp://127.0.0.1:{port}")
        frames = source.frames()
        some(source, 10)
    with source:
        while [thread.name for thread in threading.enumerate()].count("link") < 2:
            next(frames)
        with live.transport_stream("udp", port=port):
            assert next(frame for frame in frames if frame and frame.epoch).epoch == 1


def test_pictures_that_a_server_kept_tell_nothing_of_the_rate() -> None:
    frame = av.VideoFrame(160, 96, "yuv420p")
    pulse = Pulse("mjpeg", 10.0)
    for now_s in (100.0, 100.01, 100.02, 115.0):  # one each 15 s, and at once those of before
        pulse.after(frame, now_s)
        assert pulse.patience_s == 10
    pulse.after(frame, 130.0)
    assert pulse.patience_s == 100
    steady = Pulse("mjpeg", 10.0)
    for i in range(30):
        steady.after(frame, 100 + i * 0.04)
    assert steady.patience_s == 2


@pytest.mark.parametrize("period_s", [0.1, 0.9])
def test_one_that_is_slow_is_waited_for(
    camera: live.Server, period_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as nobody knows how often pictures come, each connection is given longer."""
    for name, value in (("FIRST_FRAME_S", 0.3), ("BETWEEN_S", 0.3)):
        monkeypatch.setattr(f"pipeline.sources._feed.{name}", value)
    monkeypatch.setattr("pipeline.sources._pulse.PATIENCE_S", (0.2, 100.0))
    monkeypatch.setattr("pipeline.sources._feed.WAITS_S", (0.01, 0.05))
    monkeypatch.setattr("pipeline.sources._pulse.BURST_S", 0.0)
    camera.period_s = period_s
    with open_source(url(camera)) as source:
        epochs = [f.epoch for f in some(source, 7)]
        camera.period_s *= 2  # ten intervals are waited for
        epochs += [f.epoch for f in some(source, 3)]
        assert epochs == [0] * 10
        assert source.away == ""


def test_a_port_that_another_program_has_is_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(SourceInvalid, match="another program listens at this port"):
            open_source(f"udp://127.0.0.1:{other.getsockname()[1]}")


def test_what_hangs_while_it_opens_has_a_limit(
    camera: live.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, ended, where = [0], threading.Event(), url(camera)

    @contextmanager
    def connect(_: float) -> Iterator[InputContainer]:
        calls[0] += 1
        if calls[0] in hangs:
            ended.wait()
        with open_media(where) as container:
            yield container

    hangs = {1}
    monkeypatch.setattr("pipeline.sources._live.OPENING_S", 0.2)
    with pytest.raises(SourceSilent, match="sends nothing in time"):
        LiveSource(where, SourceOptions(), connect)
    hangs = {2, 4}
    monkeypatch.setattr("pipeline.sources._live.OPENING_S", 15.0)
    monkeypatch.setattr("pipeline.sources._feed.OPENING_S", 0.5)
    calls[0] = 2
    with LiveSource(where, SourceOptions(), connect) as source:
        assert next(frame for frame in source.frames() if frame).epoch == 0
    assert calls[0] == 5
    ended.set()


def test_hdr_is_mapped_and_said(tmp_path: Path) -> None:
    hlg = color.ColorTags("bt2020nc", "tv", "bt2020", "arib-std-b67")
    data = video(tmp_path / "hlg.ts", frames=100, tags=hlg).read_bytes()
    with (
        live.transport_stream("tcp", data=data) as port,
        open_source(f"tcp://127.0.0.1:{port}") as source,
    ):
        some(source, 2)
        assert "the video is HDR (HLG); its brightness is mapped to SDR" in source.notices


def test_lost_packets_are_counted_and_smear_nothing() -> None:
    with (
        live.transport_stream("udp", loss=0.05) as port,
        open_source(f"udp://127.0.0.1:{port}") as source,
    ):
        frames = some(source, 120)
        damaged = source.dropped["damaged"]
    assert {f.epoch for f in frames} == {0}
    assert damaged > 10
    assert f"sent {damaged} damaged pictures" in source.notices[0]
    worst = max(apart(f) for f in frames)
    with live.transport_stream("udp") as port, open_source(f"udp://127.0.0.1:{port}") as source:
        assert worst < 1.1 * max(apart(f) for f in some(source, 100))


def test_sound_without_pictures_is_no_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.sources._feed.BETWEEN_S", 0.5)
    data = video(tmp_path / "film.ts", frames=12, sound_at_s=0).read_bytes()  # 0.5 s and 2 s
    with (
        live.transport_stream("tcp", data=data) as port,
        open_source(f"tcp://127.0.0.1:{port}") as source,
    ):
        assert source.info.sounds
        until_s = time.monotonic() + 60
        frames = (frame for frame in source.frames() if frame)
        assert any(f.epoch or time.monotonic() > until_s for f in frames)
    assert "went away" in source.notices[0]


def test_one_that_hangs_is_left_behind_and_opened_again(
    camera: live.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.sources._pulse.BURST_S", 0.0)
    monkeypatch.setattr("pipeline.sources._pulse.PATIENCE_S", (0.5, 10.0))
    monkeypatch.setattr("pipeline.sources._pulse.MEASURED_S", 0.1)
    with open_source(url(camera)) as source:
        frames = (frame for frame in source.frames() if frame)
        while next(frames).epoch or camera.watching > 1:  # that of the first look still goes
            pass
        for epoch in (1, 2):
            camera.hushed += 1
            again = next(frame for frame in frames if frame.epoch == epoch)
            assert camera.watching == epoch + 1  # FFmpeg still waits for those before
            while not any("gives" in notice for notice in source.notices):
                next(frames)
        camera.hushed = 0
        while camera.watching > 1:
            assert next(frames).epoch == 2
        seen = [number(again)] + [number(frame) for frame in islice(frames, 5)]
        assert seen == sorted(set(seen))


@pytest.mark.parametrize("step", [0, 1])
def test_a_camera_that_freezes_is_opened_again(
    camera: live.Server, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.sources._pulse.FROZEN_S", 0.5)
    where = url(camera)
    with LiveSource(where, SourceOptions(), lambda _: open_media(where), noisy=True) as source:
        frames = (frame for frame in source.frames() if frame)
        assert next(frames).epoch == 0
        camera.step = step
        until_s = time.monotonic() + (60 if step == 0 else 2)
        last = next(f for f in frames if f.epoch or time.monotonic() > until_s)
        assert last.epoch == 1 - step


def plug_in(device: Path, number: int) -> threading.Event:
    """A camera at a path of its own that sends JPEGs to who opens it; the event unplugs it."""
    os.mkfifo(device)
    unplugged = threading.Event()
    data = cv2.imencode(".jpg", picture(number)[..., ::-1])[1].tobytes()

    def send() -> None:
        with suppress(OSError), device.open("wb", buffering=0) as out:
            while not unplugged.wait(0.02):
                out.write(data)

    threading.Thread(target=send, daemon=True).start()
    return unplugged


def camera_processes() -> set[int]:
    """Those that hold a camera for this one."""
    return {
        pid
        for pid in children(os.getpid())
        if b"pipeline.sources._camera" in Path(f"/proc/{pid}/cmdline").read_bytes()
    }


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes in /proc")
def test_a_camera_is_found_again_under_another_number_by_a_fresh_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, lasting = (tmp_path / name for name in ("video0", "video1", "by-id/usb-cam"))
    lasting.parent.mkdir()
    monkeypatch.setattr(webcam, "BY_ID", lasting.parent)
    monkeypatch.setattr("pipeline.sources._pulse.BURST_S", 0.0)
    monkeypatch.setattr("pipeline.sources._pulse.PATIENCE_S", (1.0, 10.0))
    monkeypatch.setattr(webcam, "SYSTEM", "mjpeg")  # of Video4Linux2, which needs a camera
    with pytest.raises(SourceMissing, match=r"no camera .*video0; found: "):
        open_source(f"webcam:{first}")
    lasting.symlink_to(first)
    unplugged = plug_in(first, 20)
    with open_source(f"webcam:{first}") as source:
        unplugged.set()
        first.unlink()
        unplugged = plug_in(first, 20)  # one process looked at it, the next one reads
        frames = (frame for frame in source.frames() if frame)
        assert number(next(frames)) == 20
        (before,) = camera_processes()
        unplugged.set()
        first.unlink()
        lasting.unlink()
        lasting.symlink_to(second)
        plug_in(second, 60)
        assert number(next(frame for frame in frames if frame.epoch)) == 60
        (after,) = camera_processes()
        assert after != before
        os.kill(after, signal.SIGSTOP)  # it hangs, as inside a driver
        second.unlink()
        plug_in(second, 80)
        assert number(next(frame for frame in frames if frame.epoch > 1)) == 80
        assert camera_processes().isdisjoint({before, after})
    assert not camera_processes()


def test_what_is_wrong_with_a_camera_is_said_by_its_process(tmp_path: Path) -> None:
    file = tmp_path / "video0"
    file.write_bytes(b"no camera")
    with pytest.raises(SourceError, match=f"webcam:{file} .*right address"):
        open_source(f"webcam:{file}")


def apart(frame: Frame) -> float:
    """From the picture that the camera had, levels of 255 in the mean."""
    wanted = picture(min(max(number(frame), 0), 99)).astype(int)
    return float(abs(frame.pixels - wanted).mean())


def test_handles_and_threads_stay_as_many_through_reconnects(
    camera: live.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.sources._feed.WAITS_S", (0.02, 0.05))
    counts = []
    with open_source(url(camera)) as source:
        frames, port = source.frames(), camera.server_port
        for epoch in range(21):
            while (frame := next(frames)) is None or frame.epoch < epoch:
                pass
            camera.stop()
            gone(camera)
            counts.append((len(os.listdir("/proc/self/fd")), threading.active_count()))
            camera = live.start(port)
        camera.stop()
    assert "went away" in source.notices[0]
    handles, threads = zip(*counts, strict=True)
    assert max(handles[10:]) <= max(handles[:10])
    assert max(threads[10:]) <= max(threads[:10])


def gone(camera: live.Server) -> None:
    """Until nobody is sent anything by it any more."""
    until_s = time.monotonic() + 10
    while any("process_request" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_a_film_over_http_is_read_whole(tmp_path: Path) -> None:
    video(tmp_path / "film.mkv", frames=12)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/film.mkv"
        with open_source(address) as source:
            assert not source.info.live
            assert [f.index for f in source.frames() if f] == list(range(12))
        with open_source(address, SourceOptions(slate=(64, 64))) as source:
            assert len(list(islice(source.frames(), 40))) < 40  # it is not waited for
            assert source.damage is not None
            assert source.damage.endswith("/film.mkv is a film: leave --slate out")
        server.shutdown()


def test_live_times_survive_jumps_and_restarts() -> None:
    clock = LiveClock(Fraction(1, 1000))
    even = [clock.at(5 + i * 0.04, 100 + i * 0.04 + (0.03 if i % 2 else 0)) for i in range(5)]
    assert even == [100000, 100040, 100080, 100120, 100160]
    assert clock.at(3605.2, 100.2) == 100200  # an hour ahead: goes on from when it arrived
    assert clock.at(3605.24, 100.24) == 100240
    assert clock.at(0.0, 100.28) == 100280  # begins again at 0
    assert clock.at(None, 100.3) == 100300
    assert clock.at(0.0, 100.31) == 100301  # never back
    late = LiveClock(Fraction(1, 1000))
    assert late.at(0.0, 7.0) == 7000


def under_way(source: str, out: Path, *words: object) -> subprocess.Popen[str]:
    """A run that has written for a second."""
    asked = ("--model", "identity", "-o", out, *words)
    run = subprocess.Popen(
        [sys.executable, ROOT / "run_stream.py", source, *map(str, asked)],
        stderr=subprocess.PIPE,
        text=True,
    )
    part = out.with_suffix(f".part{out.suffix}")
    while run.poll() is None and not (part.exists() and part.stat().st_size):
        time.sleep(0.05)
    time.sleep(1)
    return run


def test_a_live_stream_becomes_a_film_across_a_restart(camera: live.Server, tmp_path: Path) -> None:
    out, report = tmp_path / "out.mp4", tmp_path / "report.json"
    words = ("--end", "6", "--report", report)
    run = under_way(url(camera), out, *words)
    camera.stop()
    time.sleep(0.5)
    again = live.start(camera.server_port)
    said = run.communicate(timeout=90)[1]
    again.stop()
    assert run.returncode == 0, said
    about = json.loads(report.read_text())
    assert about["reconnects"] == 1
    assert "went away 1 times" in said
    with av.open(str(out)) as film:
        times = [frame.time for frame in film.decode(video=0)]
    assert len(times) == about["frames_out"] > 40
    assert times == sorted(set(times))
    assert times[0] == 0
    assert 5.5 < times[-1] < 6
    assert max(b - a for a, b in pairwise(times)) > 0.4


def test_one_that_is_lost_for_good_leaves_a_film(camera: live.Server, tmp_path: Path) -> None:
    out, where = tmp_path / "out.mp4", url(camera)
    run = under_way(where, out, "--connect-attempts", 2)
    camera.stop()
    said = run.communicate(timeout=90)[1].splitlines()
    assert run.returncode == 3, said
    assert said[-2:] == [
        f"written: {out}",
        f"error: {where} refuses: is the address right and the sender running?",
    ]
    with av.open(str(out)) as film:
        assert sum(1 for _ in film.decode(video=0)) > 5


def test_what_makes_no_sense_for_a_live_input(camera: live.Server, paint: Run) -> None:
    done = paint(url(camera), "--model", "identity", "-o", "null:", "--start", "5")
    assert done.returncode == 2
    assert "--start is for films" in done.stderr
    refused = paint("rtsp://cam:hush@127.0.0.1:1/x", "--model", "identity", "-o", "null:")
    assert refused.returncode == 3
    assert "hush" not in refused.stderr
    assert "127.0.0.1:1" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
