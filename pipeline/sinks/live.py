"""Network streams out: rtmp, rtsp, srt, udp, tcp (MPEG-TS), H.264, each sent by its own process."""

from typing import Any

from pipeline import srt
from pipeline.address import no_address, quoted, scheme_of, shown
from pipeline.errors import SinkError
from pipeline.frame import StreamInfo
from pipeline.sinks import Sink, SinkOptions
from pipeline.sinks._relay import Relay
from pipeline.sinks._sender import CODECS, coding_of, stream_of

FORMS = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "udp": "mpegts", "tcp": "mpegts"}
FORMS["srt"] = "mpegts"
OPTIONS = {"rtsp": {"rtsp_transport": "tcp"}}


def prepare(text: str, options: SinkOptions) -> None:
    """Refuses what this cannot send."""
    scheme = scheme_of(text)
    if scheme not in FORMS:
        raise SinkError(f"{shown(text)}: cannot send by {scheme}; known are {', '.join(FORMS)}")
    if why := no_address(text):
        raise SinkError(why)
    if scheme == "srt" and (why := srt.lacks()):
        raise SinkError(f"{shown(text)}: {why}")
    if options.codec not in (None, *CODECS):
        raise SinkError(f"{shown(text)}: network streams are h264, not {options.codec}")
    coding_of(options)


def create(text: str, info: StreamInfo, options: SinkOptions) -> Sink:
    """A sink that sends to `text`."""
    return NetworkSink(text, info, options)


class NetworkSink(Relay):
    """Sends by _sender.py."""

    module = "pipeline.sinks._sender"
    hears = True

    def __init__(self, text: str, info: StreamInfo, options: SinkOptions) -> None:
        super().__init__(shown(text), info)
        self._text, self._options = text, options
        self.listens = scheme_of(text) == "srt" and srt.listens(text)

    def _about(self) -> dict[str, Any]:
        scheme = scheme_of(self._text)
        options = OPTIONS.get(scheme, {})
        return stream_of(quoted(self._text), FORMS[scheme], options, self._info, self._options)
