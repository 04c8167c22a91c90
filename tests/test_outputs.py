"""Network outputs to real receivers on loopback, and several outputs at a time."""

import io
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from conftest import Run
from media import BT709, picture, video

from pipeline.errors import SinkError
from pipeline.frame import Frame, StreamInfo
from pipeline.sinks import SinkOptions, _queued, dated, open_sink, open_sinks, prepare

BASE = Fraction(1, 25)
LIVE = StreamInfo(160, 96, BASE, Fraction(25), BT709, live=True)


class Receiver:
    """Takes MPEG-TS by TCP; hangs up after the first `most` bytes, then takes a second call."""

    def __init__(self, most: int = 1 << 30) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.calls: list[bytes] = []
        self._thread = threading.Thread(target=self._take, args=(most,), daemon=True)
        self._thread.start()

    def _take(self, most: int) -> None:
        with self._listener:
            for limit in (most, 1 << 30):
                caller = self._listener.accept()[0]
                self.calls.append(b"")
                with caller:
                    while len(self.calls[-1]) < limit and (data := caller.recv(65536)):
                        self.calls[-1] += data
                if most == 1 << 30:
                    return

    def frames(self) -> list[list[av.VideoFrame]]:
        """The decoded pictures of each call, once all are over."""
        self._thread.join(10)
        decoded = []
        for data in self.calls:
            with av.open(io.BytesIO(data), format="mpegts") as media:
                decoded.append(list(media.decode(video=0)))
        return decoded


def frames(count: int) -> Iterator[Frame]:
    """A live source: 25 frames a second."""
    for i in range(count):
        yield Frame(i, i, BASE, picture(i % 100))
        time.sleep(0.04)


def test_a_receiver_that_hangs_up_is_called_again() -> None:
    receiver = Receiver(most=30_000)
    with open_sink(f"tcp://127.0.0.1:{receiver.port}", LIVE) as sink:
        longest = 0.0
        for frame in frames(150):
            began = time.monotonic()
            sink.write(frame)
            longest = max(longest, time.monotonic() - began)
        sink.finish()
        assert "was lost 1 times" in sink.notices[0]
    assert longest < 0.5  # nobody waits for the network
    first, second = receiver.frames()
    assert len(first) > 10
    assert len(second) > 10
    assert second[0].key_frame
    times = [float(f.time) for f in first + second]
    assert times == sorted(set(times))


def test_the_stream_goes_on_while_no_frames_come() -> None:
    receiver = Receiver()
    with open_sink(f"tcp://127.0.0.1:{receiver.port}", LIVE) as sink:
        sink.write(Frame(0, 0, BASE, picture(7)))
        time.sleep(3.5)
        sink.write(Frame(1, round(3.5 / BASE), BASE, picture(50)))
        sink.finish()
    (taken,) = receiver.frames()
    assert 4 <= len(taken) <= 8
    assert float(taken[-1].time - taken[0].time) == pytest.approx(3.5, abs=0.5)


def test_nobody_there_is_said_and_secrets_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_sink("rtmp://me:hush@127.0.0.1:1/app/secret", LIVE) as sink:
        sink.write(Frame(0, 0, BASE, picture(0)))
        while not sink.notices:
            time.sleep(0.02)
        with pytest.raises(SinkError, match=r"127\.0\.0\.1:1/app/\.\.\.: nothing could be sent"):
            sink.finish()
        assert "hush" not in str(sink.notices)
        assert "secret" not in str(sink.notices)


def test_a_receiver_that_nobody_knows_is_said() -> None:
    with open_sink("tcp://nowhere.invalid:9", LIVE) as sink:
        sink.write(Frame(0, 0, BASE, picture(0)))
        while not sink.notices:
            time.sleep(0.02)
        with pytest.raises(SinkError, match=r"nowhere\.invalid:9"):
            sink.finish()
        assert "no such host" in str(sink.notices)


