"""Shows progress on standard error: a bar on a terminal, a line now and then elsewhere. What goes
wrong meanwhile is said when it happens."""

import logging
import re
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from pipeline.logs import PREFIXES, Facts, note, say
from pipeline.report import Progress, Report

LINE_EVERY_S = 10.0
WINDOW_S = 5.0
COUNT = re.compile(r"\b\d+(\.\d+)?\b")


class ProgressView:
    """Context manager; call it with each Progress."""

    def __init__(self, form: str) -> None:
        """`form`: how lines are said, one of logs.FORMS."""
        self._console = Console(stderr=True, soft_wrap=True)
        words, figures = "{task.description}", "{task.fields[figures]}"
        columns = TextColumn(words), BarColumn(), TextColumn(figures)
        self._bar = Bar(*columns, console=self._console, transient=True)
        self._live = sys.stderr.isatty() and form == "text"
        self._task = self._bar.add_task("starting", total=None, figures="")
        self._line_s = time.monotonic()
        # Speed is taken over the last seconds: start-up must not weigh on it for ever.
        self._marks: list[Progress] = []
        self._told: set[str] = set()
        self._counts: dict[str, int] = {}
        self._away = ""
        self._painted_at: str | None = None

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
        figures, speeds = self._figures(progress)
        self._events(progress.report)
        if self._live:
            self._bar.update(
                self._task,
                description="painting" if progress.frames or progress.share else "starting",
                completed=progress.frames,
                total=progress.total,
                figures=figures,
            )
        if (progress.frames or progress.share) and time.monotonic() - self._line_s > LINE_EVERY_S:
            self._line_s = time.monotonic()
            self._notices(progress.report.notices)
            if not self._live:
                say(figures, facts={"frames": progress.frames, "total": progress.total} | speeds)

    def _events(self, report: Report) -> None:
        """What a person who looks later wants to know the time of."""
        counts = {f"{stage} was started again": n for stage, n in report.restarts.items()}
        counts[f"{report.input} came back"] = report.reconnects
        for text, count in counts.items():
            if count > self._counts.get(text, 0):
                self._note(text, {"times": count})
        self._counts = counts
        if report.away and report.away != self._away:
            self._note(f"{report.away}; it is tried again")
        self._away = report.away
        held = report.max_latency
        if held and held["size"] != self._painted_at:
            if self._painted_at:
                text = f"painted at {held['size']} from now on, to stay below"
                self._note(f"{text} {held['limit_ms']:g} ms", held)
            self._painted_at = held["size"]

    def _notices(self, notices: list[str]) -> None:
        for text in notices:
            kind = COUNT.sub("", text)  # what it has come to, the report says
            if kind not in self._told:
                self._told.add(kind)
                self._note(text)

    def _note(self, text: str, facts: Facts | None = None) -> None:
        if self._live:  # above the bar
            self._console.print(PREFIXES[logging.WARNING] + text, highlight=False, markup=False)
        else:
            note(text, facts)

    def _figures(self, now: Progress) -> tuple[str, Facts]:
        self._marks = [m for m in self._marks if now.elapsed_s - m.elapsed_s < WINDOW_S] + [now]
        first = self._marks[0]
        span = now.elapsed_s - first.elapsed_s
        rate = (now.frames - first.frames) / span if span else 0.0
        speed = (now.media_s - first.media_s) / span if span else 0.0
        text = f"{now.frames}/{now.total or '?'} frames  {rate:.1f} frames/s  {speed:.2f}x"
        if now.share:
            text += f"  {100 * now.share:.0f} % of the next"
        if now.total and rate > 0:
            text += f"  {clock((now.total - now.frames) / rate)} left"
        return text, {"frames_per_s": round(rate, 2), "speed": round(speed, 3)}


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
