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
import numpy as np
import pytest
from conftest import Run
from media import BT709, picture, video

from pipeline.errors import SinkError
from pipeline.frame import Frame, StreamInfo
from pipeline.job import Job
from pipeline.opening import open_media
from pipeline.sinks import SinkOptions, _queued, dated, open_sink, open_sinks, prepare
from pipeline.sinks._codecs import settled

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


@pytest.mark.parametrize("given", ["", "/*.png", "/img%02d.png", "/img01.png"])
def test_the_pictures_that_are_read_are_not_replaced(tmp_path: Path, given: str) -> None:
    for number in (1, 2):
        (tmp_path / f"img{number:02d}.png").write_bytes(b"kept")
    for output in (f"{tmp_path}/img%02d.png", f"{tmp_path}/img01.png"):
        with pytest.raises(SinkError, match="would replace the input itself"):
            prepare(output, SinkOptions(overwrite=True, single=True), f"{tmp_path}{given}")
    assert len(list(tmp_path.iterdir())) == 2
    prepare(f"{tmp_path}/made%02d.png", SinkOptions(overwrite=True), f"{tmp_path}{given}")


@pytest.mark.parametrize(
    ("name", "codec", "quality", "said"),
    [
        ("a.mov", "vp9", None, r"\.mov files cannot hold vp9"),
        ("a.mov", "av1", None, r"\.mov files cannot hold av1"),
        ("a.mov", "vp8", None, r"\.mov files cannot hold vp8"),
        ("a.mp4", "mpeg2video", None, r"\.mp4 files cannot hold mpeg2video"),
        ("a.mov", "rawvideo", None, r"\.mov files cannot hold rawvideo"),
        ("a.webm", None, 100, "libvpx-vp9 takes 0 to 63"),
        ("a.mp4", None, 52, "libx264 takes 0 to 51"),
        ("a.m3u8", None, 52, "libx264 takes 0 to 51"),
        ("udp://127.0.0.1:5004", None, 90, "libx264 takes 0 to 51"),
        ("a.avi", None, 32, "mpeg4 takes 0 to 31"),
        ("%d.jpg", None, 0, "pictures take 1 to 100"),
        ("%d.webp", None, 101, "pictures take 1 to 100"),
    ],
)
def test_what_a_container_or_a_codec_refuses_is_said_first(
    tmp_path: Path, name: str, codec: str | None, quality: int | None, said: str
) -> None:
    like = replace(LIVE, time_base=Fraction(1, 12_800), live=False)
    path = name if "://" in name else str(tmp_path / name)
    with pytest.raises(SinkError, match=said):
        prepare(path, SinkOptions(codec=codec, quality=quality, like=like))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.mov", "a.avi", "a.gif"])
@pytest.mark.parametrize("like", [None, replace(LIVE, width=161, height=97), LIVE])
def test_what_can_be_written_is_not_refused(
    tmp_path: Path, name: str, like: StreamInfo | None
) -> None:
    prepare(str(tmp_path / name), SinkOptions(like=like))
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_begun_leaves_nothing(tmp_path: Path) -> None:
    job: Job = {"options": {}, "contents": {}}
    info = replace(LIVE, live=False)
    sink = open_sink(str(tmp_path / "a.mov"), info, SinkOptions(codec="vp9", job=job))
    with sink, pytest.raises(SinkError, match="cannot be written"):
        sink.write(Frame(0, 0, BASE, picture(0)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "name"),
    [("H265", "hevc"), ("x265", "hevc"), ("avc", "h264"), ("x264", "h264"), ("ffv1", "ffv1")],
)
def test_codecs_by_their_other_names(asked: str, name: str) -> None:
    assert settled(asked, LIVE) == (name, [])
    assert settled(f"{asked}-hw", LIVE)[0] == (settled(f"{name}-hw", LIVE)[0])


def heard(path: Path, layout: str, seconds: int = 2, videos: int = 1, codec: str = "flac") -> Path:
    """A film with sound for the loudspeakers `layout`."""
    form = "s16p" if codec == "alac" else "s16"
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("mpeg4", rate=25) for _ in range(videos)]
        sound = out.add_stream(codec, rate=8_000)
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sound.codec_context.layout, sound.codec_context.format = layout, form
        packets = []
        for number in range(25 * seconds):
            for stream in streams:
                image = av.VideoFrame.from_ndarray(picture(number % 100, 64, 48))
                image.pts, image.time_base = number, BASE
                packets += stream.encode(image)
        wave = np.zeros((sound.codec_context.layout.nb_channels, 4_096), np.int16)
        wave = wave if form == "s16p" else wave.reshape(1, -1)
        for number in range(seconds * 8_000 // 4_096 + 1):
            tone = av.AudioFrame.from_ndarray(wave, form, layout)
            tone.sample_rate, tone.time_base, tone.pts = 8_000, Fraction(1, 8_000), 4_096 * number
            packets += sound.encode(tone)
        packets += sound.encode(None)
        for stream in streams:
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return path


def written(source: Path, out: Path, end_s: float | None = None) -> list[str]:
    """What is said of a file of a few frames with the sound of `source`."""
    info = StreamInfo(64, 48, BASE, Fraction(25), BT709, media=source, media_end_s=end_s)
    with open_sink(str(out), info) as sink:
        for index in range(5):
            sink.write(Frame(index, index, BASE, picture(index, 64, 48)))
        sink.finish()
        return sink.notices


@pytest.mark.parametrize(
    ("name", "codec", "layout", "made"),
    [
        ("a.mp4", "flac", "5.1", "5.1"),
        ("a.mp4", "flac", "5.1(side)", "5.1"),
        ("a.webm", "flac", "5.1(side)", "5.1"),
        ("a.mp4", "flac", "mono", "mono"),
        ("a.avi", "alac", "5.1", "stereo"),
    ],
)
def test_loudspeakers_are_kept_where_the_encoder_can(
    tmp_path: Path, name: str, codec: str, layout: str, made: str
) -> None:
    (said,) = written(heard(tmp_path / "in.mkv", layout, codec=codec), tmp_path / name)
    assert said.startswith("sound is encoded again")
    assert ("as stereo" in said) == (name == "a.avi")
    with av.open(str(tmp_path / name)) as media:
        assert media.streams.audio[0].layout.name == made
        assert sum(frame.samples for frame in media.decode(audio=0)) > 8_000


def test_further_videos_are_missed_aloud(tmp_path: Path) -> None:
    said = written(heard(tmp_path / "in.mkv", "mono", videos=2), tmp_path / "a.mkv")
    assert said == ["further video tracks of the film are left out"]


def test_sound_is_read_no_further_than_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, times = heard(tmp_path / "in.mkv", "mono", seconds=60), []

    class Watched:
        """A container that tells how far it was read."""

        def __init__(self, path: str) -> None:
            self._media = open_media(path)

        def __getattr__(self, name: str) -> object:
            return getattr(self._media, name)

        def demux(self, streams: object) -> Iterator[av.Packet]:
            for packet in self._media.demux(streams):
                times.append(float((packet.dts or 0) * packet.time_base))
                yield packet

    monkeypatch.setattr("pipeline.sound.open_media", Watched)
    written(source, tmp_path / "a.mkv", end_s=0.2)
    assert 0.2 < max(times) < 12