def test_what_cannot_be_sent_is_refused_at_once() -> None:
    with pytest.raises(SinkError, match="cannot send by https"):
        prepare("https://127.0.0.1:9")


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg as an RTMP server")
def test_rtmp_arrives(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    to, out = f"rtmp://127.0.0.1:{port}/live/key", tmp_path / "got.flv"
    command = ["ffmpeg", "-v", "error", "-listen", "1", "-i", to, "-c", "copy", str(out)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as server:
        with open_sink(to, LIVE) as sink:
            for frame in frames(125):
                sink.write(frame)
            sink.finish()
        server.wait(10)
    with av.open(str(out)) as media:
        assert len(list(media.decode(video=0))) > 20


def test_several_outputs_each_get_every_frame(paint: Run, tmp_path: Path) -> None:
    source = video(tmp_path / "in.mp4", frames=25)
    receiver = Receiver()
    done = paint(
        *(source, "--model", "identity"),
        *("-o", tmp_path / "a.mkv", "-o", f"{tmp_path}/b/"),
        *("-o", f"tcp://127.0.0.1:{receiver.port}"),
    )
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / "a.mkv")) as media:
        assert len(list(media.decode(video=0))) == 25
    assert len(list((tmp_path / "b").iterdir())) == 25
    assert receiver.frames()[0]


def test_a_run_that_is_started_again_writes_another_file(paint: Run, tmp_path: Path) -> None:
    words = ("test:size=64x48,frames=3", "--model", "identity")
    for _ in range(2):  # more than a second apart, as a start takes longer
        done = paint(*words, "-o", tmp_path / "%Y" / "wall-%m%d-%H%M%S.mkv")
        assert done.returncode == 0, done.stderr
    made = sorted(tmp_path.rglob("*.mkv"))
    assert len(made) == 2
    assert all(
        re.fullmatch(r"20\d\d/wall-\d{4}-\d{6}", str(p.relative_to(tmp_path))[:-4]) for p in made
    )
    assert f"written: {made[1]}" in done.stderr
    resumed = paint(*words, "-o", tmp_path / "wall-%m%d-%H%M%S.mkv", "--resume")
    assert resumed.returncode == 2
    assert "name the one to go on with" in resumed.stderr


@pytest.mark.parametrize("name", ["100%done.mkv", "%d.mkv", "50%-%Y%m.mkv", "%Y%m%05d.png"])
def test_other_names_keep_their_percent(name: str) -> None:
    assert dated(name) == name


def test_one_dead_output_stops_no_other(paint: Run, tmp_path: Path) -> None:
    source = video(tmp_path / "in.mp4", frames=12)
    out = tmp_path / "a.mp4"
    done = paint(source, "--model", "identity", "-o", out, "-o", "udp://256.0.0.1:1")
    assert done.returncode == 1
    *_, written, error = done.stderr.splitlines()
    assert "12 frames in, 12 out" in done.stderr
    assert written == f"written: {out}"
    assert error.startswith("error: udp://256.0.0.1:1: nothing could be sent")
    with av.open(str(out)) as media:
        assert len(list(media.decode(video=0))) == 12


def test_a_disk_that_hangs_holds_up_no_other_output(tmp_path: Path) -> None:
    folder, film = tmp_path / "pictures", tmp_path / "film.mkv"
    folder.mkdir()
    os.mkfifo(folder / ".part-000003.png")  # to open it waits for a reader, who never comes
    with open_sinks([f"{folder}/", str(film)], LIVE, SinkOptions()) as sink:
        for frame in frames(20):
            sink.write(frame)
        with pytest.raises(SinkError, match=r"pictures/ takes nothing any more"):
            sink.finish()
    with av.open(str(film)) as media:
        assert [f.pts * f.time_base for f in media.decode(video=0)] == [i * BASE for i in range(20)]
    assert len(list(folder.glob("0*.png"))) == 3


def test_a_disk_that_comes_back_lacks_counted_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_queued, "QUEUE_BYTES", 5 * 160 * 96 * 3)
    folder, film = tmp_path / "pictures", tmp_path / "film.mkv"
    folder.mkdir()
    pipe = folder / ".part-000003.png"
    os.mkfifo(pipe)
    with open_sinks([f"{folder}/", str(film)], LIVE, SinkOptions(), taken=7) as sink:
        assert sink.next_index == 7
        for frame in frames(30):
            sink.write(replace(frame, index=7 + frame.index))
            if frame.index == 20:
                with pipe.open("rb") as reader:
                    reader.read()
        sink.finish()
        (said,) = sink.notices
    kept = len(list(folder.glob("0*.png")))
    assert kept < 30
    assert said == f"{folder}/: {30 - kept} frames came too fast for it"
    assert all((folder / f"{i:06d}.png").exists() for i in range(kept))
    with av.open(str(film)) as media:
        assert len(list(media.decode(video=0))) == 30


def test_two_outputs_of_one_name_are_refused(paint: Run, tmp_path: Path) -> None:
    done = paint("test:frames=2", "--model", "identity", "-o", "null:", "-o", "null:")
    assert done.returncode == 2
    assert "same name" in done.stderr
