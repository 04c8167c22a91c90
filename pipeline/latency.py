"""`--max-latency`: keeps live frames from coming out later than promised.

What would be too late is left out before it is painted, and what has become so meanwhile before it
is shown. Where painting itself takes too long it is done at a smaller size, and at a larger one
again once that has been affordable for a while.
"""

import time
from collections import deque
from collections.abc import Callable
from math import isinf
from statistics import median
from typing import Any, NamedTuple

from models.pictures import MULTIPLE
from pipeline.queues import Ticket

Size = tuple[int, int]
"""(width, height) in px."""

STEP = 0.87
"""From one size to the next, a side: three quarters of the pixels."""
LEAST_PX = 128
"""Short side of the smallest size."""
WINDOW, LEAST, SURE, SKIPPED = 24, 6, 2, 1
"""Frames that are looked at; that are needed for a verdict; for one where all are late; that do not
count after a change of size, because an engine may have to make itself ready for it."""
MOST_LATE = 0.2
"""Share of them that may be late before the size is lowered."""
AIM_DOWN, AIM_UP = 0.8, 0.7
"""Of the limit, where a change of size is meant to lead: well below it, so that it lasts."""
VAIN = 0.2
"""Where painting is less than this share of the latency, a smaller size would not help."""
PATIENCE_S, LONGEST_S = 4.0, 120.0
"""After a change, before a larger size is tried; each time that was wrong it doubles."""
MOST_IN_A_ROW = 3
"""Frames left out, after which one is painted and shown however old it is."""


def sizes_for(width: int, height: int) -> list[Size]:
    """The sizes at which frames may be painted, the largest first: their own, then multiples of
    what models reduce by, which every engine takes."""
    found, scale = [(width, height)], STEP
    while min(width, height) * scale >= LEAST_PX:
        size = tuple(max(1, round(side * scale / MULTIPLE)) * MULTIPLE for side in (width, height))
        if size != found[-1] and size[0] < width:
            found.append((size[0], size[1]))
        scale *= STEP
    return found


class Seen(NamedTuple):
    """Of a frame, in seconds until it came out: from its arrival on, from when it was handed to a
    stylizer on, the painting alone, and from then on."""

    latency_s: float
    rest_s: float
    paint_s: float
    after_s: float


