"""One line on standard error that says what was done and what is left."""

import sys
import time

LINE_EVERY_S = 10.0


class Progress:
    """Call it after each of `total` parts; rewritten on a terminal, now and then elsewhere."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._live = sys.stderr.isatty()
        self._begin_s = self._line_s = time.monotonic()

    def __call__(self, what: str) -> None:
        self._done += 1
        now_s = time.monotonic()
        left_s = (now_s - self._begin_s) / self._done * (self._total - self._done)
        line = f"{self._done}/{self._total}  about {left_s / 60:.1f} min left  {what}"
        if self._live:
            end = "\n" if self._done == self._total else ""
            print(f"\r\x1b[K{line[:100]}", end=end, file=sys.stderr, flush=True)
        elif now_s - self._line_s > LINE_EVERY_S:
            self._line_s = now_s
            print(line, file=sys.stderr, flush=True)
