"""What live sources share: the newest picture wins, and its time is the output's own."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from fractions import Fraction
from types import TracebackType
from typing import Self

import numpy as np
from av.video.frame import VideoFrame

from pipeline.address import shown
from pipeline.color import RGB, tags_of, to_rgb, tone_notices
from pipeline.errors import SourceError, SourceLost, SourceSilent
from pipeline.frame import ColorTags, Frame, Heard, Pixels, StreamInfo
from pipeline.hardware import Device
from pipeline.limits import believed
from pipeline.logs import note
from pipeline.opening import check_size, mapped, sound_of, video_of
from pipeline.patience import Patience
from pipeline.sources import SourceOptions, scaled
from pipeline.sources._ear import Piece
from pipeline.sources._feed import FIRST_FRAME_S, OPENING_S, Connect, Feed, rest_s
from pipeline.sources._slate import slate
from pipeline.sources._trial import sampled
from pipeline.timing import LiveClock

POLL_S = 0.25
HUNG = 2
"""Times the silence that is allowed, which FFmpeg should have ended: then the process goes."""
TIME_BASE = Fraction(1, 90_000)
SAME_SHAPE = 0.02
"""Sides that are so much too short are stretched: they were rounded."""


class LiveSource:
    """Frames of a source that goes on whether they are taken or not."""

    def __init__(
        self,
        text: str,
        options: SourceOptions,
        connect: Connect,
        *,
        fetched: bool = False,
        listens: bool = False,
        noisy: bool = False,
        patience: Patience | None = None,
        device: Device | None = None,
    ) -> None:
        """Looks at the source unless `options.known` says what it is, or a slate may stand for it.
        Raises what is wrong with it; with `options.wait` only once `options.attempts` are over.
        `fetched`, `listens`, `noisy`, `patience`, `device`: see Feed. It is looked at in software.
        """
        self.notices: list[str] = []
        self.damage: str | None = None
        self._text, self._options, self._connect = text, options, connect
        self._fetched, self._listens, self._noisy = fetched, listens, noisy
        self._patience, self._device = patience, device
        self._feed: Feed | None = None
        self._clock, self._sound_clock = LiveClock(TIME_BASE), LiveClock(TIME_BASE)
        self._jumps = 0
        self.has_end = False
        """It says how long it is: a film, if nothing else speaks against it."""
        self.info = options.known or self._unseen() or self._found()
        self._tags, self._size = self.info.tags, (self.info.width, self.info.height)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._feed is not None:
            self._feed.close()

    @property
    def dropped(self) -> dict[str, int]:
        """Pictures so far that newer ones replaced before they were taken, or that were damaged."""
        feed = self._feed
        return {"newer": feed.dropped, "damaged": feed.corrupt} if feed else {}

    @property
    def away(self) -> str:
        """Why it is not there just now; "" while it is."""
        if self._feed is None:
            return ""
        unseen = self._options.slate is not None and self._feed.epoch < 0
        return self._feed.away or (f"{shown(self._text)} is not there yet" if unseen else "")

    def frames(self, start: int = 0, after: int | None = None) -> Iterator[Frame | None]:
        """The newest frame each time, counted from `start`; None when there is none for POLL_S."""
        if self._feed is None:
            if self._device is not None:
                self._device.kind = self._options.hardware
            self._feed = Feed(
                *(self._text, self._connect, self._options.attempts),
                fetched=self._fetched,
                listens=self._listens,
                noisy=self._noisy,
                patience=self._patience,
                device=self._device,
                sounds=self.info.sounds,
            )
        index, epoch = start, 0
        if self._options.slate and not start:
            yield self._slate()
            index, epoch = 1, -1
        while True:
            try:
                seen = self._feed.take(POLL_S)
            except SourceError as error:
                if not index:
                    raise
                self.damage = str(error)  # what came before is a film, if a short one
                return
            self._say(self._feed)
            if seen is None:
                if time.monotonic() - self._feed.sign_s > HUNG * self._feed.silence_s:
                    os._exit(os.EX_TEMPFAIL)
                yield None
                continue
            picture = seen.picture
            check_size(picture.width, picture.height, self._text)
            self._tags = tags_of(picture)
            with mapped(self._text):
                pixels = fitted(picture, self._tags, self._size)
            before = self._clock.jumps
            pts = self._clock.at(seen.time_s, seen.arrived_s)
            # One that was away may count anew.
            self._jumps += self._clock.jumps - before if seen.epoch == epoch else 0
            epoch = seen.epoch
            heard = tuple(self._placed(piece, pts) for piece in self._feed.take_heard())
            yield Frame(index, pts, TIME_BASE, pixels, seen.epoch, seen.arrived_s, heard=heard)
            index += 1

    def _placed(self, piece: Piece, pts: int) -> Heard:
        """Sound goes by the clock of the pictures, or by its own when the source gives it times
        that have nothing to do with theirs."""
        time_s = self._clock.along(piece.time_s, piece.arrived_s)
        if time_s is None:
            time_s = float(self._sound_clock.at(piece.time_s, piece.arrived_s) * TIME_BASE)
        return Heard(time_s - float(pts * TIME_BASE), piece.samples)

    def _unseen(self) -> StreamInfo | None:
        """What is taken for granted of a source for which a slate stands."""
        if self._options.slate is None:
            return None
        size = scaled(*self._options.slate, self._options.size, "the slate")
        return StreamInfo(*size, TIME_BASE, None, RGB, live=True, sounds=not self._noisy)

    def _slate(self) -> Frame:
        """It arrived from nowhere, so it is never late, and no latency is learnt from it."""
        pixels = slate(*self._size, "waiting for", shown(self._text))
        return Frame(0, self._clock.at(None, time.monotonic()), TIME_BASE, pixels)

    def _found(self) -> StreamInfo:
        failures = 0
        while True:
            try:
                return self._looked()
            except SourceError as error:
                failures += 1
                bound = self._options.attempts
                if not self._options.wait or (bound is not None and failures >= bound):
                    raise
                if not self.notices or str(error) not in self.notices[0]:
                    self.notices = [f"waited for the source: {error}"]
                    note(f"{error}; it is tried again")
                time.sleep(rest_s(failures, self._listens))

    def _looked(self) -> StreamInfo:
        """What the first picture tells. In a thread of its own, for a call to FFmpeg may hang."""
        found: Future[StreamInfo] = Future()

        def look() -> None:
            try:
                found.set_result(self._look())
            except Exception as error:  # noqa: BLE001  it is raised where it is waited for
                found.set_exception(error)

        threading.Thread(target=look, daemon=True, name="look").start()
        bounded = self._patience is None and not self._fetched
        try:
            return found.result(OPENING_S if bounded else None)
        except TimeoutError:
            raise SourceSilent(f"{shown(self._text)} sends nothing in time") from None

    def _look(self) -> StreamInfo:
        until_s = time.monotonic() + FIRST_FRAME_S
        with self._connect(FIRST_FRAME_S) as container, mapped(self._text):
            stream = video_of(container, self._text)
            self.has_end = bool(container.duration)
            sounds = sound_of(container) is not None
            coded = []
            for packet in container.demux(stream):
                coded.append(bytes(packet))
                for picture in packet.decode():
                    rate = believed(stream.average_rate, stream.guessed_rate)
                    info = self._described(picture, rate, sounds)
                    info = replace(info, aspect=stream.sample_aspect_ratio or Fraction(1))
                    tried = self._options.sampled and self._device is not None
                    return replace(info, sample=sampled(stream, coded)) if tried else info
                if time.monotonic() > until_s:
                    break
        raise SourceLost(f"{shown(self._text)} sends no picture")

    def _described(self, picture: VideoFrame, rate: Fraction | None, sounds: bool) -> StreamInfo:
        name = shown(self._text)
        check_size(picture.width, picture.height, self._text)
        width, height = scaled(picture.width, picture.height, self._options.size, name)
        about = width, height, TIME_BASE, rate, tags_of(picture)
        return StreamInfo(*about, live=True, sounds=sounds)

    def _say(self, feed: Feed) -> None:
        name = shown(self._text)
        said = []
        if feed.epoch > 0:
            said.append(f"{name} went away {feed.epoch} times, {feed.away_s:.1f} s in all")
        if feed.corrupt:
            said.append(f"{name} sent {feed.corrupt} damaged pictures, which are left out")
        said += [f"{name} gives {feed.gives}"] if feed.gives else []
        if self._jumps:
            parted = f"{name}: its times and the clock parted {self._jumps} times"
            said.append(f"{parted}, those of the output go on")
        if self._device is not None and self._device.notice:
            said.append(self._device.notice)
        self.notices = said + tone_notices(self._tags)


def fitted(picture: VideoFrame, tags: ColorTags, size: tuple[int, int]) -> Pixels:
    """RGB of (width, height) px; a picture of another shape has black beside it."""
    width, height = size
    scale = min(width / picture.width, height / picture.height)
    inner = min(width, round(picture.width * scale)), min(height, round(picture.height * scale))
    if inner[0] >= (1 - SAME_SHAPE) * width and inner[1] >= (1 - SAME_SHAPE) * height:
        return to_rgb(picture, tags, size)
    pixels: Pixels = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    pixels[top : top + inner[1], left : left + inner[0]] = to_rgb(picture, tags, inner)
    return pixels
