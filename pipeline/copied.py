"""One sound track or track of subtitles of a source, on its way into an output."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from pipeline.limits import hears
from pipeline.timing import JUMP_S, ticks

_NOTHING = b"\0\0"
"""A cue of MP4 and MOV without a word."""


class CopiedTrack:
    """Its packets, in the times of the output, and encoded anew where they do not fit."""

    def __init__(
        self,
        source: Stream,
        target: Stream,
        recode: bool,
        bare: BitStreamFilterContext | None,
        start_s: float,
        end_s: float | None,
    ) -> None:
        assert source.time_base is not None
        self.source = source
        self.target = target
        self.base = source.time_base
        self._recode = recode
        self._bare = bare
        self._shift = round(Fraction(start_s) / self.base)
        self._end = None if end_s is None else round(Fraction(end_s) / self.base)
        self._behind = 0
        self._before: int | None = None
        self._until = 0
        self._last_dts: int | None = None
        self._told_until = 0
        self.lost = 0
        self.cues = source.type == "subtitle"

    def join(self, packet: Packet[Any]) -> None:
        """Puts behind what was heard what begins again, as the pictures of recordings that were
        joined are (timing.Clock)."""
        assert packet.dts is not None
        again = ticks(JUMP_S, self.base)
        if self._before is not None and packet.dts + self._behind <= self._before - again:
            self._behind = self._until - packet.dts
        packet.dts += self._behind
        if packet.pts is not None:
            packet.pts += self._behind
        self._before, self._until = packet.dts, packet.dts + (packet.duration or 0)

    def packets(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        """What to write for `packet` of the source, its time counted from the video's time 0."""
        if self.cues:
            yield from self._cue(packet)
        elif self._recode:
            yield from self._recoded(packet)
        else:
            for bare in self._bare.filter(packet) if self._bare else [packet]:
                yield self._moved(bare)

    def _cue(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        """The cue; in MP4 and MOV, where each is shown until the next, what ends the last one."""
        self._cut(packet)
        written = self._converted(packet) if self._recode else packet
        if written is None:
            return
        moved = self._moved(written)
        assert moved.dts is not None
        if self.target.codec_context.name == "mov_text":
            if moved.dts > self._told_until:
                yield self._pause(moved.dts)
            self._told_until = moved.dts + (moved.duration or 0)
        yield moved

    def _pause(self, until: int) -> Packet[Any]:
        pause: Packet[Any] = Packet(_NOTHING)
        pause.stream, pause.time_base = self.target, self.base
        pause.pts = pause.dts = self._told_until
        pause.duration = until - self._told_until
        return pause

    def _converted(self, packet: Packet[Any]) -> Packet[Any] | None:
        """A cue in the codec of the output; None: it says nothing."""
        assert isinstance(self.source, SubtitleStream)
        assert isinstance(self.target, SubtitleStream)
        said = self.source.decode2(packet)
        if said is None or not len(said):
            return None
        made = self.target.codec_context.encode_subtitle(said)
        made.time_base = self.base
        made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
        return made

    def _moved(self, packet: Packet[Any]) -> Packet[Any]:
        assert packet.dts is not None
        dts = packet.dts - self._shift
        if self._last_dts is not None:
            dts = max(dts, self._last_dts + 1)
        pts = dts if packet.pts is None else max(packet.pts - self._shift, dts)
        self._last_dts = dts
        packet.dts, packet.pts = dts, pts
        packet.stream = self.target
        return packet

    def _cut(self, packet: Packet[Any]) -> None:
        """A cue that is shown already where the video begins is shown from there on, and none is
        shown when the video is over."""
        assert packet.dts is not None
        begin = packet.dts if packet.pts is None else packet.pts
        if not packet.duration:
            return
        end = begin + packet.duration
        if self._end is not None:
            end = min(end, self._end)
        packet.pts = max(begin, self._shift)
        packet.dts = max(packet.dts, self._shift)
        packet.duration = max(end - packet.pts, 1)

    def _recoded(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        assert isinstance(self.target, AudioStream)
        for frame in packet.decode():
            assert isinstance(frame, AudioFrame)
            if not hears(frame.sample_rate, frame.layout.nb_channels):
                raise ValueError("sound beyond the limits")
            if frame.pts is not None:
                frame.pts -= self._shift
            yield from self.target.encode(frame)

    def flush(self) -> Iterator[Packet[Any]]:
        """What a re-encoder still holds."""
        if self._recode and isinstance(self.target, AudioStream):
            yield from self.target.encode(None)
