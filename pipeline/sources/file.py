"""Any file that FFmpeg reads: its first real video stream, upright, with its own time stamps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.address import shown
from pipeline.color import HDR, tags_of, to_rgb, tone_notices
from pipeline.errors import DecoderLost, SourceInvalid
from pipeline.frame import Frame, Pixels, Sample, StreamInfo
from pipeline.hardware import Device
from pipeline.limits import MAX_GAP_S, believed
from pipeline.opening import check_size, mapped, open_media, video_of
from pipeline.sources import Source, SourceOptions, scaled
from pipeline.sources._trial import sampled
from pipeline.sources._upright import turn_of, upright
from pipeline.timing import JUMP_S, MICROSECOND, Clock, resampled, ticks, zero_of

THREADS = 2
SAMPLED = 8
"""Packets: some that refer to others, in both directions."""
CLEAR = "the video has transparency, which is ignored"
_DEFAULT_RATE = Fraction(25)
_DEMUX_RETRIES = 100
_DAMAGE = (FFmpegError, IndexError, ValueError)
_SLACK_S = 0.5
_BACK_S = 1.0
"""Before the frame that is sought: what lies between must suffice to find and to resample it."""


class _Damaged(Exception):
    """The fast way, or a device, met damage; the message is what FFmpeg says of it."""


@dataclass
class _Faults:
    """What went wrong while decoding, and where it began."""

    packets: int = 0
    first_s: float | None = None
    broke_off: bool = False

    def at(self, packet: Packet[Any]) -> None:
        """Counts one damaged packet."""
        self.packets += 1
        if self.first_s is None and packet.pts is not None:
            self.first_s = float(packet.pts * packet.time_base)


def create(text: str, options: SourceOptions) -> Source:
    """Opens the file `text`."""
    return FileSource(text, options)


def _decoded(
    container: InputContainer, stream: VideoStream, faults: _Faults | None
) -> Iterator[VideoFrame]:
    """Every picture; with `faults` damage is counted on one thread, without it is raised."""
    stream.thread_type = "AUTO"
    stream.thread_count = 1 if faults or stream.codec_context.is_hwaccel else THREADS
    failures = 0
    while failures < _DEMUX_RETRIES:
        try:
            for packet in container.demux(stream):
                yield from _pictures(packet, faults)
            return
        except _DAMAGE as error:
            if faults is None:
                raise _Damaged(getattr(error, "strerror", None) or str(error)) from None
            failures += 1
    if faults is not None:
        faults.broke_off = True


def _pictures(packet: Packet[Any], faults: _Faults | None) -> Iterator[VideoFrame]:
    try:
        pictures = packet.decode()
    except _DAMAGE as error:
        if faults is None:
            raise _Damaged(getattr(error, "strerror", None) or str(error)) from None
        faults.at(packet)
        return
    if any(p.is_corrupt for p in pictures):
        if faults is None:
            raise _Damaged("a picture is damaged")
        faults.at(packet)
    yield from pictures


class FileSource:
    """Decodes one file; every call of `frames` starts afresh, so that it can be repeated."""

    def __init__(self, text: str, options: SourceOptions) -> None:
        self.notices: list[str] = []
        self.damage: str | None = None
        self.dropped: dict[str, int] = {}
        self.away = ""
        self._text = text
        self._options = options
        self._device = Device(options.hardware)
        with open_media(text) as container:
            self._probe(container, video_of(container, text))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def _probe(self, container: InputContainer, stream: VideoStream) -> None:
        first = next(_decoded(container, stream, _Faults()), None)
        if first is None:
            raise SourceInvalid(
                f"{shown(self._text)}: not one frame can be decoded; is it damaged?"
            )
        check_size(first.width, first.height, self._text)
        self._turn = turn_of(first)
        tags = tags_of(first)
        self._tags = replace(tags, kept=self._options.keep_hdr and tags.transfer in HDR)
        self._zero = zero_of(container.start_time)
        self._duration_s = (container.duration or 0) / 1e6
        self._rate = believed(stream.average_rate, stream.guessed_rate)
        self._native = (first.width, first.height)
        if stream.time_base is None:
            raise SourceInvalid(f"{shown(self._text)} is damaged: its times have no unit")
        self._base = stream.time_base
        self._begin_s, self._end_s = _span_s(container, stream, float(self._zero))
        self._repaired = 0
        self.info = self._describe(stream, first)
        self._notice(first, stream)

    def _sample(self) -> Sample:
        with open_media(self._text) as container, mapped(self._text):
            stream = video_of(container, self._text)
            packets = (bytes(packet) for packet in container.demux(stream))
            return sampled(stream, list(islice(packets, SAMPLED)))

    def _describe(self, stream: VideoStream, first: VideoFrame) -> StreamInfo:
        swap = self._turn[0] % 2 == 1
        native = self._native[::-1] if swap else self._native
        width, height = scaled(*native, self._options.size, shown(self._text))
        self._size = (height, width) if swap else (width, height)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        fps = self._options.fps
        start = self._zero + Fraction(self._options.start_s or 0)
        end = self._options.end_s
        return StreamInfo(
            width=width,
            height=height,
            time_base=1 / fps if fps else self._base,
            rate=fps or self._rate,
            tags=self._tags,
            frames=self._expected(stream),
            counted=self._plain and stream.frames > 0,
            aspect=1 / aspect if swap else aspect,
            media=None if "://" in self._text else Path(self._text.removeprefix("file:")),
            media_start_s=float(start),
            media_end_s=None if end is None else float(self._zero) + end,
            sample=self._sample() if self._options.sampled else None,
        )

    def _expected(self, stream: VideoStream) -> int | None:
        rate = self._options.fps or self._rate
        # That of the container is how long the longest of its tracks is, which may be sound.
        whole = self._end_s or self._duration_s or (float(stream.frames / rate) if rate else 0.0)
        if not rate or not whole:
            return None
        begin = max(self._options.start_s or 0.0, self._begin_s)
        end = min(self._options.end_s or whole, whole)
        if self._plain and stream.frames:
            return stream.frames
        return max(0, round((end - begin) * rate))

    @property
    def _plain(self) -> bool:
        """Nothing that the options ask for leaves out frames, or adds some."""
        same = replace(self._options, size=None, keep_hdr=False, sampled=False, hardware=None)
        return same == SourceOptions()

    def _notice(self, first: VideoFrame, stream: VideoStream) -> None:
        if first.interlaced_frame:
            self.notices.append("the video is interlaced; its frames are used as they are")
        self.notices += tone_notices(self._tags)
        if "://" in self._text:
            self.notices.append("sound is not copied from a network address: download it for that")
        # What a GIF calls transparent is mostly what stays of the picture before.
        clear = any(c.is_alpha for c in first.format.components) and stream.name != "gif"
        if clear or stream.metadata.get("alpha_mode") == "1":  # of VP8 and VP9, beside the picture
            self.notices.append(CLEAR)

    def frames(self, start: int = 0, after: int | None = None) -> Iterator[Frame]:
        """The frames from index `start` on; those before it are sought past, or where that does
        not lead to the time `after` decoded but not converted. Where a device fails, the rest is
        decoded in software."""
        try:
            for frame in self._from(start, after):
                yield frame
                start, after = frame.index + 1, frame.pts
        except DecoderLost as error:
            self._device.lose(error, f"from frame {start} on")
            self.notices.append(self._device.notice)
            yield from self._from(start, after)

    def _from(self, start: int, after: int | None) -> Iterator[Frame]:
        self.damage = None
        faults = _Faults()
        index, pts, lasts_s = -1, 0, 0.0
        sought = self._sought(start, after, faults) if start and after is not None else None
        if sought is not None:
            index, pts = start - 1, after or 0
        for index, (pts, picture) in sought or enumerate(self._timed(faults)):
            lasts_s = float((picture.duration or 0) * self._base)
            if index >= start:
                base, pixels = self.info.time_base, self._pixels(picture)
                yield Frame(index, pts, base, pixels, lasts_s=self._stays_s(pts * base, lasts_s))
        self._conclude(faults, index + 1, float(pts * self.info.time_base), lasts_s)

    def _stays_s(self, time_s: Fraction, lasts_s: float) -> float | None:
        """How long a picture of that time is shown in the output if it is the last: not beyond what
        was asked for. None: nobody says."""
        if not lasts_s or self._options.fps is not None:
            return None
        if self._options.end_s is not None:
            end_s = self._options.end_s - (self._options.start_s or 0)
            lasts_s = min(lasts_s, end_s - float(time_s))
        return lasts_s

    def _sought(
        self, start: int, after: int, faults: _Faults
    ) -> Iterator[tuple[int, tuple[int, VideoFrame]]] | None:
        """What comes behind the picture of time `after`; None when none has that very time."""
        timed = self._timed(faults, float(after * self.info.time_base) - _BACK_S)
        pts = next((pts for pts, _ in timed if pts >= after), None)
        return enumerate(timed, start) if pts == after else None

    def _pixels(self, picture: VideoFrame) -> Pixels:
        check_size(picture.width, picture.height, self._text)
        with mapped(self._text):
            pixels = to_rgb(picture, self._tags, self._size)
        return pixels if self._turn == (0, False) else upright(pixels, self._turn)

    def _timed(self, faults: _Faults, from_s: float = 0.0) -> Iterator[tuple[int, VideoFrame]]:
        """(time stamp of the output, picture); those before `from_s` may be left out."""
        if self._options.fps is None:
            yield from self._cut(faults, from_s)
            return
        end = self._options.end_s
        yield from resampled(
            self._close(faults, from_s),
            self._options.fps,
            1 / (self._rate or _DEFAULT_RATE),
            None if end is None else decimal(end) - decimal(self._options.start_s or 0),
        )

    def _close(self, faults: _Faults, from_s: float) -> Iterator[tuple[Fraction, VideoFrame]]:
        """(seconds, picture), none of them so late that filling the gap would never end."""
        last_s: Fraction | None = None
        for pts, picture in self._cut(faults, from_s):
            time_s = pts * self._base
            if last_s is not None and time_s - last_s > MAX_GAP_S:
                raise SourceInvalid(
                    f"{shown(self._text)}: after {float(last_s):.2f} s the time jumps by more than "
                    f"{MAX_GAP_S} s; leave --fps out"
                )
            last_s = time_s
            yield time_s, picture

    def _cut(self, faults: _Faults, from_s: float) -> Iterator[tuple[int, VideoFrame]]:
        """(pts from time 0 of the output, picture) within start_s and end_s."""
        base = self._base
        begin = ticks(self._options.start_s or 0, base)
        end = None if self._options.end_s is None else decimal(self._options.end_s)
        for pts, picture in self._all(faults, from_s):
            if end is not None and pts * base >= end:
                return
            if pts >= begin or self._options.start_s is None:
                yield pts - begin, picture

    def _all(self, faults: _Faults, from_s: float) -> Iterator[tuple[int, VideoFrame]]:
        """Every picture. At the first damage the run starts again on one thread: only that one
        loses nothing and gives the same pictures each time."""
        done = 0
        try:
            for item in self._run(None, from_s):
                yield item
                done += 1
            return
        except _Damaged as damage:
            if kind := self._device.kind:
                name = shown(self._text)
                raise DecoderLost(f"{name}: {kind} does not decode it ({damage})") from None
        yield from islice(self._run(faults, from_s), done, None)

    def _run(self, faults: _Faults | None, from_s: float) -> Iterator[tuple[int, VideoFrame]]:
        with open_media(self._text, hardware=self._device.kind) as container:
            stream = video_of(container, self._text)
            start = self._start_ticks(stream)
            rate = self._rate or _DEFAULT_RATE
            clock = Clock(ticks(1 / rate, self._base), ticks(JUMP_S, self._base))
            begin = start + ticks((self._options.start_s or 0) + max(from_s, 0), self._base)
            if begin > start and self._leads_to(begin):
                container.seek(begin, stream=stream)
            for picture in _decoded(container, stream, faults):
                shown = picture.pts if picture.pts is not None else picture.dts
                pts = None if shown is None else shown - start
                yield clock.next(pts), picture
            self._repaired = clock.repaired

    def _leads_to(self, begin: int) -> bool:
        """Whether seeking leads to a picture at or before `begin`, in ticks.

        Frames are picked by their times, so nothing changes but the time that decoding takes.
        """
        with open_media(self._text) as container:
            stream = video_of(container, self._text)
            try:
                container.seek(begin, stream=stream)
                first = next(container.decode(stream), None)
            except _DAMAGE:
                return False
            return first is not None and first.pts is not None and first.pts <= begin

    def _start_ticks(self, stream: VideoStream) -> int:
        """Time 0 in the stream's ticks; its own start where that is the same microsecond."""
        start = ticks(self._zero, self._base)
        own = stream.start_time
        return own if own is not None and abs(own - start) * self._base <= MICROSECOND else start

    def _conclude(self, faults: _Faults, count: int, last_s: float, lasts_s: float) -> None:
        """Says what was missing or repaired, once all frames are out, of which the last one comes
        at `last_s` and is shown for `lasts_s`."""
        if self._repaired:
            stamps = "time stamp was" if self._repaired == 1 else "time stamps were"
            self.notices.append(f"{self._repaired} {stamps} missing or went back; repaired")
        if count == 0:
            raise SourceInvalid(f"{shown(self._text)} has no frames in the part asked for")
        parts = []
        if faults.packets:
            where = "" if faults.first_s is None else f" from {faults.first_s:.2f} s on"
            parts.append(f"{faults.packets} damaged packets{where}")
        end_s = last_s + (self._options.start_s or 0)
        ends = self._options.end_s is None and self._is_short(end_s + lasts_s)
        if faults.broke_off or ends:
            parts.append(f"the video breaks off at {end_s:.2f} s")
        if parts:
            name = shown(self._text)
            self.damage = f"{name}: {', '.join(parts)}; {count} frames could be decoded"

    def _is_short(self, end_s: float) -> bool:
        if self._end_s is None:
            return False
        frame_s = float(1 / (self._rate or _DEFAULT_RATE))
        return end_s + max(_SLACK_S, 3 * frame_s) < self._end_s


def _span_s(
    container: InputContainer, stream: VideoStream, zero_s: float
) -> tuple[float, float | None]:
    """Where the video says that it begins and ends, from time 0 on; None where its end cannot be
    relied on."""
    base = stream.time_base or MICROSECOND
    begin_s = 0.0 if stream.start_time is None else float(stream.start_time * base) - zero_s
    if stream.duration:
        return begin_s, begin_s + float(stream.duration * base)
    stated = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))
    if stated:
        end_s = int(stated[1]) * 3600 + int(stated[2]) * 60 + float(stated[3])
        return begin_s, end_s - zero_s
    alone = len(container.streams) == 1
    return begin_s, container.duration / 1e6 if alone and container.duration else None


def decimal(time_s: float) -> Fraction:
    """As it was written: 0.2 is a fifth, which the number for it is a little above."""
    return Fraction(time_s).limit_denominator(1_000_000)
