"""SRT in and out, with the system's ffmpeg on either side."""

import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
from test_hls import started
from test_outputs import LIVE, frames

from pipeline import srt
from pipeline.errors import SinkError, SourceInvalid, SourceLost, SourceSilent
from pipeline.frame import Frame
from pipeline.sinks import open_sink, prepare
from pipeline.sinks._relay import STALLED_S
from pipeline.sources import SourceOptions, open_source

SCENE = "-re -f lavfi -i testsrc=size=160x96:rate=25 -f lavfi -i sine=sample_rate=48000"
CODED = "-c:v libx264 -tune zerolatency -g 12 -c:a aac -f mpegts"
needed = pytest.mark.skipif(bool(srt.lacks()), reason=srt.lacks() or "SRT is there")


@contextmanager
def ffmpeg(*words: str, calls: int = 3) -> Iterator[subprocess.Popen[bytes]]:
    """It ends with its connection, and is started again, as a server would go on and OBS would call
    again."""
    loop = 'for _ in $CALLS; do ffmpeg -v quiet -nostdin -y "$@"; sleep 0.2; done'
    again = ["sh", "-c", loop, "sh", *words]
    environment = {**os.environ, "CALLS": "again " * calls}
    with subprocess.Popen(again, env=environment, start_new_session=True) as running:
        time.sleep(0.7)
        yield running
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        try:
            found.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def commands(besides: subprocess.Popen[bytes]) -> str:
    """The command lines of the processes that this one started, and of theirs."""
    ours = {*started()} - {besides.pid, *started(str(besides.pid))}
    return str([Path(f"/proc/{pid}/cmdline").read_bytes() for pid in ours])


@needed
def test_it_is_received_and_the_passphrase_is_seen_by_nobody() -> None:
    address = f"srt://127.0.0.1:{free_port()}"
    to = f"{address}?mode=listener&passphrase=a-long-word"
    with ffmpeg(*SCENE.split(), *CODED.split(), to) as sender:
        with open_source(f"{address}?passphrase=a-long-word&latency=200000") as source:
            assert source.info.live
            assert source.info.sounds
            found = []
            for frame in source.frames():
                assert "a-long" not in commands(sender)
                found += [frame] if frame else []
                if len(found) > 20:
                    break
        assert found[-1].pixels.shape == (96, 160, 3)
        assert any(frame.heard for frame in found)


@needed
def test_it_listens_as_long_as_it_takes_for_one_who_calls_and_calls_again() -> None:
    address = f"srt://127.0.0.1:{free_port()}"
    with ffmpeg(*SCENE.split(), *CODED.split(), "-t", "4", address, calls=30):
        where = f"{address}?mode=listener"
        with open_source(where, SourceOptions(wait=True)) as source:
            seen = [f for f in until_epoch(source.frames(), 1) if f]
    times = [f.time_s for f in seen]
    assert times == sorted(set(times))


def until_epoch(frames: Iterator[Frame | None], epoch: int) -> Iterator[Frame | None]:
    """All up to the first frame after so many reconnects."""
    until_s = time.monotonic() + 60
    for frame in frames:
        yield frame
        if frame and frame.epoch == epoch:
            return
        assert time.monotonic() < until_s


@contextmanager
def lossy(to: int, loss: float) -> Iterator[int]:
    """A port of which everything goes to the port `to`, and back, but this share of the packets."""
    chance, ended = random.Random(5), threading.Event()
    near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    near.bind(("127.0.0.1", 0))
    far.connect(("127.0.0.1", to))

    def carry() -> None:
        caller = None
        while not ended.is_set():
            for ready in select.select([near, far], [], [], 0.1)[0]:
                try:
                    data, who = ready.recvfrom(2048)
                except OSError:  # nobody listens there yet
                    continue
                caller = who if ready is near else caller
                if chance.random() < loss:
                    continue
                if ready is near:
                    far.send(data)
                elif caller:
                    near.sendto(data, caller)

    thread = threading.Thread(target=carry)
    with near, far:
        thread.start()
        yield near.getsockname()[1]
        ended.set()
        thread.join()


@needed
def test_lost_packets_are_sent_again() -> None:
    port = free_port()
    words = *SCENE.split(), *CODED.split(), f"srt://127.0.0.1:{port}?mode=listener"
    with (
        ffmpeg(*words),
        lossy(port, 0.05) as relayed,
        open_source(f"srt://127.0.0.1:{relayed}", SourceOptions(wait=True)) as source,
    ):
        frames = (frame for frame in source.frames() if frame)
        found = [next(frames) for _ in range(100)]
        damaged = source.dropped["damaged"]
    assert found[-1].epoch == found[0].epoch
    assert damaged == 0


