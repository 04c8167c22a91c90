"""The newest picture of a live source, kept by a thread that never waits for whoever takes it.

The thread demultiplexes and decodes without a pause, so nothing piles up in the network or in the
driver of a camera; a picture that a newer one replaces is dropped here, before it is converted.
When the source goes away another thread connects again, after waits that grow and are jittered.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.address import scheme_of, shown
from pipeline.errors import DecoderLost, SourceError, SourceInvalid, SourceLost
from pipeline.hardware import Device
from pipeline.opening import mapped, missed, sound_of, video_of
from pipeline.patience import Patience
from pipeline.sources._ear import Ear, Piece
from pipeline.sources._pulse import PATIENCE_S, SEGMENT_S, Pace, Pulse, Still

CONNECT_S = 5.0
FIRST_FRAME_S = 10.0
OPENING_S = CONNECT_S + FIRST_FRAME_S
BETWEEN_S = 10.0
"""Longest wait between two pictures while packets come: sound alone, or damage without an end.
Longer where so few come that ten of them take longer."""
MOST_PIECES = 1000
"""About twenty seconds of sound for one picture."""
WAITS_S = (0.5, 30.0)
"""Before the second attempt to connect, and at most; each wait doubles the one before."""
LISTEN_AGAIN_S = 0.05
WATCH_S = 0.1
TIMELESS = {"mpjpeg", "mjpeg", "h264", "hevc", "m4v"}
"""Formats that say no times: FFmpeg counts their pictures as if there were 25 a second."""
LEAVING_S = 1.0
MOST_REFUSED = 2
"""Key frames in a row that a device does not decode: damage passes, a device that is lost does not
come back. What comes before the first key frame says nothing of it."""

Connect = Callable[[float], AbstractContextManager[InputContainer]]
"""Told how long FFmpeg may wait for the next packet before it gives the connection up."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture of a live source, its time by the source's own count, when it arrived
    (`time.monotonic`), and after how many reconnects."""

    picture: VideoFrame
    time_s: float | None
    arrived_s: float
    epoch: int


def rest_s(failures: int, listens: bool) -> float:
    """How long to wait after so many failures to connect in a row. One that `listens` spares
    nobody by that, and misses who calls meanwhile."""
    first, most = WAITS_S
    return LISTEN_AGAIN_S if listens else min(most, first * 2 ** min(max(failures - 1, 0), 10))


class Link:
    """One connection, read by a thread of its own."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.error: SourceError | None = None
        self.patience = Patience(OPENING_S)
        """How long it may be silent before it is left."""
        self.timed = True
        """Its pictures have times of their own."""
        self.left = False
        """Nobody wants what it still reads: it ends as soon as FFmpeg comes back."""


