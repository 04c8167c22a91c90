"""Video packets and the sound of the source into one container, interleaved by time."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from av.codec.codec import Codec
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from pipeline import color
from pipeline.errors import SinkError
from pipeline.frame import Frame, StreamInfo
from pipeline.sinks._chunks import ChunkEncoder, DecodeOrder, Recipe, set_up
from pipeline.sinks._heard import JoinedTrack, Track
from pipeline.sinks._parts import Output
from pipeline.sound import Sound

FAILURES = (FFmpegError, OSError, ValueError)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TAGS = {"hevc": "hvc1"}
"""Apple's players want this spelling."""


@contextmanager
def failures(final: Path, resumable: bool) -> Iterator[None]:
    """Turns whatever FFmpeg or the disk raises into one line about `final`. `resumable`: a later
    run can go on with what there is."""
    try:
        yield
    except FAILURES as error:
        cause = error.__cause__ or error
        code = getattr(cause, "errno", None)
        why = getattr(cause, "strerror", None) or type(cause).__name__
        if code in _FULL:
            further = ", --resume goes on with it" if resumable else ""
            raise SinkError(
                f"{final}: the disk is full; what was written stays as .part{further}"
            ) from None
        raise SinkError(f"{final} cannot be written ({why})") from None


def reorder_depth(recipe: Recipe) -> int:
    """How many frames later a packet is shown than it is decoded, at most. x265 does not tell
    (-1); it and its kind use two."""
    context = CodecContext.create(recipe.coding.encoder, "w")
    assert isinstance(context, VideoCodecContext)
    set_up(context, recipe)
    context.open()
    told = context.max_b_frames == 0 or not context.codec.reorder
    return max(context.reorder_depth, 0 if told else 2)


class Muxer:
    """Stamps and writes video packets, and the sound that belongs before each."""

    def __init__(
        self,
        out: Output,
        stream: VideoStream,
        recipe: Recipe,
        sound: Sound | Track | JoinedTrack | None,
    ) -> None:
        self._out = out
        self._stream = stream
        self._base = recipe.time_base
        self._sound = sound
        self._held: Packet[Any] | None = None
        self._step, self._end = recipe.step, 0
        self._order = DecodeOrder(reorder_depth(recipe), recipe.step)
        codec = Codec(recipe.coding.encoder, "w").canonical_name
        if out.container.format.name in ("mp4", "mov") and codec in _TAGS:
            stream.codec_context.codec_tag = _TAGS[codec]

    def shown(self, pts: int, lasts: int | None = None) -> None:
        """Notes the time of the next frame in showing order, and how long it is shown if it is the
        last."""
        self._order.shown(pts, lasts or self._step)
        self._end = max(self._end, pts + self._step)

    def mux(self, packets: Iterable[Packet[Any]]) -> None:
        """Writes packets of the encoder, in decoding order, all but the newest."""
        for packet in self._order.stamp(packets):
            self._write_held()
            packet.stream = self._stream
            packet.time_base = self._base
            self._held = packet

    def _write_held(self) -> None:
        packet, self._held = self._held, None
        if packet is None or packet.dts is None:
            return
        if self._sound is not None:
            self._sound.until(packet.dts * self._base)
        self._out.container.mux(packet)

    def copy(self, chunk: list[Packet[Any]]) -> None:
        """Writes one whole chunk of packets read from a part file."""
        for packet in chunk:
            assert packet.pts is not None
            packet.pts = round(packet.pts * packet.time_base / self._base)
        for pts in sorted(packet.pts or 0 for packet in chunk):
            self.shown(pts)
        self.mux(chunk)

    def close(self, whole: bool = True, cut: bool = False) -> None:
        """Completes the container; `whole` adds the sound that is left, `cut` no more of it than to
        the end of the last frame."""
        try:
            if self._held is not None:
                self._order.end(self._held)
                self._write_held()
            if self._sound is not None and whole:
                self._sound.rest(self._end * self._base if cut else None)
        finally:
            self.release()

    def release(self) -> None:
        """Closes the files."""
        try:
            self._out.close()
        finally:
            if self._sound is not None:
                self._sound.close()


class PartWriter:
    """Encodes frames into one part file; what is copied from a film goes into the first."""

    def __init__(
        self,
        out: Output,
        recipe: Recipe,
        info: StreamInfo,
        first: bool,
        sound: bool,
        notices: list[str],
        told: bool = True,
    ) -> None:
        stream = out.container.add_stream(recipe.coding.encoder, rate=recipe.rate)
        assert isinstance(stream, VideoStream)
        set_up(stream.codec_context, recipe)
        stream.time_base = recipe.time_base
        self._recipe = recipe
        self._last_pts: int | None = None
        self._encoder = ChunkEncoder(recipe, stream.codec_context.flags)
        self._track = Track(out.container) if sound and info.sounds else None
        beside = first and not info.sounds
        tracks = Sound(out.container, info, notices, sound, told) if beside else None
        self._muxer = Muxer(out, stream, recipe, self._track or tracks)
        out.container.start_encoding()

    def write(self, frame: Frame) -> None:
        """Encodes and writes `frame`."""
        picture = color.to_yuv(frame.pixels, self._recipe.pix_fmt, self._recipe.tags)
        picture.pts, picture.time_base = self._pts(frame), self._recipe.time_base
        if self._track is not None:
            self._track.hear(frame.heard, frame.time_s)
        lasts = round(frame.lasts_s / self._recipe.time_base) if frame.lasts_s else None
        self._muxer.shown(picture.pts, lasts)
        self._muxer.mux(self._encoder.encode(picture))

    def _pts(self, frame: Frame) -> int:
        """Its time as it is written; where that is too coarse for two, the later one waits."""
        base = self._recipe.time_base
        if frame.time_base == base:
            return frame.pts
        pts = round(frame.pts * frame.time_base / base)
        if self._last_pts is not None:
            pts = max(pts, self._last_pts + 1)
        self._last_pts = pts
        return pts

    def finish(self, whole: bool = True, cut: bool = False) -> None:
        """Writes what the encoder still holds and closes the file, as Muxer.close."""
        self._muxer.mux(self._encoder.flush())
        self._muxer.close(whole, cut)

    def drop(self) -> None:
        """Closes the files after a failure; what was written stays."""
        with suppress(*FAILURES):
            self._muxer.release()
