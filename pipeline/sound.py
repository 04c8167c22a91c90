"""Sound, subtitles, chapters and metadata of the source, copied beside the video as it is
written. Trouble in them is a notice and never stops the video."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.audio.codeccontext import AudioCodecContext
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.codec.context import CodecContext
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from pipeline.copied import CopiedTrack
from pipeline.errors import SourceError
from pipeline.frame import StreamInfo
from pipeline.limits import hears
from pipeline.opening import COVERS, open_media, video_of

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TECHNICAL = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
_FALLBACK = {"mp4": "aac", "mov": "aac", "webm": "libopus", "avi": "libmp3lame"}
_TEXTS = {"subrip", "ass", "webvtt", "text", "mov_text"}
_WRITTEN = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
"""What subtitles that are text become in files that do not take them as they are."""
_MP4_PLAYABLE = {"aac", "mp3", "mp3float", "mp2", "mp2float", "ac3", "eac3", "alac", "opus"}
"""What players take in MP4, out of more that the format could hold."""
_MOV_REFUSED = {"flac", "opus", "truehd"}
"""What FFmpeg names among the codecs of MOV and writes into MP4 alone."""
_OPUS_HZ = 48_000
_LAYOUTS = {1: "mono", 2: "stereo", 5: "5.0", 6: "5.1", 8: "7.1"}
"""The places of so many loudspeakers that every player knows."""
_BIT_RATE = 96_000
"""Of each channel."""
_APART_S = 10.0
"""How far a file may hold things apart that belong to one time."""
_CUE_BASE = Fraction(1, 200_000)
"""The unit of time of subtitles in MP4 and MOV. FFmpeg holds it against that of the other tracks
where it looks for the end of a cue, and makes the coarser one end at once."""
_LONGEST_CUE_S = 10.0
"""How far before a part of a film a subtitle is looked for that is still shown there."""
_RETRIES = 20
_DAMAGE = (FFmpegError, ValueError, IndexError)


def has_text(path: Path) -> bool:
    """Whether a film has subtitles that are text."""
    try:
        with open_media(str(path)) as media:
            known = (s.codec_context for s in media.streams.subtitles if s.codec_context)
            return any(context.codec.canonical_name in _TEXTS for context in known)
    except SourceError:
        return False


def _name(target: Stream, source: Stream) -> None:
    """Gives a stream the language and the title of another."""
    named = {k: v for k, v in source.metadata.items() if k in ("language", "title")}
    target.metadata.update(named)


def _layout(encoder: str, rate: int, layout: AudioLayout) -> AudioLayout:
    """What `encoder` makes of sound for such loudspeakers: as many where it can, else stereo."""
    usual = _LAYOUTS.get(layout.nb_channels, layout.name)
    for name in (usual, layout.name):
        context = CodecContext.create(encoder, "w")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate, context.time_base = rate, Fraction(1, rate)
        assert context.codec.audio_formats
        context.format, context.bit_rate = context.codec.audio_formats[0], _BIT_RATE
        try:
            context.layout = name
            context.open()
            return AudioLayout(name)
        except _DAMAGE:
            continue
    return AudioLayout("stereo")


class Sound:
    """Reads the source's other streams alongside the video; holds one packet at a time."""

    def __init__(
        self,
        out: OutputContainer,
        info: StreamInfo,
        notices: list[str],
        heard: bool = True,
        told: bool = True,
    ) -> None:
        self._out = out
        self._heard = heard  # else chapters and metadata alone are copied
        self._told = told  # else subtitles that are text wait
        self._notices = notices
        self._info = info
        self._start_s = info.media_start_s
        self._end_s = info.media_end_s
        self._tracks: dict[int, CopiedTrack] = {}
        self._media: InputContainer | None = None
        self._ahead: Packet[Any] | None = None
        self._packets: Iterator[Packet[Any]] = iter(())
        self._failed = 0
        if info.media is not None:
            self._open(info.media)

    def _open(self, path: Path) -> None:
        try:
            self._media = open_media(str(path))
        except SourceError as error:
            self._note(f"no sound: {error}")
            return
        if self._heard:
            for stream in (*self._media.streams.audio, *self._media.streams.subtitles):
                self._add(stream)
            self._add_fonts(self._media)
        self._copy_facts(self._media)
        self._note_lost(self._media)
        if self._tracks:
            self._seek(self._media)
            self._packets = self._read(self._media)

    def _note(self, text: str) -> None:
        if text not in self._notices:
            self._notices.append(text)

    def _add(self, stream: Stream) -> None:
        kind = "sound" if stream.type == "audio" else "subtitles"
        if stream.codec_context is None:
            self._note(f"{kind} track {stream.index}: unknown codec, left out")
            return
        if isinstance(stream, AudioStream) and not hears(stream.rate, stream.channels):
            about = f"{stream.rate} Hz, {stream.channels} channels"
            self._note(f"sound track {stream.index} ({about}) is beyond the limits, left out")
            return
        name = stream.codec_context.codec.canonical_name
        if name in _TEXTS and not self._told:
            return
        form, fits = self._out.format.name, self._fits(stream)
        try:
            target: Stream
            if fits:
                target = self._out.add_stream_from_template(stream, opaque=True)
            elif isinstance(stream, SubtitleStream) and name in _TEXTS and form in _WRITTEN:
                target = self._encoder_of_text(stream, _WRITTEN[form])
                self._note(
                    f"subtitles are written as {_WRITTEN[form]}: {name} does not go into this "
                    "kind of file"
                )
            elif isinstance(stream, AudioStream):
                audio = self._encoder(stream)
                few = audio.codec_context.layout.nb_channels < stream.channels
                self._note(
                    f"sound is encoded again{f', as {audio.codec_context.layout.name}' * few}: "
                    f"{name} does not go into this kind of file"
                )
                target = audio
            else:
                self._note(
                    f"subtitles ({name}) are left out: they do not go into this kind of file"
                )
                return
        except _DAMAGE:
            self._note(f"{kind} ({name}) cannot be written to this kind of file; left out")
            return
        if target.codec_context.name == "mov_text":
            target.time_base = min(_CUE_BASE, self._out.streams.video[0].time_base or _CUE_BASE)
        _name(target, stream)
        target.disposition = stream.disposition
        bare = self._bared(stream) if fits else None
        self._tracks[stream.index] = CopiedTrack(
            stream, target, not fits, bare, self._start_s, self._end_s
        )

    def _bared(self, stream: Stream) -> BitStreamFilterContext | None:
        """What takes the headers away that packets of AAC have in broadcasts: FFmpeg, which else
        does so itself, does not in fragments."""
        headed = stream.codec_context.name == "aac" and not stream.codec_context.extradata
        if not headed or self._out.format.name not in ("mp4", "mov"):
            return None
        return BitStreamFilterContext("aac_adtstoasc", stream)

    def _add_fonts(self, media: InputContainer) -> None:
        """Those that subtitles are set in, where there is a place for them."""
        if self._out.format.name != "matroska" or not media.streams.subtitles:
            return
        for font in media.streams.attachments:
            if font.name and font.mimetype and font.data:  # else the file could not be written
                self._out.add_attachment(font.name, font.mimetype, font.data)

    def _fits(self, stream: Stream) -> bool:
        codec = stream.codec_context.codec
        if self._out.format.name == "mp4" and isinstance(stream, AudioStream):
            return codec.canonical_name in _MP4_PLAYABLE
        if self._out.format.name == "mov" and codec.canonical_name in _MOV_REFUSED:
            return False
        return bool({codec.name, codec.canonical_name} & self._out.supported_codecs)

    def _encoder(self, stream: AudioStream) -> AudioStream:
        name = _FALLBACK.get(self._out.format.name, "aac")
        rate = _OPUS_HZ if name == "libopus" else stream.codec_context.sample_rate
        layout = _layout(name, rate, stream.codec_context.layout)
        target = self._out.add_stream(name, rate=rate)
        assert isinstance(target, AudioStream)
        target.codec_context.layout = layout
        target.codec_context.bit_rate = _BIT_RATE * layout.nb_channels
        return target

    def _encoder_of_text(self, stream: SubtitleStream, name: str) -> SubtitleStream:
        stream.codec_context.open(strict=False)  # which makes the header
        target = self._out.add_stream(name)
        assert isinstance(target, SubtitleStream)
        target.codec_context.subtitle_header = stream.codec_context.subtitle_header
        return target

    def _copy_facts(self, media: InputContainer) -> None:
        kept = {k: v for k, v in media.metadata.items() if k.lower() not in _TECHNICAL}
        self._out.metadata.update(kept)
        if media.streams.video:
            _name(self._out.streams.video[0], video_of(media, str(self._info.media)))
        chapters = []
        for chapter in media.chapters():
            base = chapter["time_base"] or Fraction(1, 1000)
            begin = chapter["start"] - round(Fraction(self._start_s) / base)
            end = chapter["end"] - round(Fraction(self._start_s) / base)
            if self._end_s is not None:
                end = min(end, round(Fraction(self._end_s - self._start_s) / base))
            if end > max(begin, 0):
                chapters.append({**chapter, "start": max(begin, 0), "end": end})
        if chapters:
            self._out.set_chapters(chapters)  # type: ignore[arg-type]

    def _note_lost(self, media: InputContainer) -> None:
        lost = []
        if sum(not stream.disposition & COVERS for stream in media.streams.video) > 1:
            lost.append("further video tracks")
        if any(stream.disposition & COVERS for stream in media.streams.video):
            lost.append("cover pictures")
        if any("timecode" in stream.metadata for stream in media.streams):
            lost.append("time codes")
        if lost:
            self._note(f"{' and '.join(lost)} of the film are left out")

    def _seek(self, media: InputContainer) -> None:
        if self._start_s * 1e6 <= (media.start_time or 0):
            return
        cues = any(track.cues for track in self._tracks.values())
        begin = int((self._start_s - cues * _LONGEST_CUE_S) * 1e6)
        try:
            media.seek(max(begin, media.start_time or 0))
        except _DAMAGE:
            self._notices.append("the sound could not be sought; it is read from the beginning")

    def _read(self, media: InputContainer) -> Iterator[Packet[Any]]:
        """The packets in the wanted part of the source, as many as can be read."""
        streams = [track.source for track in self._tracks.values()]
        clocks = [stream for stream in streams if stream.type == "audio"]
        if not clocks:  # subtitles may be silent for hours: the video tells how far it is
            clocks = [video_of(media, str(self._info.media))]
            streams += clocks
        before_end = {clock.index for clock in clocks}
        for _ in range(_RETRIES):
            try:
                for packet in media.demux(streams):
                    if packet.dts is None:
                        continue
                    if (track := self._tracks.get(packet.stream_index)) is not None:
                        track.join(packet)
                    if self._is_past(packet):
                        before_end.discard(packet.stream_index)
                    if not before_end:
                        return
                    if track is not None and self._is_wanted(packet):
                        yield packet
                return
            except _DAMAGE:
                self._failed += 1

    def _is_past(self, packet: Packet[Any]) -> bool:
        """Whether nothing is wanted of its track any more, nor of what lies near it in the file."""
        assert packet.dts is not None
        time_s = float(packet.dts * packet.time_base)
        return self._end_s is not None and time_s >= self._end_s + _APART_S

    def _is_wanted(self, packet: Packet[Any]) -> bool:
        pts = packet.pts if packet.pts is not None else packet.dts
        assert pts is not None
        time_s = float(pts * packet.time_base)
        if self._end_s is not None and time_s >= self._end_s:
            return False
        if time_s >= self._start_s:
            return True
        track = self._tracks[packet.stream_index]
        late = float((packet.duration or 0) * track.base)
        whole_past = time_s + late <= self._start_s
        if self._trimmed:
            return track.cues and not whole_past
        return not (whole_past and self._out.format.name in ("matroska", "webm"))

    @property
    def _trimmed(self) -> bool:
        assert self._media is not None
        return self._start_s > max((self._media.start_time or 0) / 1e6, 0) + 1e-3

    def until(self, time_s: Fraction) -> None:
        """Writes everything that is due by `time_s`, in seconds of the output."""
        limit = time_s + Fraction(self._start_s)
        while True:
            if self._ahead is None:
                self._ahead = next(self._packets, None)
            packet = self._ahead
            if packet is None or (packet.dts or 0) * packet.time_base > limit:
                return
            self._ahead = None
            self._write(packet)

    def _write(self, packet: Packet[Any]) -> None:
        track = self._tracks[packet.stream_index]
        try:
            for ready in track.packets(packet):
                self._out.mux(ready)
        except _DAMAGE as error:
            if getattr(error, "errno", None) in _FULL:
                raise
            self._failed += 1

    def rest(self, end_s: Fraction | None) -> None:
        """Writes what is left: to the end of the sound, or to `end_s` of the output."""
        self.until(Fraction(10**9) if end_s is None else end_s)
        for track in self._tracks.values():
            self._out.mux(list(track.flush()))
        if self._failed:
            self._note(f"{self._failed} damaged sound packets were left out")

    def close(self) -> None:
        """Closes the source file."""
        if self._media is not None:
            self._media.close()
