"""Network streams: rtsp, rtmp, http, udp, tcp, playlists. Films over http are read as files."""

import errno
import re
import socket
from functools import partial
from urllib.parse import urlsplit

from av.container import InputContainer

from pipeline.address import no_address, scheme_of, shown
from pipeline.errors import SourceInvalid
from pipeline.hardware import Device
from pipeline.opening import open_media
from pipeline.sources import Source, SourceOptions
from pipeline.sources._feed import CONNECT_S
from pipeline.sources._live import LiveSource
from pipeline.sources.file import FileSource

MICRO = 1_000_000
EVERY = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "500000"}
"""Nothing is collected before the first picture. Damaged packets come too: what is damaged is told
by them, and a decoder hides what is missing."""
OF_SCHEME = {
    "rtsp": {"rtsp_transport": "tcp"},  # UDP loses packets
    "rtsps": {"rtsp_transport": "tcp"},
    "rtspu": {"rtsp_transport": "udp", "max_delay": "100000"},  # us, that one out of turn may take
    "udp": {"overrun_nonfatal": "1", "reuse": "1"},  # also while one that hangs has the port
    "tcp": {},
}


def create(text: str, options: SourceOptions) -> Source:
    """The stream `text`, or the film that it turns out to be."""
    scheme = scheme_of(text)
    if scheme in ("http", "https") and shown(text).lower().endswith(".m3u8"):
        raise SourceInvalid(
            f"{shown(text)} is a playlist, which may lead to any other address: "
            f"write hls+{scheme}://... to follow it"
        )
    if why := no_address(text):
        raise SourceInvalid(why)
    if scheme == "udp":
        check_port(text)
    device = Device()
    link, fetched = partial(connect, text, device), scheme.startswith("hls+")
    source = LiveSource(text, options, link, fetched=fetched, listens=binds(text), device=device)
    if source.has_end and scheme.removeprefix("hls+") in ("http", "https"):
        return FileSource(text, options)
    return source


def binds(text: str) -> bool:
    """Whether whoever sends comes to a port of this machine."""
    return scheme_of(text) == "udp" or "listen" in text.partition("?")[2]


def check_port(text: str) -> None:
    """SourceInvalid: another program has it, and one of the two would get nothing. Many may hear
    one group."""
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port or 0
        if re.match(r"2(2[4-9]|3\d)\.|ff", host):
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.bind(("", port))
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise SourceInvalid(f"{shown(text)}: another program listens at this port") from None


def connect(text: str, device: Device, silent_s: float) -> InputContainer:
    """Open it for live reading; a connection that is silent for so long is given up. Raises
    SourceInvalid, SourceLost, or DecoderLost."""
    scheme = scheme_of(text)
    own = dict(OF_SCHEME.get(scheme, {}))
    if scheme in OF_SCHEME:  # it ends a read that gets nothing, which av's own limit does late
        own["timeout"] = str(round(silent_s * MICRO))
    return open_media(text, None, EVERY | own, (CONNECT_S, silent_s), device.kind)
