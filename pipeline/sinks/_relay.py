"""What outputs share that hand frames to a process of their own.

Nobody waits for that process: while it is slow or away only the newest frame is kept, and it is
started again after waits that grow. While no new frame comes the last one is handed over again, so
that whatever it shows goes on.
"""

import json
import os
import random
import select
import struct
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from io import BytesIO
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from pipeline.control import Change, Figures
from pipeline.errors import SinkError
from pipeline.frame import Frame, Heard, Pixels, StreamInfo
from pipeline.outlet import Outlet
from pipeline.sinks import check_order

HEADER = struct.Struct("<q")
"""Before the pixels of each frame: its time stamp in ticks of TIME_BASE."""
TIME_BASE = Fraction(1, 90_000)
SIZE = struct.Struct("<I")
"""After the pixels, for a process that is told to hear: the bytes of all pieces of sound, each of
which is a HEADER, a SIZE and its samples."""
MOST_PIECES = 1000
STALLED_S, PATIENCE_S = 5.0, 0.25
"""Longest time that a frame may take to be handed over; how often is looked meanwhile."""
ENDING_S, LEAVING_S = 5.0, 1.0
WAITS_S, LISTENING_S = (0.5, 30.0), (0.5, 0.5)
"""Before the process is started again, at first and at most; where it is for others to call, it
listens again soon."""
REPEAT_S = 0.5
"""After so long without a new frame the last one goes again."""


def pictures_of(frames: BinaryIO, width: int, height: int) -> Iterator[Pixels]:
    """In a process: the pictures that it is handed, without their times, until the end."""
    size = width * height * 3
    while len(frames.read(HEADER.size)) == HEADER.size and len(data := frames.read(size)) == size:
        yield np.frombuffer(data, np.uint8).reshape(height, width, 3)


def pieces_of(frames: BinaryIO, time_s: float) -> Iterator[Heard]:
    """In a process: the sound that comes after the picture of `time_s`."""
    sound = BytesIO(frames.read(*SIZE.unpack(frames.read(SIZE.size))))
    while head := sound.read(HEADER.size):
        (at,) = HEADER.unpack(head)
        samples = sound.read(*SIZE.unpack(sound.read(SIZE.size)))
        yield Heard(float(at * TIME_BASE) - time_s, samples)