@needed
def test_it_is_sent_with_a_passphrase(tmp_path: Path) -> None:
    address, out = f"srt://127.0.0.1:{free_port()}", tmp_path / "got.ts"
    with ffmpeg(
        "-i",
        f"{address}?mode=listener&passphrase=a-long-word",
        "-c",
        "copy",
        "-t",
        "60",
        str(out),
        calls=1,
    ) as receiver:
        with open_sink(f"{address}?passphrase=a-long-word", LIVE) as sink:
            for frame in frames(120):
                sink.write(frame)
            assert "a-long" not in commands(receiver)
            sink.finish()
        receiver.wait(15)
    with av.open(str(out)) as media:
        assert len(list(media.decode(video=0))) > 20


@needed
def test_who_calls_is_sent_it_however_late(tmp_path: Path) -> None:
    address, out = f"srt://127.0.0.1:{free_port()}", tmp_path / "got.ts"
    viewer = ("ffmpeg", "-v", "quiet", "-nostdin", "-i", address, "-c", "copy", "-t", "2", str(out))
    with open_sink(f"{address}?mode=listener", LIVE) as sink:
        began_s, caller = time.monotonic(), None
        for frame in frames(1 << 30):
            sink.write(frame)
            waited_s = time.monotonic() - began_s
            if caller is None and waited_s > STALLED_S + 3:
                caller = subprocess.Popen(viewer)  # calls once
            if waited_s > 60 or (out.exists() and out.stat().st_size > 20_000):
                break
        sink.finish()
        assert sink.notices == [] or "frames came too fast" in sink.notices[0]
        assert caller is not None
        caller.kill()
        caller.wait()
    assert out.stat().st_size > 20_000


@needed
def test_what_nobody_takes_is_not_sent() -> None:
    address = f"srt://127.0.0.1:{free_port()}"
    with open_sink(f"{address}?passphrase=a-long-word", LIVE) as sink:
        for frame in frames(1 << 30):
            sink.write(frame)
            assert not sink.outlets[0].up
            if sink.outlets[0].lost:
                break
        with pytest.raises(SinkError, match="^" + address + ": nothing .* cannot be reached"):
            sink.finish()


@needed
def test_nobody_has_to_call_and_nothing_stays_behind() -> None:
    address = f"srt://127.0.0.1:{free_port()}"
    others = {*started()}
    with open_sink(f"{address}?mode=listener", LIVE) as sink:
        ours = set[int]()
        for frame in frames(1 << 30):
            sink.write(frame)
            ours = {*started()} - others
            if len(ours) == 2:  # the process that sends, and its ffmpeg
                break
        sink.finish()
        assert sink.notices == [f"{address}: nobody called"]
    assert not any(Path(f"/proc/{pid}").exists() for pid in ours)


@needed
def test_nobody_who_calls_is_one_line_and_no_more(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.srt.CALLED_S", 0.5)
    with pytest.raises(SourceSilent, match=r"^srt://127.0.0.1:\d+ sends nothing"):
        open_source(f"srt://127.0.0.1:{free_port()}?mode=listener")
    assert capfd.readouterr() == ("", "")


@needed
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_listener_ends_with_a_sender_that_is_killed() -> None:
    port, others = free_port(), {*started()}
    with open_sink(f"srt://127.0.0.1:{port}?mode=listener", LIVE) as sink:
        for frame in frames(1 << 30):
            sink.write(frame)
            if len(ours := {*started()} - others) == 2:
                break
        time.sleep(0.3)  # it has begun to listen
        assert not free(port)
        (sender,) = (pid for pid in ours if started(str(pid)))
        os.kill(sender, signal.SIGKILL)
        until = time.monotonic() + 5
        while not free(port):
            assert time.monotonic() < until
            time.sleep(0.02)


@needed
def test_it_has_no_port_that_is_understood() -> None:
    with pytest.raises(SourceInvalid, match=r"^srt://127.0.0.1 is no address"):
        open_source("srt://127.0.0.1", SourceOptions(wait=True))


@needed
def test_nobody_there_is_said_without_the_passphrase() -> None:
    with pytest.raises(SourceLost, match=r"^srt://127.0.0.1:\d+ cannot be reached"):
        open_source(f"srt://127.0.0.1:{free_port()}?passphrase=a-long-word")


def test_without_ffmpeg_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.srt.COMMAND", "no-such-ffmpeg")
    srt.lacks.cache_clear()
    with pytest.raises(SourceInvalid, match="install it"):
        open_source("srt://127.0.0.1:9")
    with pytest.raises(SinkError, match="install it"):
        prepare("srt://127.0.0.1:9")
    srt.lacks.cache_clear()
