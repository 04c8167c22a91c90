"""The only place where YUV becomes RGB and RGB becomes YUV, with the matrix and the range that
the stream is tagged with. Scaling happens in the same pass."""

from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from threading import local
from typing import cast

import av
import numpy as np
from av.filter import Graph
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from pipeline import hdr
from pipeline.frame import ColorTags, Pixels

_MATRIX = {"rgb": 0, "bt709": 1, "fcc": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7}
_MATRIX |= {"ycgco": 8, "bt2020nc": 9, "bt2020c": 10}
_PRIMARIES = {"bt709": 1, "bt470m": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "film": 8}
_PRIMARIES |= {"bt2020": 9, "smpte428": 10, "smpte431": 11, "smpte432": 12, "ebu3213": 22}
_TRANSFER = {"bt709": 1, "bt470m": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "linear": 8}
_TRANSFER |= {"iec61966-2-4": 11, "bt1361e": 12, "iec61966-2-1": 13, "bt2020-10": 14}
_TRANSFER |= {"bt2020-12": 15, "smpte2084": 16, "smpte428": 17, "arib-std-b67": 18}
_RANGE = {"tv": 1, "pc": 2}
HDR = {"smpte2084": "PQ", "arib-std-b67": "HLG"}

RGB = ColorTags("rgb", "pc", "bt709", "iec61966-2-1")
"""Of pictures that are no YUV."""

_COEFFICIENTS = {
    "bt709": Colorspace.ITU709,
    "fcc": Colorspace.FCC,
    "smpte240m": Colorspace.SMPTE240M,
    "bt2020nc": Colorspace.BT2020,
    "bt2020c": Colorspace.BT2020,
}
_FILTER_MATRIX = {"bt709": "bt709", "fcc": "fcc", "smpte240m": "smpte240m"}
_FILTER_MATRIX |= {"bt2020nc": "bt2020", "bt2020c": "bt2020"}
_WRITING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND
_THREADS = 2
_SD_LINES = 576
_UNSPECIFIED = 2


class _OfThread(local):
    """A reformatter is not to be used by two threads at a time: FFmpeg crashes."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()


_own = _OfThread()


def _name(table: dict[str, int], value: int) -> str | None:
    return next((name for name, number in table.items() if number == value), None)


def tags_of(picture: VideoStream | VideoFrame) -> ColorTags:
    """How to read the colours; untagged YUV is BT.601 up to 576 lines, else BT.709."""
    form = picture.format
    if form.is_rgb or form.has_palette:
        return RGB
    guess = "smpte170m" if min(picture.height, picture.width) <= _SD_LINES else "bt709"
    matrix = _name(_MATRIX, picture.colorspace)
    full = picture.color_range == 2 or form.name.startswith("yuvj")
    return ColorTags(
        guess if matrix in (None, "rgb") else matrix,
        "pc" if full else "tv",
        _name(_PRIMARIES, picture.color_primaries),
        _name(_TRANSFER, picture.color_trc),
    )


def output_tags(tags: ColorTags) -> ColorTags:
    """What a painted YUV stream is tagged with: the source's colours, RGB sources as BT.709."""
    if tags.matrix == "rgb" or (tags.transfer in HDR and not tags.kept):
        return ColorTags("bt709", "tv", "bt709", "bt709")
    return tags


def tone_notices(tags: ColorTags) -> list[str]:
    """What the user should know of it."""
    kind = HDR.get(tags.transfer or "")
    if kind and tags.kept:
        return [f"the video is HDR ({kind}): it is painted in 8 bits, and files keep it HDR"]
    return [f"the video is HDR ({kind}); its brightness is mapped to SDR"] if kind else []


def _tone(tags: ColorTags) -> str:
    """Maps HDR to what an SDR screen can show; nothing for other video."""
    if tags.transfer not in HDR or tags.kept:
        return ""
    primaries = tags.primaries or "bt2020"
    return (
        f":in_transfer={tags.transfer}:in_primaries={primaries}"
        ":out_transfer=bt709:out_primaries=bt709:intent=perceptual"
    )


@lru_cache(maxsize=4)
def _reader(
    form: str, width: int, height: int, tags: ColorTags, out_width: int, out_height: int
) -> Graph:
    """FFmpeg's own scale filter. The bare swscale call would site chroma by the frame's tag when
    reading but not when writing, and so shift it by half a pixel on the way through."""
    graph = Graph()
    graph.threads = _THREADS
    source = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat(form), time_base=Fraction(1, 1000)
    )
    steps = [
        graph.add(
            "scale",
            f"{out_width}:{out_height}:flags=bicubic+accurate_rnd+full_chroma_int"
            f":in_color_matrix={_FILTER_MATRIX.get(tags.matrix, 'bt601')}"
            f":in_range={tags.range}:out_range=pc{_tone(tags)}",
        ),
        graph.add("format", "rgb48le" if tags.kept else "rgb24"),
        graph.add("buffersink"),
    ]
    for first, second in pairwise([source, *steps]):
        first.link_to(second)
    graph.configure()
    return graph


def to_rgb(frame: VideoFrame, tags: ColorTags, size: tuple[int, int] | None = None) -> Pixels:
    """Full-range RGB of (width, height) px, as `ffmpeg` converts it with exact rounding; of HDR
    that is kept what a painter sees."""
    width, height = size or (frame.width, frame.height)
    if not _tone(tags):  # reserved values, which real files carry, would be refused
        frame.color_trc = frame.color_primaries = _UNSPECIFIED
    graph = _reader(frame.format.name, frame.width, frame.height, tags, width, height)
    graph.vpush(frame)
    rgb = graph.vpull()
    assert isinstance(rgb, VideoFrame)
    if tags.kept:
        return hdr.to_painter(cast(hdr.Codes, rgb.to_ndarray()), str(tags.transfer), tags.primaries)
    return cast(Pixels, rgb.to_ndarray())


def to_yuv(pixels: Pixels, pix_fmt: str, tags: ColorTags) -> VideoFrame:
    """A frame in `pix_fmt`, converted and tagged as `tags` say."""
    if tags.kept:
        codes = hdr.from_painter(pixels, str(tags.transfer), tags.primaries)
        frame = VideoFrame.from_ndarray(codes, format="rgb48le")
    else:
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    frame.color_range = ColorRange.JPEG
    if av.VideoFormat(pix_fmt).is_rgb:
        return _own.reformatter.reformat(frame, format=pix_fmt, threads=_THREADS)
    out = _own.reformatter.reformat(
        frame,
        format=pix_fmt,
        src_color_range=ColorRange.JPEG,
        dst_colorspace=_COEFFICIENTS.get(tags.matrix, Colorspace.ITU601),
        dst_color_range=ColorRange(_RANGE[tags.range]),
        interpolation=_WRITING,
        threads=_THREADS,
    )
    tag(out, tags)
    return out


def tag(target: VideoFrame | VideoStream | VideoCodecContext, tags: ColorTags) -> None:
    """Writes the tags on a frame, or on a stream before its header."""
    target.colorspace = _MATRIX.get(tags.matrix, _UNSPECIFIED)
    target.color_range = _RANGE[tags.range]
    target.color_primaries = _PRIMARIES.get(tags.primaries or "", _UNSPECIFIED)
    target.color_trc = _TRANSFER.get(tags.transfer or "", _UNSPECIFIED)