class Relay(ABC):
    """A sink whose thread feeds a process; frames of films are handed over at their own pace.

    The process is told what to do by a line of JSON, says `connected` or why not in one line, and
    then reads frames.
    """

    keeps = False
    piece = 1
    hears = False
    """Whether the process takes sound."""
    listens = False
    """Whether others call, and it calls nobody."""
    module: str
    """What the process runs, for `python -m`."""
    connect_s = 10.0
    """Longest time until it says `connected`."""

    def __init__(self, name: str, info: StreamInfo) -> None:
        self.next_index = 0
        self._name, self._info = name, info
        self._changed = threading.Condition()
        self._newest: tuple[int, list[Pixels]] | None = None
        self._shown: tuple[int, list[Pixels]] | None = None
        self._pieces: deque[bytes] = deque(maxlen=MOST_PIECES)
        self.hears = self.hears and info.sounds
        self._ended = self._connected = False
        self._sent = self._dropped = self._failures = 0
        self._why = "has not connected yet"
        self._zero_s: float | None = None
        self._last_pts = -1
        self._asked: deque[Change] = deque()  # filled by the thread
        self._thread = threading.Thread(target=self._run, daemon=True, name="relay")

    @abstractmethod
    def _about(self) -> dict[str, Any]:
        """What the process is told."""

    def _heard(self, line: str) -> None:  # noqa: B027  what most have nothing to do with
        """A line that the process said after `connected`."""

    def _pictures(self, frame: Frame) -> list[Pixels]:
        """What is kept of a frame, to be handed over."""
        return [frame.pixels.copy()]

    def _parts(self, pts: int, pictures: list[Pixels], again: bool) -> Iterable[bytes | memoryview]:
        """What is handed over of that, in order: a head and pixels. `again`: they are those of the
        frame before."""
        yield HEADER.pack(pts)
        for pixels in pictures:
            yield pixels.data.cast("B")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abandon()

    @property
    def notices(self) -> list[str]:
        """What the user should know so far."""
        said = []
        if self._failures:
            said.append(f"{self._name} was lost {self._failures} times: {self._why}")
        if self._ended and self.listens and not self._sent:
            said.append(f"{self._name}: nobody called")
        elif self._dropped:
            said.append(f"{self._name}: {self._dropped} frames came too fast for it")
        return said

    @property
    def outlets(self) -> list[Outlet]:
        """Whether its process is connected, and what it had no time for."""
        return [
            Outlet(
                up=self._connected,
                lost=self._failures,
                dropped=self._dropped,
                waiting=int(self._newest is not None),
                room=1,
            )
        ]

    def take_asked(self) -> list[Change]:
        """What its process was asked."""
        return [self._asked.popleft() for _ in range(len(self._asked))]

    def tell(self, figures: Figures) -> None:  # noqa: B027  most show none
        """How the run goes, for its process."""

    def write(self, frame: Frame) -> None:
        """Hands over `frame`, from a film at its time; never waits for the process."""
        if not check_order(frame, self.next_index):
            return
        self.next_index += 1
        if not self._info.live:
            self._pace(frame.time_s)
        with self._changed:
            self._dropped += self._newest is not None
            self._newest = (round(frame.time_s / TIME_BASE), self._pictures(frame))
            for piece in frame.heard if self.hears else ():
                at = HEADER.pack(round((frame.time_s + piece.offset_s) / TIME_BASE))
                self._pieces.append(at + SIZE.pack(len(piece.samples)) + piece.samples)
            self._changed.notify_all()

    def finish(self, cut: bool = False) -> None:
        """Hands over what is left. SinkError: not one frame was ever taken, though nobody has
        to call one that listens."""
        with self._changed:
            waits = not self.listens or self._connected
            self._changed.wait_for(lambda: self._newest is None, ENDING_S if waits else 0)
        self.abandon()
        if not self._sent and not self.listens:
            raise SinkError(f"{self._name}: nothing could be sent: {self._why}")

    def abandon(self) -> None:
        """Ends the process."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(2 * ENDING_S)

    def _pace(self, time_s: float) -> None:
        now = time.monotonic()
        if self._zero_s is None:
            self._zero_s = now - time_s
        time.sleep(max(0.0, self._zero_s + time_s - now))

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while not self._ended or self._newest:
            before = self._sent
            try:
                self._feed()
            except SinkError as error:
                if self._ended and self.listens:  # and nobody called, or they have left
                    return
                self._why = str(error).removeprefix(self._name).lstrip(": ")
                self._failures += 1
                if self._ended:
                    return
                failures = 1 if self._sent > before else failures + 1
                first, most = LISTENING_S if self.listens else WAITS_S
                wait_s = min(most, first * 2 ** min(failures - 1, 10)) * random.uniform(0.5, 1)
                with self._changed:
                    self._changed.wait_for(lambda: self._ended, wait_s)

    def _feed(self) -> None:
        """One process, from start to end; a SinkError says why it ended by itself."""
        command = [sys.executable, "-m", self.module]
        child = subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdin
        assert child.stdout
        os.set_blocking(child.stdin.fileno(), False)
        said = b""
        try:
            self._put(child, json.dumps(self._about()).encode() + b"\n")
            self._await_answer(child)
            said = child.stdout.readline()
            if said.strip() != b"connected":
                raise SinkError(said.decode().strip() or f"{self._name}: its process ended")
            said, self._connected = b"", True
            while (due := self._next()) is not None:
                for part in self._parts(*due):
                    self._put(child, part)
                if self.hears:
                    sound = b"".join(self._pieces.popleft() for _ in range(len(self._pieces)))
                    self._put(child, SIZE.pack(len(sound)) + sound)
                self._sent += 1
                while select.select([child.stdout], [], [], 0)[0]:
                    said = child.stdout.readline()
                    if not said:
                        break
                    self._heard(said.decode().strip())
            child.stdin.close()
            child.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            raise SinkError(f"{self._name}: its process does not end") from None
        except BrokenPipeError:
            said = child.stdout.readline() or said
            raise SinkError(said.decode().strip() or f"{self._name}: it broke off") from None
        finally:
            self._connected = False
            child.stdin.close()
            with suppress(subprocess.TimeoutExpired):  # it may have a process of its own to end
                child.wait(LEAVING_S)
            child.kill()
            child.wait()
            child.stdout.close()

    def _await_answer(self, child: "subprocess.Popen[bytes]") -> None:
        """One that listens may wait for a caller as long as it likes."""
        assert child.stdout
        until_s = time.monotonic() + self.connect_s
        while not select.select([child.stdout], [], [], PATIENCE_S)[0]:
            if self._ended if self.listens else time.monotonic() > until_s:
                raise SinkError(f"{self._name} does not answer")

    def _next(self) -> tuple[int, list[Pixels], bool] | None:
        """The newest frame, or after REPEAT_S the last one again, and which of both; None at the
        end."""
        with self._changed:
            began = time.monotonic()
            limit_s = None if self._shown is None else REPEAT_S
            came = self._changed.wait_for(lambda: self._newest or self._ended, limit_s)
            again = self._newest is None
            if self._newest is not None:
                self._shown, self._newest = self._newest, None
                self._changed.notify_all()
            elif self._ended or self._shown is None:
                return None
            elif not came:
                pts, pictures = self._shown
                self._shown = pts + round((time.monotonic() - began) / TIME_BASE), pictures
            pts, pictures = self._shown
            self._last_pts = pts = max(pts, self._last_pts + 1)
            return pts, pictures, again

    def _put(self, child: "subprocess.Popen[bytes]", data: bytes | memoryview) -> None:
        """Write it all within STALLED_S."""
        assert child.stdin
        rest, until_s = memoryview(data), time.monotonic() + STALLED_S
        while rest:
            if select.select([], [child.stdin], [], PATIENCE_S)[1]:
                rest = rest[os.write(child.stdin.fileno(), rest) :]
            elif time.monotonic() > until_s:
                raise SinkError(f"{self._name} takes nothing any more")
