"""Which containers and codecs can be written, and how each encoder is set up."""

import os
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import av
from av.codec.codec import Codec, UnknownCodecError

from pipeline.errors import SinkError
from pipeline.frame import StreamInfo
from pipeline.sinks._proof import refusal

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
    most_quality: int = 51
    """The lowest quality that it knows, 0 being the highest."""
    pix_fmt: str = "yuv420p"
    odd_pix_fmt: str | None = None
    """What odd sizes are written in, where `pix_fmt` needs even ones."""
    deep_pix_fmt: str = ""
    """What HDR is written in; "" where there are 8 bits only."""
    most_ticks: int | None = None
    """The finest division of a second that it knows."""
    live: dict[str, str] = field(default_factory=dict)
    """More settings for a live input: nothing is held back, and what is asked to be a key frame
    can be begun with."""

    def deep(self) -> "Coding":
        """The same for HDR. SinkError: it has 8 bits only."""
        if not self.deep_pix_fmt:
            names = [name for name, coding in CODINGS.items() if coding.deep_pix_fmt]
            raise SinkError(
                f"{self.encoder} is written in 8 bits, too few for --hdr keep: give --codec "
                f"{', '.join(names)}, or leave --hdr out"
            )
        odd_pix_fmt = f"{self.odd_pix_fmt}10le" if self.odd_pix_fmt else None
        return replace(self, pix_fmt=self.deep_pix_fmt, odd_pix_fmt=odd_pix_fmt)

    def check(self, quality: int | None) -> None:
        """SinkError: `quality` is none that it knows."""
        if self.quality_key and quality is not None and not 0 <= quality <= self.most_quality:
            raise SinkError(
                f"--quality {quality}: {self.encoder} takes 0 to {self.most_quality}, lower is "
                "better"
            )

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
    counts: bool = False
    """Whether it knows no times, but how many frames there are a second."""

    @property
    def unbroken(self) -> "Container":
        """The same, in one piece, which no kill survives."""
        return replace(self, options={})


CODINGS = {
    "h264": Coding(
        "libx264",
        {"preset": "veryfast"},
        odd_pix_fmt="yuv444p",
        live={"tune": "zerolatency", "forced-idr": "1"},
    ),
    "hevc": Coding(
        "libx265",
        {"preset": "veryfast", "x265-params": "log-level=error"},
        "crf",
        20,
        odd_pix_fmt="yuv444p",
        deep_pix_fmt="yuv420p10le",
        live={"tune": "zerolatency"},
    ),
    "vp9": Coding(
        "libvpx-vp9", {"deadline": "good", "cpu-used": "5", "row-mt": "1"}, "crf", 24, 63
    ),
    "av1": Coding("libsvtav1", {"preset": "9"}, "crf", 26, 63, deep_pix_fmt="yuv420p10le"),
    "ffv1": Coding(
        "ffv1",
        {"level": "3", "g": "1", "slicecrc": "1"},
        None,
        pix_fmt="bgr0",
        deep_pix_fmt="yuv444p10le",
    ),
    "prores": Coding(
        "prores_ks", {"profile": "3"}, None, pix_fmt="yuv422p10le", deep_pix_fmt="yuv422p10le"
    ),
    "mpeg4": Coding("mpeg4", {}, "qscale", 3, 31, most_ticks=65_535),
    "mjpeg": Coding("mjpeg", {"strict": "unofficial"}, "qscale", 3, 31),
    "gif": Coding("gif", {}, None, pix_fmt="rgb8"),
}
_ALIASES = {"avc": "h264", "x264": "h264", "h265": "hevc", "x265": "hevc"}
_DEEPER = {"h264": "hevc", "vp9": "av1"}
"""What stands in for a codec where HDR is kept."""
_KINDS = {
    "nvenc": Coding(
        "",
        {"preset": "p4", "rc": "vbr", "b": "0"},
        "cq",
        21,
        live={"bf": "0", "delay": "0", "zerolatency": "1", "forced-idr": "1"},
    ),
    "qsv": Coding(
        "",
        {},
        "global_quality",
        21,
        pix_fmt="nv12",
        live={"bf": "0", "async_depth": "1", "forced_idr": "1"},
    ),
    "amf": Coding(
        "",
        {"rc": "qvbr"},
        "qvbr_quality_level",
        21,
        pix_fmt="nv12",
        live={"bf": "0", "usage": "ultralowlatency", "forced_idr": "1"},
    ),
    "videotoolbox": Coding("", {"b": "12M"}, None, pix_fmt="nv12", live={"realtime": "1"}),
}
"""Of encoders in hardware, in the order in which they are tried."""
HARDWARE = {
    f"{name}_{kind}": replace(coding, encoder=f"{name}_{kind}", deep_pix_fmt=deep_pix_fmt)
    for name, deep_pix_fmt in {"h264": "", "hevc": "p010le", "av1": "p010le"}.items()
    for kind, coding in _KINDS.items()
}
ON_HARDWARE = "-hw"
"""After the name of a codec: by hardware where any works, else in software."""
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
    ".avi": Container("avi", "mpeg4", {"flush_packets": "1"}, restarts=False, counts=True),
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


