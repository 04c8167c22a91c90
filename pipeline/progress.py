"""Shows progress on standard error: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from pipeline.report import Progress

LINE_EVERY_S = 10.0
WINDOW_S = 5.0


class ProgressView:
    """Context manager; call it with each Progress."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True)
        words, figures = "{task.description}", "{task.fields[figures]}"
        columns = TextColumn(words), BarColumn(), TextColumn(figures)
        self._bar = Bar(*columns, console=self._console, transient=True)
        self._live = sys.stderr.isatty()
        self._task = self._bar.add_task("starting", total=None, figures="")
        self._line_s = time.monotonic()
        # Speed is taken over the last seconds: start-up must not weigh on it for ever.
        self._marks: list[Progress] = []

    def __enter__(self) -> "ProgressView":
        if self._live:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        figures = self._figures(progress)
        if self._live:
            self._bar.update(
                self._task,
                description="painting" if progress.frames else "starting",
                completed=progress.frames,
                total=progress.total,
                figures=figures,
            )
        elif progress.frames and time.monotonic() - self._line_s > LINE_EVERY_S:
            self._line_s = time.monotonic()
            self._console.print(figures, highlight=False)

    def _figures(self, now: Progress) -> str:
        self._marks = [m for m in self._marks if now.elapsed_s - m.elapsed_s < WINDOW_S] + [now]
        first = self._marks[0]
        span = now.elapsed_s - first.elapsed_s
        rate = (now.frames - first.frames) / span if span else 0.0
        speed = (now.media_s - first.media_s) / span if span else 0.0
        text = f"{now.frames}/{now.total or '?'} frames  {rate:.1f} frames/s  {speed:.2f}x"
        if now.total and rate > 0:
            text += f"  {clock((now.total - now.frames) / rate)} left"
        return text


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
