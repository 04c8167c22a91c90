"""`run_stream.py doctor`: what this machine has, proved where that is possible, and what to use."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from math import sqrt
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.logging import Capture

from engines import cache, choice, said
from pipeline.cameras import cameras, listed
from pipeline.errors import StreamError
from pipeline.frame import ColorTags, Frame, Pixels, Sample, StreamInfo
from pipeline.hardware import known
from pipeline.opening import open_media, video_of
from pipeline.sinks import SinkOptions, open_sink, prepare
from pipeline.sinks._codecs import CODINGS, HARDWARE
from pipeline.sources._trial import refused, sampled

MODEL = "compact"
LIVE = 25
"""Frames a second that count as real time."""
SIDE_PX = 256
FRAMES = 5
FAILURES = (StreamError, FFmpegError, OSError, ValueError, StopIteration)
"""What may be raised where a codec does not work."""


def main() -> int:
    """Print one line for each thing -> 1 when something that every run needs is missing."""
    healthy = True
    for name, value in report():
        print(f"{name:16}{value}", flush=True)
        healthy = healthy and not value.startswith("MISSING")
    return 0 if healthy else 1


def report() -> Iterator[tuple[str, str]]:
    """Names and what is to be said about them; slow ones last."""
    from engines import machine

    yield "system", f"{platform.platform()}, Python {platform.python_version()}"
    yield "processor", machine.processor()
    yield from memory()
    for line in machine.graphics():
        yield "graphics", line
    for kind, runtime in machine.runtimes().items():
        yield f"engine {kind}", runtime
    yield "ffmpeg", f"{av.ffmpeg_version_info} in PyAV {av.__version__}"
    yield "encoders", proved(list(CODINGS)) or "MISSING: none works, install PyAV again"
    yield "hardware", proved(list(HARDWARE)) or "no encoder in hardware"
    yield "decoders", decoders()
    found = cameras()
    for camera, able in found:
        yield "camera", f"{camera.path} {camera.name}: {listed(able) or 'it tells no modes'}"
    if not found:
        yield "camera", "none found"
    yield from advice()


def memory() -> Iterator[tuple[str, str]]:
    """Main memory, where the frame pool lies, and the places that runs write to."""
    if hasattr(os, "sysconf"):
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = (os.sysconf(n) * page for n in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
        yield "memory", f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB of it free"
    shared = Path("/dev/shm")
    if shared.is_dir():
        about = shutil.disk_usage(shared)
        yield "shared memory", f"{about.free / 2**30:.1f} GiB free in {shared} (Ray's objects)"
    try:
        folder = cache.folder()
        yield "cache", f"{folder}, {shutil.disk_usage(folder).free / 2**30:.1f} GiB free"
    except OSError as error:
        yield "cache", f"cannot be written ({error.strerror}): set STYLESTREAM_CACHE to a folder"


def proved(names: list[str]) -> str:
    """Those of the codecs by which a frame can be written and read again, side by side."""
    return " ".join(name for name in names if works(name))


def decoders() -> str:
    """The kinds of devices that decode which FFmpeg knows, and those by which a small film comes
    out as in software."""
    try:
        sample = film()
    except FAILURES:
        return "software; hardware cannot be tried: no film can be written for it"
    there = " ".join(kind for kind in known() if not refused(sample, kind))
    knows = f"FFmpeg knows {' '.join(known()) or 'none'}"
    return f"software; in hardware here: {there or 'none'} ({knows})"


def film() -> Sample:
    """In H.264, which every kind of device decodes."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/probe.mkv"
        write(path, "h264", FRAMES)
        with open_media(path) as container:
            stream = video_of(container, path)
            return sampled(stream, [bytes(packet) for packet in container.demux(stream)])


def works(codec: str) -> bool:
    """Encode one frame as the stream does it, decode it, and compare it coarsely."""
    # An encoder without its hardware says so on stderr, by FFmpeg's log.
    with tempfile.TemporaryDirectory() as folder, Capture():
        path = f"{folder}/probe.{'gif' if codec == 'gif' else 'mkv'}"
        try:
            pixels = write(path, codec)
            with open_media(path) as container:
                decoded = next(container.decode(video_of(container, path)))
        except FAILURES:
            return False
        error = np.abs(decoded.to_ndarray(format="rgb24").astype(int) - pixels).mean()
        return bool(error < 40)  # GIF has 256 colours


def write(path: str, codec: str, frames: int = 1) -> Pixels:
    """A picture that moves, as the stream does it -> its first frame."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.uint8)
    pixels = np.stack([x, y, 255 - x], 2)
    tags = ColorTags("bt709", "tv")
    info = StreamInfo(SIDE_PX, SIDE_PX, Fraction(1, LIVE), Fraction(LIVE), tags)
    options = SinkOptions(codec)
    prepare(path, options)
    with open_sink(path, info, options) as sink:
        for index in range(frames):
            sink.write(Frame(index, index, info.time_base, np.roll(pixels, 8 * index, 1)))
        sink.finish()
    return pixels


def advice() -> Iterator[tuple[str, str]]:
    """The engine that a run would take, and what it comes to."""
    about = MODEL, "auto", os.cpu_count()
    if not choice.is_known(*about):
        print("trying the engines, once for this model: a minute or two ...", flush=True)
    refused: list[str] = []
    try:
        engine = choice.taken(*about)
        style, frame = choice.scene()
        paces = choice.paces_ms({MODEL: (engine, engine.encode_style(style))}, frame, refused)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        refused.append(said(error))
    if refused:
        yield "fastest", f"cannot be run ({refused[0]}): name another --engine"
        return
    yield "fastest", engine.why
    rate = 1000 / paces[MODEL]
    # Time goes with the pixels; 16:9.
    short = sqrt(choice.SIDE**2 * rate / LIVE * 9 / 16) // 16 * 16
    yield (
        "advice",
        (
            f"{MODEL} paints {rate:.1f} frames/s at {choice.SIDE}x{choice.SIDE}; for {LIVE} a "
            f"second of a wide picture use --size {short:.0f} or less"
        ),
    )
