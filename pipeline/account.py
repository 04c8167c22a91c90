"""Keeps the report of a run from what its stages say."""

import time
from dataclasses import asdict
from fractions import Fraction

from pipeline.address import shown
from pipeline.queues import Ticket
from pipeline.report import Report
from pipeline.stabilize import Flicker
from pipeline.stages import Work
from pipeline.timings import Timings, cpu_seconds, memory_mib, peak_memory_mib

RECENT = 150
"""Measures of flicker; with one in four frames, twenty seconds."""
STAGES = ("Reader", "Stylizer", "Writer")


class Account:
    """The report, complete once `close` has been called."""

    def __init__(self, report: Report, rate: Fraction | None, outputs: list[str]) -> None:
        """`rate`: frames a second of the source, where known. `outputs`: as the user named them."""
        self.report = report
        self._outputs = names_of(outputs)
        report.stages = {name: Timings() for name in STAGES}
        self._own_notices = list(report.notices)
        self._said: dict[str, list[str]] = {}
        self._duration = 1 / rate if rate else 0
        self._first_pts: int | None = None
        self._flickered = 0
        self._began = self._last_s = self._measured_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._began

    def heard(self, stage: str, name: str, work: Work) -> None:
        """What a call of a stage did; `name` tells stages of one kind apart."""
        report = self.report
        for seconds in work.seconds:
            report.stages[stage].add(seconds)
        for seconds in work.latencies:
            report.latency.add(seconds)
        for cause, count in work.dropped.items():
            self.dropped(cause, count)
        if stage == "Reader":
            report.away = work.away
        if work.flicker:
            self._flickers(work.flicker)
        if work.memory_mib:
            report.memory_mib[name] = work.memory_mib
            report.peak_memory_mib[name] = work.peak_memory_mib
            report.cpu_s[name] = work.cpu_s
        if work.helpers_mib or f"{name} helpers" in report.memory_mib:
            self._helpers(f"{name} helpers", work.helpers_mib)
        if work.outlets:
            report.outputs = dict(zip(self._outputs, work.outlets, strict=True))
        if work.notices:
            # Each time anew: some of them count.
            self._said[name] = work.notices
            said = [text for texts in self._said.values() for text in texts]
            report.notices = list(dict.fromkeys([*self._own_notices, *said]))

    def _helpers(self, name: str, mib: float) -> None:
        peaks = self.report.peak_memory_mib
        self.report.memory_mib[name] = mib
        peaks[name] = max(peaks.get(name, 0.0), mib)

    def _flickers(self, flicker: Flicker) -> None:
        """The mean of all; in a long run of those of late."""
        self._flickered = min(self._flickered + 1, RECENT)
        for of, value in asdict(flicker).items():
            mean = (self.report.flicker or {}).get(of, 0.0)
            self.report.flicker = {
                **(self.report.flicker or {}),
                of: mean + (value - mean) / self._flickered,
            }

    def note(self, text: str) -> None:
        """Something to tell the user at the end."""
        self._own_notices.append(text)
        self.report.notices.append(text)

    def dropped(self, cause: str, count: int = 1) -> None:
        """Live frames were left out."""
        self.report.drops[cause] = self.report.drops.get(cause, 0) + count

    def read(self, next_index: int) -> None:
        """Frames below `next_index` have come from the source."""
        self.report.frames_in = max(self.report.frames_in, next_index)

    def written(self, tickets: list[Ticket], next_index: int) -> None:
        """These frames are in the output, as are all below `next_index`."""
        report = self.report
        for ticket in tickets:
            if self._first_pts is None:
                self._first_pts = ticket.pts
                report.first_frame_s = self.elapsed_s
            past = (ticket.pts - self._first_pts) * ticket.time_base + self._duration
            report.media_s = max(report.media_s, float(past))
            self._last_s = time.monotonic()
        report.frames_out = max(report.frames_out, next_index)

    def restarted(self, stage: str) -> None:
        """A stage died, or hung, and was started again."""
        self.report.restarts[stage] = self.report.restarts.get(stage, 0) + 1

    def close(self) -> None:
        """Everything is over."""
        now = time.monotonic()
        self.report.elapsed_s = now - self._began
        self.report.ending_s = now - self._last_s
        self.measure()

    def measure(self, every_s: float = 0.0) -> None:
        """What this process, the driver, uses itself; not again before `every_s` have gone by."""
        if time.monotonic() - self._measured_s < every_s:
            return
        self._measured_s = time.monotonic()
        self.report.memory_mib["driver"] = memory_mib()
        self.report.peak_memory_mib["driver"] = peak_memory_mib()
        self.report.cpu_s["driver"] = cpu_seconds()


def names_of(outputs: list[str]) -> list[str]:
    """As they may be shown, each of them once: what tells two apart may be a key that is not."""
    names = [shown(text) for text in outputs]
    counts = [names[: place + 1].count(name) for place, name in enumerate(names)]
    return [f"{n} ({c})" if c > 1 else n for n, c in zip(names, counts, strict=True)]
