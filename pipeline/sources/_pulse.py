"""What pictures of a live source tell as they come: how often, whether they are all the same, how
long each has to wait for its time."""

import zlib

from av.video.frame import VideoFrame

PATIENCE_S, INTERVALS = (2.0, 100.0), 10
"""After so many intervals between pictures without a packet, at least and at most, the source
counts as gone, whether FFmpeg has come back or not."""
BURST_S = 1.0
"""After the first picture: those that a server kept come at once, and tell nothing of the rate."""
MEASURED_S = 3.0
"""After the first picture: how long it is counted what the source gives."""
FROZEN_S = 10.0
"""A camera whose pictures are the same to the bit for so long has no noise, so it sees nothing."""
SEGMENT_S = 20.0
"""Longer than any segment of a playlist."""


class Pace:
    """Shows what was fetched ahead at the pace of its own time stamps."""

    def __init__(self) -> None:
        self._zero_s: float | None = None

    def wait_s(self, time_s: float | None, now_s: float) -> float:
        """How long the picture of `time_s` has to wait. One that is late need not; nor one that
        would have to wait for longer than any segment lasts: its time was counted anew."""
        if time_s is None:
            return 0.0
        if self._zero_s is None or not abs(self._zero_s + time_s - now_s) < SEGMENT_S:
            self._zero_s = now_s - time_s
        return max(0.0, self._zero_s + time_s - now_s)


class Still:
    """Watches for pictures that are all the same."""

    def __init__(self) -> None:
        self._sum, self._since_s = 0, 0.0

    def after(self, picture: VideoFrame, now_s: float) -> bool:
        """Whether it has been the same picture for FROZEN_S."""
        found = zlib.crc32(memoryview(picture.planes[0]))
        if found != self._sum:
            self._sum, self._since_s = found, now_s
        return now_s - self._since_s > FROZEN_S


class Pulse:
    """Counts the pictures of one connection."""

    def __init__(self, form: str, patience_s: float) -> None:
        """`patience_s`: before the rate is known."""
        self._form, self._first_s = form, 0.0
        self._count = 0
        self._since_s, self._after_burst = 0.0, 0
        self.patience_s = patience_s
        """How long the next packet may take."""

    def after(self, picture: VideoFrame, now_s: float) -> str:
        """What was found so far: codec, size, pictures a second; "" until MEASURED_S are over."""
        self._first_s = self._first_s or now_s
        seconds = now_s - self._first_s
        if seconds >= BURST_S:
            self._since_s = self._since_s or now_s
            self._after_burst += 1
        if self.is_known:
            (least, most), pauses = PATIENCE_S, self._after_burst - 1
            self.patience_s = min(max(least, INTERVALS * (now_s - self._since_s) / pauses), most)
        self._count += 1
        if seconds < MEASURED_S:
            return ""
        rate = (self._count - 1) / seconds
        return f"{self._form} {picture.width}x{picture.height}, {rate:.1f} frames a second"

    @property
    def is_known(self) -> bool:
        """Whether it can be told how often pictures come."""
        return self._after_burst > 1
