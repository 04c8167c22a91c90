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
OF_SCHEME = {
    # UDP loses packets; `timeout` ends a read that gets nothing, which av's own limit does late.
    "rtsp": {"rtsp_transport": "tcp", "timeout": str(round(SILENT_S * MICRO))},
    "udp": {"overrun_nonfatal": "1", "timeout": str(round(SILENT_S * MICRO))},
    "tcp": {"timeout": str(round(SILENT_S * MICRO))},
}


def create(text: str, options: SourceOptions) -> Source:
    """The stream `text`, or the film that it turns out to be."""
    scheme = scheme_of(text)
    if scheme in ("http", "https") and shown(text).lower().endswith(".m3u8"):
        raise SourceInvalid(
            f"{shown(text)} is a playlist, which may lead to any other address: "
            f"write hls+{scheme}://... to follow it"
        )
    source = LiveSource(text, options, partial(connect, text), fetched=scheme.startswith("hls+"))
    if source.has_end and scheme.removeprefix("hls+") in ("http", "https"):
        return FileSource(text, options)
    return source


def connect(text: str) -> InputContainer:
    """Open it for live reading. Raises SourceInvalid or SourceLost."""
    scheme = scheme_of(text)
    own = OF_SCHEME.get(scheme.removesuffix("s") if scheme == "rtsps" else scheme, {})
    return open_media(text, None, EVERY | own, (CONNECT_S, SILENT_S))