def _plain(codec: str) -> str:
    """`H265-hw` -> hevc-hw"""
    name, mark, kind = codec.lower().partition("-")
    return _ALIASES.get(name, name) + mark + kind


def settled(
    codec: str | None, info: StreamInfo, quality: int | None = None
) -> tuple[str | None, list[str]]:
    """What `codec` comes to for the frames that `info` describes, and what is to be said of it:
    `h264-hw` becomes the first encoder in hardware that has written such frames, or `h264`.
    SinkError: an encoder in hardware that is named has not."""
    asked = _plain(codec or "")
    name = asked.removesuffix(ON_HARDWARE)
    tried = [hardware for hardware in HARDWARE if hardware.startswith(f"{name}_")]
    if asked in HARDWARE and (refused := _refused(asked, info, quality)):
        raise _useless(asked, refused)
    if asked == name or not tried:
        return asked or None, []
    why: list[str] = []
    for hardware in tried:
        if not (refused := _refused(hardware, info, quality)):
            return hardware, ["; ".join([f"encoded by {hardware}", *why])]
        why.append(f"not by {hardware}: {refused}")
    return name, ["; ".join([f"encoded in software, by {CODINGS[name].encoder}", *why])]


def _refused(hardware: str, info: StreamInfo, quality: int | None) -> str:
    """Why an encoder in hardware cannot write such frames; "" where it has."""
    coding = HARDWARE[hardware].deep() if info.tags.kept else HARDWARE[hardware]
    if info.live:
        coding = replace(coding, settings=coding.settings | coding.live)
    if info.width % 2 or info.height % 2:
        return "it takes no odd sizes"
    return refusal(coding, info.width, info.height, quality)


def _useless(encoder: str, why: str) -> SinkError:
    return SinkError(f"{encoder} cannot be used here ({why}): run_stream.py doctor lists what can")


def coding_of(path: Path, codec: str | None, hdr: bool = False) -> Coding:
    """The encoder for `path`: the one asked for, or the usual one of its container."""
    container = container_of(path)
    usual = _DEEPER.get(container.codec, container.codec) if hdr else container.codec
    name = _plain(codec or usual)
    coding = (CODINGS | HARDWARE).get(name) or Coding(name, {}, None)
    coding = coding.deep() if hdr else coding
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
    # Known to FFmpeg, it may still not work here, for want of its hardware for one.
    if name not in CODINGS and (why := refusal(coding, SIDE_PX, SIDE_PX)):
        raise _useless(coding.encoder, why)
    return coding


def supported(container: Container, path: Path) -> set[str]:
    """Names of all codecs that the container can hold; nothing is written."""
    with av.open(str(path), "w", format=container.form) as out:
        return out.supported_codecs
