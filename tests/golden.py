"""A dozen clips and what must come out of them, frame by frame; `python -m tests.golden` writes the
hashes anew.

The pictures are made by whole-number arithmetic and coded without loss, so no encoder has a say in
the hashes; what has is FFmpeg's conversion to RGB, which they hold to what it is now.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from pipeline import color
from pipeline.errors import SourceInvalid
from pipeline.frame import ColorTags
from pipeline.sources import open_source
from tests import media

STORED = Path(__file__).with_name("golden.json")
LOSSLESS = {"qp": "0", "preset": "ultrafast"}
EVEN = (160, 96)


@dataclass(frozen=True)
class Clip:
    """How a clip is coded."""

    suffix: str = ".mkv"
    codec: str = "ffv1"
    options: dict[str, str] = field(default_factory=dict)
    form: str = "yuv420p"
    tags: ColorTags = media.BT709
    size: tuple[int, int] = EVEN
    times: tuple[int, ...] = tuple(range(0, 480, 40))
    """Milliseconds."""
    rotation: int = 0
    interlaced: bool = False
    sound_at_s: float | None = None


CLIPS = {
    "variable_rate": Clip(times=(0, 40, 50, 200, 210, 900, 901, 2000)),
    "b_frames": Clip(".mp4", "libx264", LOSSLESS | {"bf": "3", "x264-params": "b-adapt=0"}),
    "ten_bit": Clip(form="yuv420p10le"),
    "bt601": Clip(tags=ColorTags("smpte170m", "tv", "smpte170m", "smpte170m")),
    "bt709_full": Clip(tags=ColorTags("bt709", "pc", "bt709", "bt709")),
    "bt2020": Clip(form="yuv420p10le", tags=ColorTags("bt2020nc", "tv", "bt2020", "bt2020-10")),
    "bt601_full_422": Clip(form="yuv422p", tags=ColorTags("bt470bg", "pc", "bt470bg", "bt709")),
    "odd": Clip(form="yuv444p", size=(853, 481), times=(0, 40, 80)),
    "rotated": Clip(".mp4", "libx264", LOSSLESS, rotation=90),
    "interlaced": Clip(".mkv", "libx264", LOSSLESS | {"flags": "+ildct"}, interlaced=True),
    "one_frame": Clip(".mp4", "libx264", LOSSLESS, times=(0,)),
    "no_frame": Clip(".mp4", "libx264", LOSSLESS, times=()),
    "late_sound": Clip(".mp4", "libx264", LOSSLESS, sound_at_s=0.25),
}


def planes(number: int, form: str, size: tuple[int, int]) -> list[NDArray[np.uint16]]:
    """Y, U and V of frame `number`: slopes, steps and a square that moves; whole numbers only."""
    width, height = size
    about = av.VideoFormat(form, width, height)
    shift = about.components[0].bits - 8
    made = []
    for plane, component in enumerate(about.components):
        y, x = np.mgrid[: component.height, : component.width]
        values = 16 + (x * (3 + plane) + y * (5 - plane) + 7 * number * (plane + 1)) % 220
        values[: component.height // 4, : component.width // 3] = 60 + 4 * number + 40 * plane
        made.append(((values << shift) + (x + number) % (1 << shift)).astype(np.uint16))
    return made


def frame(number: int, clip: Clip) -> VideoFrame:
    """A frame with these planes."""
    made = VideoFrame(*clip.size, clip.form)
    deep = made.format.components[0].bits > 8
    for plane, values in zip(made.planes, planes(number, clip.form, clip.size), strict=True):
        wide = plane.line_size // (2 if deep else 1)
        rows = np.zeros((plane.height, wide), np.uint16 if deep else np.uint8)
        rows[:, : plane.width] = values
        plane.update(rows.tobytes())
    color.tag(made, clip.tags)
    return made


def make(name: str, folder: Path) -> Path:
    """The clip of this name as a file."""
    clip = CLIPS[name]
    path = folder / f"{name}{clip.suffix}"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(clip.codec, rate=Fraction(25), options=clip.options)
        stream.width, stream.height = clip.size
        stream.pix_fmt = clip.form
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.thread_count = 1
        color.tag(stream.codec_context, clip.tags)
        if clip.rotation:
            stream.set_display_rotation(clip.rotation)
        sound = [] if clip.sound_at_s is None else media._sound(out, clip.sound_at_s)
        packets: list[Any] = []
        out.start_encoding()
        for number, time_ms in enumerate(clip.times):
            made = frame(number, clip)
            made.pts, made.time_base = time_ms, Fraction(1, 1000)
            packets += stream.encode(made)
        packets += stream.encode(None) if clip.times else []
        for packet in sorted([*packets, *sound], key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return path


def seen(path: Path) -> Iterator[str]:
    """`TIME HASH` of each frame of a file, or what is said of it."""
    try:
        with open_source(str(path)) as source:
            for read in source.frames():
                assert read is not None
                yield f"{read.time_s:.3f} {sha256(read.pixels.tobytes()).hexdigest()[:16]}"
    except SourceInvalid as error:
        yield type(error).__name__


if __name__ == "__main__":
    with TemporaryDirectory() as name:
        found = {clip: list(seen(make(clip, Path(name)))) for clip in CLIPS}
    STORED.write_text(json.dumps(found, indent=1) + "\n")
