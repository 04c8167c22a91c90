"""Network streams out: rtmp, rtsp, udp and tcp (MPEG-TS), H.264, each sent by a process of its own.

Nobody waits for the network: while it is slow or away only the newest frame is kept, and the sender
is started again after waits that grow. While no new frame comes the last one is sent again, so that
the stream goes on.
"""

import json
import os
import random
import select
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Self

from pipeline.errors import SinkError
from pipeline.frame import Frame, Pixels, StreamInfo
from pipeline.opening import quoted, scheme_of, shown
from pipeline.sinks import Sink, SinkOptions, check_order
from pipeline.sinks._sender import HEADER, TIME_BASE

FORMS = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "udp": "mpegts", "tcp": "mpegts"}
OPTIONS = {"rtsp": {"rtsp_transport": "tcp"}}
CONNECT_S = 10.0
STALLED_S = 5.0
"""Longest time that a frame may take to be sent."""
ENDING_S = 5.0
WAITS_S = (0.5, 30.0)
REPEAT_S = 0.5
"""After so long without a new frame the last one is sent again."""
QUALITY = 21
RATE = 25
MIN_SIDE_PX = 16


def prepare(text: str, options: SinkOptions) -> None:
    """Refuses what this cannot send."""
    scheme = scheme_of(text)
    if scheme not in FORMS:
        raise SinkError(f"{shown(text)}: cannot send by {scheme}; known are {', '.join(FORMS)}")
    if options.codec not in (None, "h264"):
        raise SinkError(f"{shown(text)}: network streams are h264, not {options.codec}")


def create(text: str, info: StreamInfo, options: SinkOptions) -> Sink:
    """A sink that sends to `text`."""
    return NetworkSink(text, info, options)


class NetworkSink:
    """Hands frames to a thread, which feeds the sender; films are handed over at their own pace."""

    keeps = False

    def __init__(self, text: str, info: StreamInfo, options: SinkOptions) -> None:
        self.next_index = 0
        self._text, self._info, self._name = text, info, shown(text)
        self._quality = QUALITY if options.quality is None else options.quality
        self._changed = threading.Condition()
        self._newest: tuple[int, Pixels] | None = None
        self._shown: tuple[int, Pixels] | None = None
        self._ended = False
        self._sent = self._dropped = self._failures = 0
        self._why = "has not connected yet"
        self._zero_s: float | None = None
        self._last_pts = -1
        self._thread = threading.Thread(target=self._run, daemon=True, name="network sink")

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
        if self._dropped:
            said.append(f"{self._name}: {self._dropped} frames came too fast for it")
        return said

    def write(self, frame: Frame) -> None:
        """Hands over `frame`, from a film at its time; never waits for the network."""
        if not check_order(frame, self.next_index):
            return
        self.next_index += 1
        if not self._info.live:
            self._pace(frame.time_s)
        with self._changed:
            self._dropped += self._newest is not None
            self._newest = (round(frame.time_s / TIME_BASE), frame.pixels.copy())
            self._changed.notify_all()

    def finish(self) -> None:
        """Sends what is left. SinkError: not one frame was ever sent."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is None, ENDING_S)
        self.abandon()
        if not self._sent:
            raise SinkError(f"{self._name}: nothing could be sent: {self._why}")

    def abandon(self) -> None:
        """Ends the sender."""
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
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._ended)
        while not self._ended or self._newest:
            before = self._sent
            try:
                self._send()
            except SinkError as error:
                self._why = str(error).removeprefix(self._name).lstrip(": ")
                self._failures += 1
                if self._ended:
                    return
                failures = 1 if self._sent > before else failures + 1
                first, most = WAITS_S
                wait_s = min(most, first * 2 ** min(failures - 1, 10)) * random.uniform(0.5, 1)
                with self._changed:
                    self._changed.wait_for(lambda: self._ended, wait_s)

    def _send(self) -> None:
        """One connection; ends with the sink, or with a SinkError."""
        command = [sys.executable, "-m", "pipeline.sinks._sender"]
        sender = subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert sender.stdin
        assert sender.stdout
        os.set_blocking(sender.stdin.fileno(), False)
        try:
            self._put(sender, json.dumps(self._about()).encode() + b"\n")
            if not select.select([sender.stdout], [], [], CONNECT_S)[0]:
                raise SinkError(f"{self._name} does not answer")
            said = sender.stdout.readline().decode().strip()
            if said != "connected":
                raise SinkError(said or f"{self._name}: the sender ended")
            while (due := self._next()) is not None:
                pts, pixels = due
                self._put(sender, HEADER.pack(pts) + pixels.tobytes())
                self._sent += 1
            sender.stdin.close()
            sender.wait(ENDING_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            said = sender.stdout.readline().decode().strip()
            raise SinkError(said or f"{self._name}: the connection broke") from None
        finally:
            sender.kill()
            sender.wait()
            sender.stdin.close()
            sender.stdout.close()

    def _about(self) -> dict[str, object]:
        scheme, info = scheme_of(self._text), self._info
        return {
            "to": quoted(self._text),
            "form": FORMS[scheme],
            "options": OPTIONS.get(scheme, {}),
            "width": info.width,
            "height": info.height,
            "rate": str(info.rate or RATE),
            "quality": self._quality,
        }

    def _next(self) -> tuple[int, Pixels] | None:
        """The newest frame, or after REPEAT_S the last one again; None at the end."""
        with self._changed:
            began = time.monotonic()
            came = self._changed.wait_for(lambda: self._newest or self._ended, REPEAT_S)
            if self._newest is not None:
                self._shown, self._newest = self._newest, None
                self._changed.notify_all()
            elif self._ended or self._shown is None:
                return None
            elif not came:
                pts, pixels = self._shown
                self._shown = pts + round((time.monotonic() - began) / TIME_BASE), pixels
            pts, pixels = self._shown
            self._last_pts = pts = max(pts, self._last_pts + 1)
            return pts, pixels

    def _put(self, sender: "subprocess.Popen[bytes]", data: bytes) -> None:
        """Write it all within STALLED_S."""
        assert sender.stdin
        rest, until_s = memoryview(data), time.monotonic() + STALLED_S
        while rest:
            left_s = max(0.0, until_s - time.monotonic())
            if not select.select([], [sender.stdin], [], left_s)[1]:
                raise SinkError(f"{self._name} takes nothing any more")
            rest = rest[os.write(sender.stdin.fileno(), rest) :]
