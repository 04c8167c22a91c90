"""The kinds of devices that decode: which of them FFmpeg knows, whether one is there, and by which
a source decodes just now. And in plain words why a device does not decode or encode."""

import re
from dataclasses import dataclass

from av.codec.codec import Codec
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.error import FFmpegError
from av.logging import Capture

from pipeline.errors import DecoderLost

KINDS = ("cuda", "videotoolbox", "d3d11va", "dxva2", "qsv", "vaapi", "vdpau")
"""In the order in which they are tried; a machine has few of them."""


def known() -> list[str]:
    """Those that this FFmpeg was built with."""
    there = hwdevices_available()
    return [kind for kind in KINDS if kind in there]


def lacks(kind: str) -> str:
    """Why no device of this kind can be opened here; "" where one can, which may still lack the
    driver's part that decodes. A driver may crash."""
    with Capture():  # FFmpeg's log says on stderr what is missing
        try:
            HWAccel(kind).create(Codec("h264", "r"))  # which every kind decodes
        except FFmpegError as error:
            return error.strerror or type(error).__name__
        except NotImplementedError:
            return "FFmpeg's own decoders do not know it"
    return ""


def meaning(log: list[str], error: str, meanings: dict[str, str]) -> str:
    """What a codec's lines of log and its error come to, with the line that says it. `meanings`: by
    regular expressions, in the order in which they are looked for."""
    for pattern, words in meanings.items():
        for line in log:
            if re.search(pattern, line, re.IGNORECASE):
                return f"{words} ({line.strip().rstrip('.')})"
    return log[-1].strip() if log else error


@dataclass(slots=True)
class Device:
    """By what a source decodes."""

    kind: str | None = None
    """None: in software."""
    notice: str = ""

    def lose(self, error: DecoderLost, since: str) -> None:
        """From now on in software."""
        self.kind, self.notice = None, f"{error}: decoded in software {since}"
