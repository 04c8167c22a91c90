"""Senders on loopback, for live sources: an HTTP server with MJPEG and every kind of refusal, and
MPEG-TS over TCP."""

import base64
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import av
import cv2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from media import picture

from pipeline import color

PEM = Encoding.PEM
USER, PASSWORD = "cam", "a@b#c%d:f"
PERIOD_S = 0.04


class Camera(BaseHTTPRequestHandler):
    """`/video` sends pictures whose brightness tells their number; `/auth` wants a password."""

    def do_GET(self) -> None:
        """Answer as the path says."""
        path = self.path.split("?")[0]
        word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if path == "/auth" and self.headers.get("Authorization") != f"Basic {word}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
        elif path in ("/video", "/auth"):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
            self.end_headers()
            self.stream()
        elif path == "/page":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>no camera here</html>" * 50)
        else:
            self.send_error(404)

    def stream(self) -> None:
        """Pictures at 25 a second until the server is stopped."""
        server = self.server
        assert isinstance(server, Server)
        server.watching += 1
        try:
            self._pictures(server)
        finally:
            server.watching -= 1

    def _pictures(self, server: "Server") -> None:
        hushed = server.hushed
        while server.running:
            if server.hushed > hushed:
                time.sleep(PERIOD_S)
                continue
            data = cv2.imencode(".jpg", picture(server.number % 100)[..., ::-1])[1].tobytes()
            head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + data + b"\r\n")
            except OSError:
                return
            server.number += server.step
            time.sleep(server.period_s)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Counts the pictures sent; `stop` ends all connections."""

    daemon_threads = True
    allow_reuse_address = True
    number = 0
    step = 1
    """0: it shows the same picture for ever."""
    period_s = PERIOD_S
    running = True
    watching = 0
    """Connections that get pictures, or would."""
    hushed = 0
    """Raise it: all connections of before stay open and get nothing until it falls again."""

    def stop(self) -> None:
        """No longer answer, and end what is being sent."""
        self.running = False
        self.shutdown()
        self.server_close()


def start(port: int = 0, certificate: Path | None = None) -> Server:
    """A camera at a free port of loopback, or at `port`; by TLS with a certificate."""
    server = Server(("127.0.0.1", port), Camera)
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


def certify(path: Path) -> Path:
    """A certificate that a camera made for itself, with its key, written to `path`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "camera")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    form = PrivateFormat.PKCS8, NoEncryption()
    path.write_bytes(made.public_bytes(PEM) + key.private_bytes(PEM, *form))
    return path


@contextmanager
def silent() -> Iterator[int]:
    """The port of one that accepts and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextmanager
def transport_stream(
    scheme: str, loss: float = 0.0, data: bytes | None = None, port: int = 0
) -> Iterator[int]:
    """MPEG-TS, `data` every four seconds, to everyone who calls by tcp, or to a free port, or to
    `port`, by udp, where this share of the packets gets lost."""
    kind = socket.SOCK_STREAM if scheme == "tcp" else socket.SOCK_DGRAM
    ended = threading.Event()
    data = data or encoded()
    chance = random.Random(5)

    def send(out: socket.socket, to: int | None = None) -> None:
        pieces = [data[i : i + 1316] for i in range(0, len(data), 1316)]
        with out:
            while True:
                for piece in pieces:
                    if ended.wait(4 / len(pieces)):
                        return
                    if chance.random() < loss:
                        continue
                    try:
                        out.sendto(piece, ("127.0.0.1", to)) if to else out.sendall(piece)
                    except OSError:
                        return

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                caller = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=send, args=(caller,), daemon=True).start()

    with socket.socket(socket.AF_INET, kind) as own:
        if not port:
            own.bind(("127.0.0.1", 0))
            port = own.getsockname()[1]
        if scheme == "tcp":
            own.listen()
            threading.Thread(target=serve, args=(own,), daemon=True).start()
        else:
            own.close()
            out = socket.socket(socket.AF_INET, kind)
            threading.Thread(target=send, args=(out, port), daemon=True).start()
        yield port
        ended.set()
        if scheme == "tcp":
            own.shutdown(socket.SHUT_RDWR)


def encoded() -> bytes:
    """Four seconds of pictures as MPEG-TS, with a key frame twice a second."""
    file = BytesIO()
    with av.open(file, "w", format="mpegts") as out:
        stream = out.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "12"}
        for i in range(100):
            image = color.to_yuv(picture(i), "yuv420p", color.ColorTags("bt709", "tv"))
            image.pts, image.time_base = i, Fraction(1, 25)
            out.mux(stream.encode(image))
        out.mux(stream.encode(None))
    return file.getvalue()
