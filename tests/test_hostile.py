"""Files and addresses from strangers: nothing is read or asked for but what the user named, nothing
is run, memory stays small, and each ends with one line."""

import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import ROOT

from pipeline.errors import SourceError, StreamError
from pipeline.redirects import is_public
from pipeline.sinks import open_sink
from pipeline.sources import open_source
from tests import bombs, media

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="watches a pipe with a name")


@dataclass
class Wire:
    """A file that tells when it is opened, and an address that tells when it is asked for."""

    folder: Path
    touched: list[str] = field(default_factory=list)
    served: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    port: int = 0
    outside: int = 0
    """The port that serves what is hostile; `port` must not be asked."""

    def trap(self, name: str) -> None:
        """A pipe of that name: to open it for reading lets the writer go on."""
        path = self.folder / name
        data = media.video(self.folder / "real.ts").read_bytes()
        os.mkfifo(path)

        def wait() -> None:
            with suppress(BrokenPipeError), path.open("wb") as out:
                self.touched.append(name)
                out.write(data)

        threading.Thread(target=wait, daemon=True).start()


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    """Traps at `secret.ts` and `secret.mp4`, and two servers on loopback."""
    wire = Wire(tmp_path)

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.server is inside:
                wire.touched.append(self.path)
            kind, data = wire.served.get(self.path, ("", b""))
            if kind == "redirect":
                self.send_response(302)
                self.send_header("Location", data.decode())
            else:
                self.send_response(200 if kind else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(b"" if kind == "redirect" else data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    inside, outside = (ThreadingHTTPServer(("127.0.0.1", 0), Answers) for _ in range(2))
    for server in (inside, outside):
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    wire.port, wire.outside = inside.server_port, outside.server_port
    wire.trap("secret.ts")
    wire.trap("secret.mp4")
    yield wire
    for name in ("secret.ts", "secret.mp4"):  # let the writers end
        os.close(os.open(tmp_path / name, os.O_RDONLY | os.O_NONBLOCK))
    for server in (inside, outside):
        server.shutdown()
        server.server_close()


def scripts(folder: Path, port: int) -> dict[str, bytes]:
    """Small texts and films that name others: beside them, by their path, by an address."""
    names = ["secret.ts", str(folder / "secret.ts"), f"file://{folder}/secret.ts"]
    names += [f"http://127.0.0.1:{port}/internal.ts", f"concat:{folder}/secret.ts|x.ts"]
    names += [f"subfile,,start,0,end,0,,:{folder}/secret.ts", f"crypto:{folder}/secret.ts"]
    found = {}
    for i, name in enumerate(names):
        found[f"concat{i}"] = f"ffconcat version 1.0\nfile '{name}'\n".encode()
        found[f"hls{i}"] = (
            "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MEDIA-SEQUENCE:0\n"
            f'#EXT-X-KEY:METHOD=AES-128,URI="{name}"\n#EXT-X-MAP:URI="{name}"\n'
            f"#EXTINF:9,\n{name}\n#EXT-X-ENDLIST\n"
        ).encode()
        found[f"master{i}"] = f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\n{name}\n".encode()
        found[f"dash{i}"] = (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
            '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="9">'
            f"<BaseURL>{name}</BaseURL></Representation></AdaptationSet></Period></MPD>"
        ).encode()
        found[f"film{i}"] = elsewhere(folder, name)
    found["sdp"] = (
        f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=video {port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    ).encode()
    found["rtsptext"] = f"RTSPtext\r\nrtsp://127.0.0.1:{port}/x\r\n".encode()
    found["idx"] = b"# VobSub index file, v7\nsize: 720x576\nid: en, index: 0\n"
    return found


def elsewhere(folder: Path, name: str) -> bytes:
    """An MP4 that says that its pictures lie in another file."""
    data = media.video(folder / "plain.mp4", 3).read_bytes()
    entry = b"\0\0\0\0" + name.encode() + b"\0"
    entry = struct.pack(">I", len(entry) + 8) + b"url " + entry
    old = b"\0\0\0\x0curl \0\0\0\x01"
    at = data.index(old)
    grown = bytearray(data[:at] + entry + data[at + 12 :])
    for box in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        start = data.index(box) - 4
        size = int.from_bytes(data[start : start + 4]) + len(entry) - 12
        grown[start : start + 4] = struct.pack(">I", size)
    return bytes(grown)


def frames_of(text: str) -> int:
    """How many frames come of an input; what is wrong with it, it must say by its own error."""
    try:
        with open_source(text) as source:
            return sum(1 for _ in source.frames())
    except SourceError:
        return 0


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ts"])
def test_disguised_scripts_open_nothing(wire: Wire, suffix: str) -> None:
    for name, data in scripts(wire.folder, wire.port).items():
        path = wire.folder / f"{name}{suffix}"
        path.write_bytes(data)
        count = frames_of(str(path))
        # The film has no pictures of its own where it says they are; it may find them in itself.
        assert count == 0 or name.startswith("film"), name
        assert not wire.touched, name


def test_scripts_on_a_server_open_nothing(wire: Wire) -> None:
    for name, data in scripts(wire.folder, wire.port).items():
        wire.served = {"/film.mp4": ("application/vnd.apple.mpegurl", data)}
        frames_of(f"http://127.0.0.1:{wire.outside}/film.mp4")
        assert not wire.touched, name


@pytest.mark.parametrize(
    "text",
    [
        "concat:{f}/secret.ts|{f}/secret.mp4",
        "concat:{f}/plain.mp4",
        "subfile,,start,0,end,0,,:{f}/secret.ts",
        "concatf:{f}/list.txt",
        "crypto:{f}/secret.ts",
        "async:{f}/secret.ts",
        "cache:{f}/secret.ts",
        "tee:{f}/secret.ts",
        "md5:{f}/out",
        "lavfi:movie={f}/secret.ts",
        "lavfi:testsrc",
        "data:video/mp4;base64,AAAA",
        "pipe:0",
        "fd:0",
        "unix:{f}/socket",
        "ffrtmphttp://127.0.0.1:{p}/",
        "hls+file:{f}/x.m3u8",
        "ftp://127.0.0.1:{p}/x.mp4",
        "gopher://127.0.0.1:{p}/x.mp4",
        "mmsh://127.0.0.1:{p}/x",
        "icecast://127.0.0.1:{p}/x",
        "ipfs://127.0.0.1:{p}/x",
        "httpproxy://127.0.0.1:{p}/x",
        "FILE:{f}/secret.ts",
        "file://{f}/../secret.ts",
        "http:/127.0.0.1:{p}/x",
        "http:{f}/secret.ts",
        "{f}/secret.ts",
        "file:{f}/secret.ts",
        "/dev/zero",
        "/dev/stdin",
    ],
)
def test_foreign_addresses_open_nothing(wire: Wire, text: str) -> None:
    asked = text.format(f=wire.folder, p=wire.port)
    with pytest.raises(SourceError) as caught:
        open_source(asked)
    assert len(str(caught.value).splitlines()) == 1
    assert not wire.touched


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.0.0.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::7f00:1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b:1::1", False),
        ("2002:7f00:1::", False),
        ("fec0::1", False),
    ],
)
def test_what_leads_to_a_private_place_is_not_public(address: str, public: bool) -> None:
    assert is_public(address) == public


def test_a_server_leads_on_to_nothing_behind_this_machine(wire: Wire) -> None:
    film = media.video(wire.folder / "plain.mp4").read_bytes()
    for to in (
        f"http://127.0.0.1:{wire.port}/internal",
        f"http://localhost:{wire.port}/internal",
        f"http://[::1]:{wire.port}/internal",
        f"http://0x7f000001:{wire.port}/internal",
        f"file://{wire.folder}/secret.ts",
        f"tcp://127.0.0.1:{wire.port}",
        "http://169.254.169.254/latest/meta-data",
    ):
        wire.served = {"/film.mp4": ("redirect", to.encode())}
        with pytest.raises(SourceError):
            open_source(f"http://127.0.0.1:{wire.outside}/film.mp4")
        assert not wire.touched, to
    wire.served = {"/film.mp4": ("redirect", b"/b.mp4"), "/b.mp4": ("video/mp4", film)}
    assert frames_of(f"http://127.0.0.1:{wire.outside}/film.mp4") == 12


def test_bombs_cost_neither_memory_nor_time(tmp_path: Path) -> None:
    bombs.make(tmp_path)
    done = subprocess.run(
        [sys.executable, bombs.__file__, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) >= 24
    for name, (said, mib, took) in found.items():
        assert said != "opened", name
        assert mib < 300, (name, mib)
        assert took < 5, (name, took)  # 1 s on a machine that does nothing else


@pytest.mark.parametrize("kind", ["source", "style", "mask"])
def test_a_pipe_is_refused_before_it_is_opened(
    kind: str, tmp_path: Path, refused: Callable[..., StreamError]
) -> None:
    for suffix in (".mp4", ".png"):
        path = tmp_path / f"pipe{suffix}"
        os.mkfifo(path)
        assert "file" in str(refused(kind, path)) or "pictures" in str(refused(kind, path))


@pytest.fixture
def refused() -> Callable[..., StreamError]:
    """`refused(kind, path)` -> the error of reading `path` as a source, a style or a mask."""
    from pipeline.mask import Mask
    from pipeline.style import read_style

    doors = {"source": open_source, "style": read_style, "mask": Mask}

    def ask(kind: str, path: Path) -> StreamError:
        with pytest.raises(StreamError) as caught:
            doors[kind](str(path))
        return caught.value

    return ask


def test_sound_beyond_the_limits_is_left_out(tmp_path: Path) -> None:
    clip = tmp_path / "a.mkv"
    with av.open(str(clip), "w") as out:
        video = out.add_stream("ffv1", rate=Fraction(25))
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream("pcm_s16le", rate=384_000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 38_400), np.int16), "s16", "mono")
        samples.sample_rate, samples.pts = 384_000, 0
        out.mux([*video.encode(av.VideoFrame(64, 48, "yuv420p")), *video.encode(None)])
        out.mux([*sound.encode(samples), *sound.encode(None)])
    target = tmp_path / "b.mkv"
    with open_source(str(clip)) as source, open_sink(str(target), source.info) as sink:
        for frame in source.frames():
            sink.write(frame)
        sink.finish()
        assert any("384000 Hz" in text for text in sink.notices)
    with av.open(str(target)) as written:
        assert not written.streams.audio
