"""The recipe of a proxy before the live page, in a real nginx with TLS."""

import http.client
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import rtmp
from conftest import ROOT
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from test_page import TOKEN, Served, wait

pytestmark = pytest.mark.skipif(rtmp.COMMAND is None, reason="needs nginx")
NAME = "wall.example.org"
"""As the recipe has it."""
REST = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {server}
}}
"""


def certify(folder: Path) -> None:
    """wall.pem and wall.key, for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    kept = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "wall.pem").write_bytes(made.public_bytes(kept[0]))
    (folder / "wall.key").write_bytes(key.private_bytes(*kept, serialization.NoEncryption()))


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[int]:
    """The port of the recipe's nginx before a page that knows its name."""
    certify(tmp_path)
    served = Served(tmp_path, token=TOKEN, names=(NAME,))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    recipes = Path(ROOT, "docs", "recipes.md").read_text()
    (server,) = re.findall(r"```nginx\n(.*?)```", recipes, re.DOTALL)
    for said, here in {
        "listen 443": f"listen 127.0.0.1:{port}",
        "/etc/ssl": str(tmp_path),
        "127.0.0.1:8642": f"127.0.0.1:{served.port}",
    }.items():
        assert said in server
        server = server.replace(said, here)
    config = tmp_path / "nginx.conf"
    config.write_text(REST.format(folder=tmp_path, server=server))
    nginx = subprocess.Popen([str(rtmp.COMMAND), "-e", f"{tmp_path}/log", "-c", str(config)])
    try:
        yield port
    finally:
        nginx.kill()
        nginx.wait()
        served.close()


@contextmanager
def answered(
    port: int, method: str, path: str, body: bytes = b"", **headers: str
) -> Iterator[http.client.HTTPResponse]:
    """The answer to a browser that was shown the page; headers may replace those it sends."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    about = {
        "Host": f"{NAME}:{port}",
        "Origin": f"https://{NAME}:{port}",
        "Authorization": f"Bearer {TOKEN}",
        "X-Stylestream": "1",
    }
    address = "127.0.0.1", port
    with closing(http.client.HTTPSConnection(*address, timeout=60, context=context)) as call:
        call.request(method, path, body or None, about | headers)
        with call.getresponse() as answer:
            yield answer


def test_the_page_works_through_the_proxy_of_the_recipe(proxy: int) -> None:
    def status(**headers: str) -> int:
        try:
            with answered(proxy, "POST", "/api", b'{"strength": 0.5}', **headers) as answer:
                return answer.status
        except ConnectionRefusedError:
            return 0

    wait(status)
    assert status() == 200
    assert status(Origin="https://evil.example") == 403
    assert status(Host="evil.example") == 403
    assert status(Authorization="Bearer wrong") == 401
    with answered(proxy, "GET", "/") as home:
        assert b"<title>stylestream</title>" in home.read()
    with answered(proxy, "GET", "/video") as video:
        parts = 0
        while parts < 8:
            parts += video.readline() == b"--frame\r\n"
    talk = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    with answered(
        proxy, "GET", "/api/live", **talk, **{"Sec-WebSocket-Key": 22 * "A" + "=="}
    ) as live:
        assert live.status == 101
