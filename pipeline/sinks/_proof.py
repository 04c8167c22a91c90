"""Whether an encoder works here, found by encoding with it, and in plain words why not."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av.logging
import numpy as np
from av.codec.codec import UnknownCodecError
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.logging import Capture
from av.video.codeccontext import VideoCodecContext

from pipeline import color
from pipeline.frame import ColorTags, Pixels
from pipeline.hardware import meaning

if TYPE_CHECKING:
    from pipeline.sinks._codecs import Coding

FRAMES = 3
TAGS = ColorTags("bt709", "tv", "bt709", "bt709")
MEANINGS = {
    # Before what follows from it: NVENC says of a GPU whose sessions are taken, too, that none is
    # capable.
    r"incompatible client key|out of memory \(10\)": "all encoding sessions of the GPU are taken, "
    "or all of its memory",
    r"unsupported device|no encode device|no (nvenc )?capable devices": "this GPU has no encoder "
    "for it",
    r"nvenc api version|invalid version": "the driver is too old for it",
    r"cannot load|failed to open|mfx session|cannot open|valid device": "there is no such "
    "hardware, or no driver for it",
}


def refusal(coding: Coding, width: int, height: int, quality: int | None = None) -> str:
    """Why `coding` cannot write frames of this size here; "" once it has written some."""
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # one encoder may say what the one before said
    try:
        with Capture() as log:
            written = _written(coding, width, height, quality)
    except UnknownCodecError:
        return "this FFmpeg has none"
    except (FFmpegError, ValueError) as error:
        lines = [text for _, _, text in log]
        return meaning(lines, str(getattr(error, "strerror", None) or error), MEANINGS)
    finally:
        av.logging.set_level(before[0])
        av.logging.set_skip_repeated(before[1])
    return "" if written == FRAMES else f"of {FRAMES} frames it wrote {written}"


def _written(coding: Coding, width: int, height: int, quality: int | None) -> int:
    """Packets that came of FRAMES frames."""
    encoder = CodecContext.create(coding.encoder, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, coding.pix_fmt
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = coding.options(quality)
    pixels: Pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:] = np.linspace(0, 255, width, dtype=np.uint8)[:, None]
    packets = []
    for index in range(FRAMES):
        picture = color.to_yuv(pixels, coding.pix_fmt, TAGS)
        picture.pts, picture.time_base = index, encoder.time_base
        packets += encoder.encode(picture)
    return len(packets + encoder.encode(None))
