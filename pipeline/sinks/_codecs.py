"""Which containers and codecs can be written, and how each encoder is set up."""

import os
from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
from av.codec.codec import Codec, UnknownCodecError
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.logging import Capture
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from pipeline.errors import SinkError

SIDE_PX = 256


@cache
def _has_avx512() -> bool:
    """x264's AVX-512 code (mbtree with B-frames) reads memory that it never wrote: the same
    frames give other bits each time. Measured at 320x180: 3 to 4 results in 8 runs, with AVX2 1."""
    try:
        return " avx512" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Coding:
    """One encoder and its settings; `even` says that odd sizes need full chroma."""

    encoder: str
    settings: dict[str, str] = field(default_factory=dict)
    quality_key: str | None = "crf"
    quality: int = 18
    pix_fmt: str = "yuv420p"
    odd_pix_fmt: str | None = None
    """What odd sizes are written in, where `pix_fmt` needs even ones."""

    def options(self, quality: int | None) -> dict[str, str]:
        """The encoder's options at `quality`, or at the usual one."""
        options = dict(self.settings)
        if self.encoder == "libx264" and _has_avx512():
            options["x264-params"] = "asm=avx2"
        if self.quality_key is not None:
            options[self.quality_key] = str(self.quality if quality is None else quality)
        return options


@dataclass(frozen=True, slots=True)
class Container:
    """A file format: FFmpeg's name, its usual codec, and options that survive a kill."""

    form: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)
    restarts: bool = True
    """Whether a part file of a killed run can be read and continued."""


CODINGS = {
    "h264": Coding("libx264", {"preset": "veryfast"}, odd_pix_fmt="yuv444p"),
    "hevc": Coding(
        "libx265",
        {"preset": "veryfast", "x265-params": "log-level=error"},
        "crf",
        20,
        odd_pix_fmt="yuv444p",
    ),
    "vp9": Coding("libvpx-vp9", {"deadline": "good", "cpu-used": "5", "row-mt": "1"}, "crf", 24),
    "av1": Coding("libsvtav1", {"preset": "9"}, "crf", 26),
    "ffv1": Coding("ffv1", {"level": "3", "g": "1", "slicecrc": "1"}, None, pix_fmt="bgr0"),
    "prores": Coding("prores_ks", {"profile": "3"}, None, pix_fmt="yuv422p10le"),
    "mpeg4": Coding("mpeg4", {}, "qscale", 3),
    "mjpeg": Coding("mjpeg", {"strict": "unofficial"}, "qscale", 3),
    "gif": Coding("gif", {}, None, pix_fmt="rgb8"),
}
_MOV = {
    "movflags": "hybrid_fragmented+frag_keyframe+delay_moov",
    "frag_duration": "500000",
    "use_editlist": "1",
    "flush_packets": "1",
}
_MKV = {"flush_packets": "1", "cluster_time_limit": "500"}
CONTAINERS = {
    ".mp4": Container("mp4", "h264", _MOV),
    ".m4v": Container("mp4", "h264", _MOV),
    ".mov": Container("mov", "h264", _MOV),
    ".mkv": Container("matroska", "h264", _MKV),
    ".webm": Container("webm", "vp9", _MKV),
    ".avi": Container("avi", "mpeg4", {"flush_packets": "1"}, restarts=False),
    ".gif": Container("gif", "gif", {"flush_packets": "1"}, restarts=False),
}


def container_of(path: Path) -> Container:
    """The container that the suffix of `path` names."""
    suffix = path.suffix.lower()
    if suffix in CONTAINERS:
        return CONTAINERS[suffix]
    near = get_close_matches(suffix, CONTAINERS, 1, 0.4)
    known = " ".join(CONTAINERS)
    hint = f"did you mean {near[0]}? " if near else ""
    raise SinkError(f"{path}: cannot write files ending in '{suffix}'; {hint}known are {known}")


def _quiet() -> None:
    """SVT-AV1 prints its settings on stderr unless told not to before it starts."""
    os.environ.setdefault("SVT_LOG", "1")


def coding_of(path: Path, codec: str | None) -> Coding:
    """The encoder for `path`: the one asked for, or the usual one of its container."""
    container = container_of(path)
    name = (codec or container.codec).lower()
    coding = CODINGS.get(name) or Coding(name, {}, None)
    _quiet()
    try:
        if Codec(coding.encoder, "w").type != "video":
            raise SinkError(f"{name} is not a video codec; known are {', '.join(CODINGS)}")
    except UnknownCodecError:
        near = get_close_matches(name, CODINGS, 1, 0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise SinkError(f"no encoder '{name}'; {hint}known are {', '.join(CODINGS)}") from None
    if coding.encoder not in supported(container, path):
        raise SinkError(f"{path.suffix} files cannot hold {name}; use .mkv or another codec")
    if name not in CODINGS:
        _prove(coding)
    return coding


def _prove(coding: Coding) -> None:
    """Refuses an encoder that is known to FFmpeg and does not work here, for want of its hardware
    for one, before anything is painted for it."""
    encoder = CodecContext.create(coding.encoder, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width = encoder.height = SIDE_PX
    encoder.pix_fmt, encoder.time_base = coding.pix_fmt, Fraction(1, 25)
    frame = VideoFrame(SIDE_PX, SIDE_PX, coding.pix_fmt)
    frame.pts, frame.time_base = 0, encoder.time_base
    try:
        with Capture():
            encoder.encode(frame)
            encoder.encode(None)
    except (FFmpegError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SinkError(
            f"{coding.encoder} cannot be used here ({why}): run_stream.py doctor lists what can"
        ) from None


def supported(container: Container, path: Path) -> set[str]:
    """Names of all codecs that the container can hold; nothing is written."""
    with av.open(str(path), "w", format=container.form) as out:
        return out.supported_codecs
