"""Where an HTTP address leads. FFmpeg would follow a server wherever it points, into the network
behind this machine too; here each step is looked at first."""

import base64
import ipaddress
import socket
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from pipeline.errors import SourceInvalid

MOST_STEPS = 5
_MOVED = {301, 302, 303, 307, 308}
_PORTS = {"http": 80, "https": 443}
_LEADING_ON = [
    ipaddress.ip_network(net)
    for net in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fec0::/10")
]
"""IPv6 addresses that hold an IPv4 address, which may be a private one, or are private."""


def landed(url: str, name: str, limit_s: float) -> str:
    """The address that `url` leads to in the end; itself where it does not redirect. `name` is what
    may be printed of it. SourceInvalid: it leads to where it may not."""
    at = urlsplit(url)
    for _ in range(MOST_STEPS):
        try:
            where = _asked(at, limit_s)
            if where is None:
                return at.geturl()
            to = urlsplit(urljoin(at.geturl(), where))
            allowed = to.scheme in _PORTS and (_place(to) == _place(at) or _is_public(to))
        except (OSError, HTTPException, ValueError):
            return url
        if not allowed:
            raise SourceInvalid(
                f"{name} leads on to {to.scheme}://{to.hostname or '?'}, which it may not: that is "
                "no public web server; give the other address itself if you trust it"
            )
        at = to
    raise SourceInvalid(f"{name} leads on more than {MOST_STEPS} times")


def _asked(at: SplitResult, limit_s: float) -> str | None:
    """The `Location` of a redirect; None for any other answer."""
    if at.hostname is None:
        return None
    kind = HTTPSConnection if at.scheme == "https" else HTTPConnection
    connection = kind(at.hostname, at.port, timeout=limit_s)
    headers = {"User-Agent": "stylestream", "Accept": "*/*"}
    if at.username is not None:
        word = f"{unquote(at.username)}:{unquote(at.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(word.encode()).decode()}"
    try:
        connection.request(
            "GET", (at.path or "/") + (f"?{at.query}" if at.query else ""), None, headers
        )
        answer = connection.getresponse()
        return answer.getheader("Location") if answer.status in _MOVED else None
    finally:
        connection.close()


def _place(at: SplitResult) -> tuple[str | None, int]:
    return at.hostname, at.port or _PORTS.get(at.scheme, 0)


def _is_public(at: SplitResult) -> bool:
    """Whether every address of the host is one of the open internet."""
    found = socket.getaddrinfo(at.hostname, _place(at)[1], type=socket.SOCK_STREAM)
    return all(is_public(str(entry[4][0]).split("%")[0]) for entry in found)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet. Not so what leads on to an IPv4 address
    (6to4, NAT64), which Python takes for public."""
    ip = ipaddress.ip_address(address)
    inside = isinstance(ip, ipaddress.IPv6Address) and any(ip in net for net in _LEADING_ON)
    return ip.is_global and not ip.is_multicast and not inside
