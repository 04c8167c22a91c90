"""Small test clips, made with PyAV in a temporary folder."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipeline import color
from pipeline.frame import ColorTags, Pixels

BT709 = ColorTags("bt709", "tv", "bt709", "bt709")


def picture(index: int, width: int = 160, height: int = 96) -> Pixels:
    """A smooth picture whose brightness tells its index, 0 to 99."""
    y, x = np.mgrid[0:height, 0:width]
    waves = 40 * np.sin(x / 17 + index / 5) + 40 * np.cos(y / 13)
    pixels = np.stack([waves + 128, waves / 2 + 90, 150 - waves], -1).clip(0, 255)
    pixels[: height // 4, : width // 4] = 30 + 2 * index
    return pixels.astype(np.uint8)


def video(
    path: Path,
    frames: int = 12,
    size: tuple[int, int] = (160, 96),
    rate: Fraction = Fraction(25),
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    pix_fmt: str = "yuv420p",
    tags: ColorTags = BT709,
    codec: str = "libx264",
    rotation: int = 0,
    sound_at_s: float | None = None,
    gop: int = 6,
) -> Path:
    """A clip; `sound_at_s` adds two seconds of AAC that start then."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = time_base or 1 / rate
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        if tags.matrix != "rgb":
            color.tag(stream.codec_context, tags)
        if rotation:
            stream.set_display_rotation(rotation)
        sound = None if sound_at_s is None else _sound(out, sound_at_s)
        packets = []
        for number in range(frames):
            image = color.to_yuv(picture(number, *size), pix_fmt, tags)
            image.pts = number if pts is None else pts[number]
            image.time_base = time_base or 1 / rate
            packets += stream.encode(image)
        packets += stream.encode(None)
        packets += [] if sound is None else sound
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return path


def _sound(out: av.container.OutputContainer, start_s: float) -> list[av.Packet]:
    stream = out.add_stream("aac", rate=48_000)
    stream.codec_context.layout = "mono"
    packets = []
    for number in range(94):
        wave = 0.3 * np.sin((np.arange(1024) + 1024 * number) * 0.06)
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], "fltp", "mono")
        frame.sample_rate = 48_000
        frame.time_base = Fraction(1, 48_000)
        frame.pts = round(start_s * 48_000) + 1024 * number
        packets += stream.encode(frame)
    return packets + list(stream.encode(None))


def sound_only(path: Path) -> Path:
    """A file without video."""
    with av.open(str(path), "w") as out:
        for packet in _sound(out, 0.0):
            out.mux(packet)
    return path


def truncated(source: Path, path: Path, share: float) -> Path:
    """The first `share` of a file."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def garbled(source: Path, path: Path, at: float, count: int = 400) -> Path:
    """A file with `count` bytes of noise at a share `at` of its length."""
    data = bytearray(source.read_bytes())
    begin = int(len(data) * at)
    data[begin : begin + count] = np.random.default_rng(3).bytes(count)
    path.write_bytes(data)
    return path