class Governor:
    """Decides which frames are painted and shown, and at which of `sizes` (largest first)."""

    def __init__(
        self, limit_s: float, sizes: list[Size], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit_s, self._sizes, self._clock = limit_s, sizes, clock
        self._step = 0
        self._seen: deque[Seen] = deque(maxlen=WINDOW)  # painted at this size
        self._skip = SKIPPED
        self._ages: deque[float] = deque(maxlen=WINDOW)
        self._left_out = 0
        self._patience_s, self._changed_s, self._raised_s = PATIENCE_S, clock(), -LONGEST_S
        self.written = self.in_time = self.lowered = self.raised = 0
        self.smallest = sizes[0]

    @property
    def size(self) -> Size:
        """At which frames are painted now."""
        return self._sizes[self._step]

    def takes(self, ticket: Ticket) -> bool:
        """Whether a live frame that has just come is worth painting: not when it would be late and
        a fresh one would not."""
        age_s = self._clock() - (ticket.arrived_s or 0)
        self._ages.append(age_s)
        if len(self._seen) < LEAST or self._left_out >= MOST_IN_A_ROW:
            return True
        rest_s = median(seen.rest_s for seen in self._seen)
        is_late = age_s + rest_s > self._limit_s
        is_vain = min(self._ages) + rest_s > self._limit_s
        self._left_out += is_late and not is_vain
        return is_vain or not is_late

    def shows(self, ticket: Ticket) -> bool:
        """Whether a live frame that has just been painted is worth showing: not when it will be
        late and others are not."""
        if ticket.arrived_s is None:
            return True
        age_s = self._clock() - ticket.arrived_s
        is_late = age_s + self._after_s > self._limit_s
        is_vain = len(self._seen) >= LEAST and 2 * self._late > len(self._seen)
        return not is_late or is_vain or self._left_out >= MOST_IN_A_ROW

    def left_out(self, ticket: Ticket) -> None:
        """A painted frame is not shown."""
        self._left_out += 1
        self._learn(ticket, self._clock() + self._after_s)

    def wrote(self, ticket: Ticket) -> None:
        """A frame came out; those of films do not count."""
        if ticket.arrived_s is None:
            return
        now_s = self._clock()
        self._left_out = 0
        self.written += 1
        self.in_time += now_s - ticket.arrived_s <= self._limit_s
        self._learn(ticket, now_s)

    def _learn(self, ticket: Ticket, out_s: float) -> None:
        """From a painted frame that came out then, or would have."""
        if ticket.size != self.size:
            return
        if self._skip:
            self._skip -= 1
            return
        latency_s, rest_s = out_s - (ticket.arrived_s or 0), out_s - ticket.handed_s
        after_s = out_s - ticket.painted_s
        self._seen.append(Seen(latency_s, rest_s, ticket.paint_s, after_s))
        if len(self._seen) >= LEAST or self._late >= SURE:
            self._judge()

    @property
    def _after_s(self) -> float:
        """How long a painted frame takes to come out."""
        return median(seen.after_s for seen in self._seen) if self._seen else 0.0

    @property
    def _late(self) -> int:
        """Of the frames seen."""
        return sum(seen.latency_s > self._limit_s for seen in self._seen)

    def _judge(self) -> None:
        late = self._late
        paint_s = median(seen.paint_s for seen in self._seen)
        other_s = median(seen.latency_s - seen.paint_s for seen in self._seen)
        if late > MOST_LATE * len(self._seen):
            if self._step + 1 < len(self._sizes) and paint_s > VAIN * (paint_s + other_s):
                self._lower(paint_s, other_s)
        elif self._step and not late:
            self._raise_if_affordable(paint_s, other_s)

    def _lower(self, paint_s: float, other_s: float) -> None:
        """To the largest size that is likely to do, at least one step down."""
        now_s = self._clock()
        if now_s - self._raised_s < LONGEST_S / 4:  # a larger size was tried too early
            self._patience_s = min(2 * self._patience_s, LONGEST_S)
        room = self._pixels(self._step) * (AIM_DOWN * self._limit_s - other_s) / paint_s
        step = self._step + 1
        while step + 1 < len(self._sizes) and self._pixels(step) > room:
            step += 1
        self.lowered += 1
        self._turn(step)

    def _raise_if_affordable(self, paint_s: float, other_s: float) -> None:
        now_s = self._clock()
        more = self._pixels(self._step - 1) / self._pixels(self._step)
        if other_s + paint_s * more > AIM_UP * self._limit_s:
            return
        if now_s - self._changed_s < self._patience_s:
            return
        if now_s - self._raised_s > LONGEST_S:
            self._patience_s = PATIENCE_S
        self.raised, self._raised_s = self.raised + 1, now_s
        self._turn(self._step - 1)

    def _turn(self, step: int) -> None:
        self._step, self._changed_s = step, self._clock()
        self._seen.clear()
        self._ages.clear()
        self._skip = SKIPPED
        self.smallest = min(self.smallest, self.size)

    def _pixels(self, step: int) -> int:
        width, height = self._sizes[step]
        return width * height

    def as_dict(self) -> dict[str, Any] | None:
        """What it did, for the report; None without a limit."""
        if isinf(self._limit_s):
            return None
        return {
            "limit_ms": round(self._limit_s * 1e3, 3),
            "in_time": round(self.in_time / self.written, 4) if self.written else None,
            "size": "{}x{}".format(*self.size),
            "size_ratio": round(self._pixels(self._step) / self._pixels(0), 4),
            "smallest": "{}x{}".format(*self.smallest),
            "of": "{}x{}".format(*self._sizes[0]),
            "lowered": self.lowered,
            "raised": self.raised,
        }
