"""Network streams: rtsp, rtmp, http, udp, tcp, playlists. Films over http are read as files."""

from functools import partial

from av.container import InputContainer

from pipeline.errors import SourceInvalid
from pipeline.opening import open_media, scheme_of, shown
from pipeline.sources import Source, SourceOptions
from pipeline.sources._feed import CONNECT_S, SILENT_S
from pipeline.sources._live import LiveSource
from pipeline.sources.file import FileSource

MICRO = 1_000_000
EVERY = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "500000"}
"""Nothing is collected before the first picture. Damaged packets come too: what is damaged is told
by them, and a decoder hides what is missing."""
BOUND_S = 5.0
"""SILENT_S of those that wait at a port of this machine, which a connection that hangs holds."""
OF_SCHEME = {
    "rtsp": {"rtsp_transport": "tcp"},  # UDP loses packets
    "rtsps": {"rtsp_transport": "tcp"},
    "rtspu": {"rtsp_transport": "udp", "max_delay": "100000"},  # us, that one out of turn may take
    "udp": {"overrun_nonfatal": "1"},
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
    own = {"fetched": scheme.startswith("hls+"), "exclusive": binds(text)}
    source = LiveSource(text, options, partial(connect, text), **own)
    if source.has_end and scheme.removeprefix("hls+") in ("http", "https"):
        return FileSource(text, options)
    return source


def binds(text: str) -> bool:
    """Whether whoever sends comes to a port of this machine."""
    return scheme_of(text) == "udp" or "listen" in text.partition("?")[2]


def connect(text: str) -> InputContainer:
    """Open it for live reading. Raises SourceInvalid or SourceLost."""
    scheme, limit_s = scheme_of(text), BOUND_S if binds(text) else SILENT_S
    own = dict(OF_SCHEME.get(scheme, {}))
    if scheme in OF_SCHEME:  # it ends a read that gets nothing, which av's own limit does late
        own["timeout"] = str(round(limit_s * MICRO))
    return open_media(text, None, EVERY | own, (CONNECT_S, limit_s))
