"""Which hardware decodes a video: each kind is tried on its first packets, in a child process for a
driver may crash, and has to give what software gives."""

from __future__ import annotations

import av.logging
import numpy as np
from av.codec.context import CodecContext
from av.codec.hwaccel import HWAccel
from av.error import FFmpegError
from av.logging import Capture
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.color import tags_of, to_rgb
from pipeline.confined import confined
from pipeline.errors import StreamError
from pipeline.frame import Sample
from pipeline.hardware import known, meaning
from pipeline.limits import MAX_PIXELS

MOST_APART = 1
"""Levels of 255: some codecs leave the last digit of their arithmetic open."""
NOT_TRIED = (
    "decoded in software: hardware is tried on films, and on network streams that are there at the "
    "start"
)
MEANINGS = {
    r"cannot load|could not|failed to (open|load|create)|no device|no such": "there is no such "
    "hardware, or no driver for it",
    r"not support|unsupported|lacking|hwaccel initiali[sz]ation": "this hardware does not decode "
    "it",
}


def sampled(stream: VideoStream, packets: list[bytes]) -> Sample:
    """The `packets` with which `stream` begins, and what a decoder has to know of it."""
    context = stream.codec_context
    size = stream.width, stream.height
    # What is empty would end the decoding.
    return Sample(context.name, context.extradata, size, tuple(filter(None, packets)))


def chosen(sample: Sample | None) -> tuple[str | None, list[str]]:
    """The first kind of device that decodes `sample` as software does, None when none does, and
    what is to be said of it. No sample: there was no coded video to try them on."""
    if sample is None:
        return None, [NOT_TRIED]
    why: list[str] = []
    for kind in known():
        if not (said := refused(sample, kind)):
            return kind, ["; ".join([f"decoded by {kind}", *why])]
        why.append(f"not by {kind}: {said}")
    return None, ["; ".join(["decoded in software", *(why or ["this FFmpeg knows no hardware"])])]


def refused(sample: Sample, kind: str) -> str:
    """`refusal`, in a child."""
    try:
        return confined(kind, refusal, sample, kind, bounded=False)
    except StreamError:
        return "its driver crashed, or did not answer"


def refusal(sample: Sample, kind: str) -> str:
    """Why a device of this kind is not to decode `sample`; "" once it has given the pictures that
    software gives. Leaves FFmpeg's log at errors."""
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with Capture() as log:
            if (given := decoded(sample, kind)) is None:
                return f"FFmpeg's decoder {sample.codec} does not know it"
            return difference(given, decoded(sample))
    except (FFmpegError, ValueError) as error:
        lines = [text for _, _, text in log]
        return meaning(lines, str(getattr(error, "strerror", None) or error), MEANINGS)


def decoded(sample: Sample, kind: str | None = None) -> list[VideoFrame] | None:
    """All pictures of `sample` in main memory, numbered by their packets; None when its decoder
    knows no such device. Raises what FFmpeg raises."""
    device = HWAccel(kind, allow_software_fallback=False) if kind else None
    context = CodecContext.create(sample.codec, "r", device)
    assert isinstance(context, VideoCodecContext)
    if kind and not context.is_hwaccel:
        return None
    context.extradata = sample.extradata
    context.width, context.height = sample.size
    context.options = {"max_pixels": str(MAX_PIXELS)}
    context.thread_count = 1
    pictures: list[VideoFrame] = []
    for place, data in enumerate(sample.packets):
        packet = Packet(data)
        packet.pts = packet.dts = place
        pictures += context.decode(packet)
    return pictures + context.decode(None)


def difference(given: list[VideoFrame], wanted: list[VideoFrame] | None) -> str:
    """How the pictures of a device differ from those of software; "" when they do not."""
    numbers = [picture.pts for picture in wanted or []]
    if not wanted or [picture.pts for picture in given] != numbers:
        return f"it gave {len(given)} pictures for {len(numbers)}, or in another order"
    for ours, theirs in zip(wanted, given, strict=True):
        tags = tags_of(ours)
        if (theirs.width, theirs.height, tags_of(theirs)) != (ours.width, ours.height, tags):
            return "its pictures have another size, or other colours"
        apart = np.abs(to_rgb(theirs, tags).astype(np.int16) - to_rgb(ours, tags)).max()
        if apart > MOST_APART:
            return f"its pictures differ by up to {apart} of 255 from those of software"
    return ""
