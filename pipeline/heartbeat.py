"""Whether something still comes, by how often it did so far."""

import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from statistics import median

SLOW = 3
"""As many times the usual pause may go by."""
KEPT = 60


class Heartbeat:
    """Told when something comes."""

    def __init__(self, least_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`least_s`: so long nothing may come, whatever the usual pause is."""
        self._least_s, self._clock, self._began_s = least_s, clock, clock()
        self._times: deque[float] = deque(maxlen=KEPT)

    def beat(self) -> None:
        """It came."""
        self._times.append(self._clock())

    @property
    def still_s(self) -> float:
        """For how long nothing has come, or since the start."""
        return self._clock() - (self._times[-1] if self._times else self._began_s)

    @property
    def limit_s(self) -> float:
        """How long that may be."""
        pauses = [later - before for before, later in pairwise(list(self._times))]
        return max(self._least_s, SLOW * median(pauses)) if pauses else self._least_s

    @property
    def rate(self) -> float:
        """How many come in a second, of late; while none does no more than one in that time."""
        if len(self._times) < 2:
            return 0.0
        rate = (len(self._times) - 1) / max(1e-3, self._times[-1] - self._times[0])
        return min(rate, 1 / self.still_s) if self.still_s > 1 else rate