class Feed:
    """`take()` gives each picture once, the newest; `close()` ends the thread."""

    def __init__(
        self,
        text: str,
        connect: Connect,
        attempts: int | None,
        *,
        fetched: bool = False,
        listens: bool = False,
        noisy: bool = False,
        sounds: bool = False,
        patience: Patience | None = None,
        device: Device | None = None,
    ) -> None:
        """`attempts`: failures to connect in a row after which the source is lost; None: never.
        `fetched`: pictures come many at a time, when they are asked for, and are shown each at
        its time. `listens`: the sender calls. `noisy`: no two pictures are the same to the bit
        while the source sees anything. `patience`: of one that ends itself after so long, and
        cannot be opened again before. `device`: decodes what `connect` opens, until it is lost."""
        self._text, self._connect, self._attempts = text, connect, attempts
        self._own = patience
        self._fetched, self._listens, self._sounds = fetched, listens, sounds
        self._noisy, self._device, self._refused = noisy, device or Device(), 0
        self._heard: deque[Piece] = deque(maxlen=MOST_PIECES)
        self._changed = threading.Condition()
        self._newest: Seen | None = None
        self._error: SourceError | None = None
        self._closed = threading.Event()
        self.epoch = -1
        self.away = ""
        """Why there is no connection just now; "" while there is."""
        self.dropped = 0
        """Pictures that newer ones replaced."""
        self.corrupt = 0
        """Pictures that could not be decoded, or only in part."""
        self.gives = ""
        """What comes, once it has been measured; see Pulse."""
        self.away_s = 0.0
        """Time without a connection, after the first."""
        self.silence_s = FIRST_FRAME_S
        """How long the next connection may be silent before its own rate is known."""
        self._rated = fetched
        self.sign_s = time.monotonic()
        """When the thread last came back from FFmpeg."""
        self._thread = threading.Thread(target=self._run, daemon=True, name="feed")
        self._thread.start()

    def take(self, limit_s: float) -> Seen | None:
        """The newest picture, waiting for one up to `limit_s`; None when there is none. Raises
        what ended the source for good."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._error, limit_s)
            seen, self._newest = self._newest, None
            if seen is None and self._error is not None:
                raise self._error
            return seen

    def take_heard(self) -> list[Piece]:
        """The sound since the last call."""
        return [self._heard.popleft() for _ in range(len(self._heard))]

    def close(self) -> None:
        """End the thread; one that hangs inside FFmpeg ends with its process."""
        self._closed.set()
        self._thread.join(1.0)

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        failures, lost_s = 0, time.monotonic()
        while not self._closed.is_set():
            before = self.epoch
            try:
                self._follow(lost_s)
            except SourceError as error:
                if self.epoch != before:
                    failures, lost_s = 0, time.monotonic()
                if isinstance(error, DecoderLost):
                    self._device.lose(error, "from now on")
                    continue
                failures += 1
                self.away = str(error)
                if self._attempts is not None and failures >= self._attempts:
                    self._fail(error)
                    return
            self._rest(failures)

    def _follow(self, lost_s: float) -> None:
        """One connection to its end, which is always an error, or until it is left: one that sends
        nothing may hold FFmpeg for longer than the source can be waited for."""
        link = Link()
        if self._own or self._fetched:
            link.patience.seconds = math.inf
        self.sign_s = time.monotonic()
        threading.Thread(target=self._read, args=(link, lost_s), daemon=True, name="link").start()
        while not link.ended.wait(WATCH_S):
            if self._closed.is_set():
                link.ended.wait(LEAVING_S)
                return
            if time.monotonic() - self.sign_s > link.patience.seconds:
                with self._changed:
                    link.left = True
                raise SourceLost(f"{shown(self._text)} sends nothing")
        if not self._closed.is_set():
            raise link.error or SourceLost(f"{shown(self._text)} broke off")

    def _read(self, link: Link, lost_s: float) -> None:
        try:
            self._connected(link, lost_s)
        except SourceError as error:
            link.error = error
        finally:
            link.ended.set()

    def _connected(self, link: Link, lost_s: float) -> None:
        """Read one connection. SourceError: what ended it."""
        # One whose rate is known is not left to FFmpeg for longer than that calls for.
        limit_s = self.silence_s if self._rated else PATIENCE_S[1]
        with self._connect(limit_s) as container, mapped(self._text):
            if link.left:
                return
            self.sign_s = time.monotonic()
            until_s, fresh, what = self.sign_s + self.silence_s, True, "ended"
            between_s = SEGMENT_S if self._fetched else BETWEEN_S
            pace = Pace() if self._fetched else None
            link.timed = not TIMELESS & set(container.format.name.split(","))
            if self._fetched and container.duration:
                raise SourceLost(f"{shown(self._text)} has ended")  # what is left was shown before
            if container.duration and scheme_of(self._text) in ("http", "https"):
                film = SourceInvalid(f"{shown(self._text)} is a film: leave --slate out")
                if self.epoch < 0:  # it was never live: nothing is to be waited for
                    self._fail(film)
                raise film
            stream = video_of(container, self._text)
            pulse = Pulse(stream.name or "video", self.silence_s)
            still = Still() if self._noisy else None
            patience = self._own or link.patience
            if not self._fetched:
                patience.seconds = pulse.patience_s
            if not self._rated:  # should it be left before its rate is known, it may be slow
                self.silence_s = min(2 * self.silence_s, PATIENCE_S[1])
            for picture in self._pictures(container, stream):
                if self._closed.is_set() or link.left:
                    return
                self.sign_s = time.monotonic()
                if picture is not None:
                    if still is not None and still.after(picture, self.sign_s):
                        what = "is frozen: all its pictures are the same"
                        break
                    if pace is not None:
                        self._closed.wait(pace.wait_s(picture.time, self.sign_s))
                        self.sign_s = time.monotonic()
                    if not self._put(picture, link, lost_s if fresh else None):
                        return
                    gives = pulse.after(picture, self.sign_s)
                    self.gives = self.gives or gives
                    if not self._fetched:
                        patience.seconds = pulse.patience_s
                        if pulse.is_known:
                            self._rated = True
                            self.silence_s = max(FIRST_FRAME_S, pulse.patience_s)
                    until_s, fresh = self.sign_s + max(between_s, pulse.patience_s), False
                elif self.sign_s > until_s:
                    what = "sends no picture"
                    break
        raise SourceLost(f"{shown(self._text)} {what}")

    def _put(self, picture: VideoFrame, link: Link, lost_s: float | None) -> bool:
        """Whether it is wanted. `lost_s` with the first picture of a connection: when the one
        before was lost."""
        with self._changed:
            if link.left:
                return False
            if lost_s is not None:
                self.epoch += 1
                self.away_s += self.sign_s - lost_s if self.epoch else 0.0
            self.dropped += self._newest is not None
            self.away = ""
            time_s = picture.time if link.timed else None
            self._newest = Seen(picture, time_s, self.sign_s, self.epoch)
            self._changed.notify_all()
            return True

    def _pictures(
        self, container: InputContainer, stream: VideoStream
    ) -> Iterator[VideoFrame | None]:
        """Whole pictures; None for each packet without one. After damage, from the next key frame
        on: what refers to a damaged picture is smeared."""
        with missed(scheme_of(self._text) == "rtspu") as lost:
            yield from self._whole(container, stream, lost)

    def _whole(
        self, container: InputContainer, stream: VideoStream, lost: Callable[[], bool]
    ) -> Iterator[VideoFrame | None]:
        stream.thread_type = "SLICE"  # threads by frame would hold pictures back
        whole = True
        audio = sound_of(container) if self._sounds else None
        ear = Ear(self._heard)
        for packet in container.demux([stream, audio] if audio else [stream]):
            if isinstance(packet.stream, AudioStream):
                ear.hear(packet)
                yield None
                continue
            decoded, intact = self._decoded(packet), not lost()
            whole = whole and decoded is not None and intact
            for picture in decoded or []:
                # Of transport streams a packet says that others beside it were lost.
                intact = intact and not (picture.is_corrupt or packet.is_corrupt)
                whole = intact and (whole or picture.key_frame)
                self.corrupt += not whole
                if whole:
                    yield picture
            yield None

    def _decoded(self, packet: Packet[Any]) -> list[VideoFrame] | None:
        """The pictures of a packet; None where it is damaged. DecoderLost: too many are, for the
        device that decodes them."""
        try:
            pictures = list(packet.decode())
        except (FFmpegError, ValueError) as error:
            self.corrupt += 1
            self._refused += packet.is_keyframe
            if self._device.kind and self._refused >= MOST_REFUSED:
                why = getattr(error, "strerror", None) or str(error)
                name = shown(self._text)
                raise DecoderLost(
                    f"{name}: {self._device.kind} does not decode it any more ({why})"
                ) from None
            return None
        if pictures:
            self._refused = 0
        return pictures

    def _fail(self, error: SourceError) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def _rest(self, failures: int) -> None:
        """Wait before connecting again: not at all of the same length, for many may wait."""
        wait_s = rest_s(failures, self._listens)
        self.sign_s = time.monotonic() + wait_s
        self._closed.wait(wait_s * random.uniform(0.5, 1.0))
