"""Addresses of streams, and paths where an address may stand: scheme, password, and how they may be
printed."""

import os
import re
import socket
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from pipeline.errors import HostUnknown, SourceInvalid


def scheme_of(text: str) -> str:
    """The lower-case scheme of a URL, or "" for a path; one letter is a Windows drive, and
    `Film: part 1.mp4` a path if it exists."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", text)
    if not match or ("://" not in text and os.path.exists(text)):
        return ""
    return match[1].lower()


def as_path(path: Path) -> str:
    """A path in the spelling that nobody takes for an address: `./Film: part 1.mp4`."""
    return f"./{path}" if ":" in path.parts[0] and not path.anchor else str(path)


def plain(text: str) -> str:
    """A file: URL as the path that it means; anything else as it is."""
    if scheme_of(text) != "file":
        return text
    rest = text[len("file:") :]
    if not rest.startswith("//"):
        return rest
    return unquote("/" + rest[2:].partition("/")[2])


def shown(text: str) -> str:
    """`text` as it may be printed: no user, no password, no query, no stream key."""
    if "://" not in text or scheme_of(text) == "file":
        # Someone may have left the scheme out.
        is_address = re.match(r"(//)?[^/@]*:.*@", text) and not Path(text).exists()
        return re.split(r"[?#]", text.rpartition("@")[2])[0] if is_address else text
    scheme, _, rest = text.partition("://")
    rest = re.split(r"[?#]", split_user(rest)[1])[0]
    host, _, path = rest.partition("/")
    if scheme.lower().startswith("rtmp") and "/" in path:
        path = path.rsplit("/", 1)[0] + "/..."
    return f"{scheme}://{host}" + (f"/{path}" if path else "")


def split_user(rest: str) -> tuple[str, str]:
    """What follows `scheme://` -> user:password and the rest, also where the password holds / ? #
    or @ as they are. Where that is in doubt, as much as possible counts as password."""
    authority = re.split(r"[/?#]", rest)[0]
    end, tail = authority.rfind("@"), rest[len(authority) :]
    is_host = re.fullmatch(r"(\[[^]]*\]|[^:]*)(:\d+)?", authority[end + 1 :])
    if "@" in tail and (end >= 0 or not is_host):
        end = rest.rfind("@")
    return (rest[:end], rest[end + 1 :]) if end >= 0 else ("", rest)


def quoted(text: str) -> str:
    """A URL whose user and password are percent-encoded, as FFmpeg wants them; what is already
    stays."""
    scheme, colon, rest = text.partition("://")
    user, rest = split_user(rest)
    if not user:
        return text
    if re.search(r"@[^@]*/", user):
        raise SourceInvalid(f"{shown(text)}: which @ ends the password? write others as %40")
    name, mark, word = user.partition(":")
    return f"{scheme}{colon}{quote(unquote(name), '')}{mark}{quote(unquote(word), '')}@{rest}"


def no_address(text: str) -> str:
    """Why an address is none, and whoever waits for it would wait for ever; "" where it is one."""
    scheme = scheme_of(text)
    try:
        url = urlsplit(quoted(text))
        is_whole = url.port or (url.hostname and scheme not in ("udp", "tcp", "srt"))
    except SourceInvalid as error:
        return str(error)
    except ValueError:  # a port of more than 65535
        is_whole = False
    like = f"{scheme}://host:9000/..."
    return "" if is_whole else f"{shown(text)} is no address: write it like {like}"


def unknown_host(text: str) -> HostUnknown | None:
    """Whether that is why a URL could not be reached, which FFmpeg does not tell."""
    try:
        # One that listens may name none.
        socket.getaddrinfo(urlsplit(quoted(text)).hostname or "localhost", None)
    except (OSError, ValueError) as error:
        if isinstance(error, socket.gaierror):
            return HostUnknown(f"{shown(text)}: no such host; check its name, and the network")
    return None
