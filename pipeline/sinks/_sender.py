"""The process that sends one stream over the network: raw frames on its stdin, H.264 on the wire.

It is a process of its own because FFmpeg may hang in a connection while it holds Python's lock;
this one can be killed at any moment. What to do it is told by a line of JSON, not by its command
line, which others can read. It says `connected`, or why it is not, in one line on stdout.
"""

import json
import sys
from contextlib import ExitStack
from fractions import Fraction
from math import inf
from typing import Any, BinaryIO

import av
import numpy as np
from av.error import FFmpegError, PyAVCallbackError
from av.video.frame import PictureType

from pipeline import color
from pipeline.address import scheme_of, shown, unknown_host
from pipeline.errors import SourceLost
from pipeline.frame import ColorTags, Pixels, StreamInfo
from pipeline.opening import network_error
from pipeline.sinks import SinkOptions
from pipeline.sinks._codecs import CODINGS, HARDWARE, Coding
from pipeline.sinks._heard import Track
from pipeline.sinks._relay import HEADER, TIME_BASE, pieces_of
from pipeline.srt import PACKET_BYTES, Unreached, sending

TAGS = ColorTags("bt709", "tv", "bt709", "bt709")
KEY_S = 2
"""Between key frames: how long one who joins may have to wait."""
QUALITY = 21
RATE = 25
OPTIONS = {"max_interleave_delta": "500000"}
"""Pictures do not wait any longer for sound that is late."""
BUFFER_BYTES = 24 * PACKET_BYTES
"""Of whole packets, which SRT does not cut then."""
BOUND = {"maxrate": "12M", "bufsize": "12M"}
BOUNDED = ("libx264", "h264_nvenc")
"""Encoders that take a bound beside a quality."""
CODECS = ("h264", *(name for name in HARDWARE if name.startswith("h264_")))


def coding_of(asked: SinkOptions) -> Coding:
    """What encodes a stream. SinkError: it knows no such quality."""
    coding = (CODINGS | HARDWARE)[asked.codec or "h264"]
    coding.check(asked.quality)
    return coding


def stream_of(
    to: str, form: str, options: dict[str, str], info: StreamInfo, asked: SinkOptions
) -> dict[str, Any]:
    """What this process is told."""
    coding = coding_of(asked)
    settings = coding.options(QUALITY if asked.quality is None else asked.quality) | coding.live
    odd = info.width % 2 or info.height % 2
    return {
        "to": to,
        "form": form,
        "options": options,
        "width": info.width,
        "height": info.height,
        "rate": str(info.rate or RATE),
        "aspect": str(info.aspect),
        "encoder": coding.encoder,
        "settings": settings | (BOUND if coding.encoder in BOUNDED else {}),
        "pix_fmt": coding.odd_pix_fmt if odd and coding.odd_pix_fmt else coding.pix_fmt,
        "sounds": info.sounds,
    }


def main(frames: BinaryIO) -> int:
    """Send until the end of `frames` -> exit code."""
    about = json.loads(frames.readline())
    to, width, height = about["to"], about["width"], about["height"]
    try:
        with ExitStack() as open_until:
            file = open_until.enter_context(sending(to, frames)) if scheme_of(to) == "srt" else to
            form, options = about["form"], OPTIONS | about["options"]
            opened = av.open(file, "w", format=form, options=options, buffer_size=BUFFER_BYTES)
            out = open_until.enter_context(opened)
            rate = Fraction(about["rate"])
            stream = out.add_stream(about["encoder"], rate=rate)
            stream.width, stream.height = width, height
            stream.pix_fmt = about["pix_fmt"]
            # Key frames come by time: a slow model makes few frames a second.
            stream.options = {**about["settings"], "g": "9999"}
            due = 0
            stream.codec_context.time_base = TIME_BASE
            stream.codec_context.sample_aspect_ratio = Fraction(about["aspect"])
            color.tag(stream.codec_context, TAGS)
            track = Track(out) if about["sounds"] else None
            out.start_encoding()
            print("connected", flush=True)
            while len(head := frames.read(HEADER.size)) == HEADER.size:
                data = frames.read(width * height * 3)
                if len(data) < width * height * 3:
                    break
                pixels: Pixels = np.frombuffer(data, np.uint8).reshape(height, width, 3)
                picture = color.to_yuv(pixels, stream.pix_fmt, TAGS)
                (picture.pts,) = HEADER.unpack(head)
                picture.time_base = TIME_BASE
                if picture.pts >= due:
                    picture.pict_type = PictureType.I
                    due = picture.pts + round(KEY_S / TIME_BASE)
                out.mux(stream.encode(picture))
                if track is not None:
                    time_s = float(picture.pts * TIME_BASE)
                    track.hear(pieces_of(frames, time_s), time_s)
                    track.until(inf)
            out.mux(stream.encode(None))
            if track is not None:
                track.rest(None)
    except (FFmpegError, OSError, ValueError) as error:
        found = network_error(shown(to), error)
        if found is None or type(found) is SourceLost:
            found = unknown_host(to) or SourceLost(f"{shown(to)} {_reason(error)}")
        print(found, flush=True)
        return 1
    return 0


def _reason(error: Exception) -> str:
    if isinstance(error, Unreached):
        return "cannot be reached: is the receiver running, the passphrase right?"
    if isinstance(error, (PyAVCallbackError, BrokenPipeError)):  # SRT, which does not say why
        return "broke off"
    return f"broke off ({getattr(error, 'strerror', None) or type(error).__name__})"


if __name__ == "__main__":
    sys.exit(main(sys.stdin.buffer))
