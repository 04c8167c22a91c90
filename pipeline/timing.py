"""Time without rounding: where zero lies, repair of broken time stamps, resampling by time."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import ceil
from typing import TypeVar

MICROSECOND = Fraction(1, 1_000_000)
_CODEC_DELAY_S = Fraction(1, 5)
JUMP_S = 1.0
"""A picture further from its time than this belongs to another count."""
T = TypeVar("T")


def zero_of(start_us: int | None) -> Fraction:
    """Seconds in the file that count as 0: its start, unless a codec delay pulls it below 0."""
    start = (start_us or 0) * MICROSECOND
    return Fraction(0) if -_CODEC_DELAY_S <= start < 0 else start


def ticks(seconds: Fraction | float, time_base: Fraction) -> int:
    """Seconds as the nearest whole number of ticks."""
    return round(Fraction(seconds) / time_base)


class Clock:
    """Hands out strictly increasing time stamps, the stream's own wherever they are usable. Where
    they begin again, as in recordings that were joined, what follows is put behind."""

    def __init__(self, step: int, again: int) -> None:
        """In ticks: `step` from frame to frame; who goes back by `again` begins again."""
        self._step, self._again = max(step, 1), again
        self._last: int | None = None
        self._offset = 0
        self.repaired = 0

    def next(self, pts: int | None) -> int:
        """`pts`, or the last time plus one frame where it is missing or does not increase."""
        if pts is not None and self._last is not None:
            if pts + self._offset <= self._last - self._again:
                self._offset = self._last + self._step - pts
                self.repaired += 1
            pts += self._offset
        if self._last is None:
            good = pts if pts is not None else 0
        elif pts is None:
            good = self._last + self._step
        else:
            good = max(pts, self._last + 1)
        self.repaired += good != pts
        self._last = good
        return good


class LiveClock:
    """Times of live pictures since the first: the source's own steps, which are even, as long as
    they agree with the clock on the wall, which tells how late they are."""

    def __init__(self, time_base: Fraction) -> None:
        self._base = time_base
        self._offset_s: float | None = None
        self._last = -1
        self.jumps = 0
        """Times that the source's and the wall's count parted."""

    def at(self, source_s: float | None, arrived_s: float) -> int:
        """Strictly increasing ticks; `arrived_s` and the result count from the same moment. A
        source that jumps or begins again is taken to go on from when it arrived."""
        if source_s is None:
            seconds = arrived_s
        else:
            offset = self._offset_s
            if offset is None or abs(source_s + offset - arrived_s) > JUMP_S:
                self.jumps += offset is not None
                self._offset_s = offset = arrived_s - source_s
            seconds = source_s + offset
        self._last = max(self._last + 1, round(seconds / self._base))
        return self._last

    def along(self, source_s: float, arrived_s: float) -> float | None:
        """Where something else of the source lies, in seconds, as the last picture does; None when
        it is not of the same count."""
        if self._offset_s is None or abs(source_s + self._offset_s - arrived_s) > JUMP_S:
            return None
        return source_s + self._offset_s


def resampled(
    pictures: Iterable[tuple[Fraction, T]],
    fps: Fraction,
    last_s: Fraction,
    end_s: Fraction | None = None,
) -> Iterator[tuple[int, T]]:
    """(tick of 1/fps, picture): at each tick the picture nearest in time; the last one lasts
    `last_s` seconds, but none until `end_s`."""
    tick: int | None = None
    shown: tuple[Fraction, T] | None = None
    for time, picture in pictures:
        if shown is None or tick is None:
            tick = round(time * fps)
        else:
            middle = (shown[0] + time) / 2
            while tick / fps < middle:
                yield tick, shown[1]
                tick += 1
        shown = (time, picture)
    if shown is None or tick is None:
        return
    end = max(round((shown[0] + last_s) * fps), tick + 1 if tick / fps <= shown[0] else tick)
    if end_s is not None:
        end = min(end, ceil(end_s * fps))
    for number in range(tick, end):
        yield number, shown[1]
