"""What a run did, for the user and as JSON; and the progress that is shown while it runs."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.control import Figures
from pipeline.errors import ConfigError
from pipeline.outlet import Outlet
from pipeline.timings import Timings


@dataclass(slots=True)
class Report:
    """The account of one run. Times in seconds or milliseconds as named, memory in MiB."""

    input: str
    output: str
    frames_in: int = 0
    frames_out: int = 0
    resumed_at: int = 0
    """Frames that an earlier run had written already; they count as in and out."""
    drops: dict[str, int] = field(default_factory=dict)
    """Frames of a live source that were left out, by cause: `newer` ones replaced them, they were
    `damaged`, or would have been too `late`."""
    reconnects: int = 0
    """Times that a live source came back."""
    away: str = ""
    """Why a live source is not there just now; "" while it is."""
    outputs: dict[str, Outlet] = field(default_factory=dict)
    """How each output was when it was last heard of."""
    media_s: float = 0.0
    """Duration of the video that was written."""
    elapsed_s: float = 0.0
    first_frame_s: float | None = None
    """From the start to the first frame written."""
    ending_s: float = 0.0
    """From the last frame written to the end: joining, renaming, stopping."""
    restarts: dict[str, int] = field(default_factory=dict)
    latency: Timings = field(default_factory=Timings)
    """Of live frames: from the arrival of each until the output had taken it."""
    max_latency: dict[str, Any] | None = None
    """What was done to hold a limit of it."""
    flicker: dict[str, float] | None = None
    """With --stabilize: how much paint changed from frame to frame beyond the content's own
    motion, of 255, as `painted` and in the `output`."""
    memory_mib: dict[str, float] = field(default_factory=dict)
    """Resident size of each process when it was last heard of; `Writer helpers`: of all processes
    that it has started, the senders of its outputs for one."""
    peak_memory_mib: dict[str, float] = field(default_factory=dict)
    """Resident size of each process at its largest; pool frames count where they are touched."""
    cpu_s: dict[str, float] = field(default_factory=dict)
    """CPU time of each process from its start."""
    stages: dict[str, Timings] = field(
        default_factory=lambda: {n: Timings() for n in ("Reader", "Stylizer", "Writer")}
    )
    written: list[str] = field(default_factory=list)
    """The outputs that are complete, as far as the run came."""
    notices: list[str] = field(default_factory=list)
    error: str | None = None
    interrupted: bool = False
    resumable: bool = False
    """Whether the same job with --resume would go on from here."""

    @property
    def rate(self) -> float:
        """Frames written by this run for each second since its start."""
        return (self.frames_out - self.resumed_at) / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def dropped(self) -> int:
        """Frames of a live source that were left out."""
        return sum(self.drops.values())

    def figures(self) -> Figures:
        """What those who watch are shown while it runs."""
        return {
            "dropped": self.dropped,
            "reconnects": self.reconnects,
            "restarts": sum(self.restarts.values()),
            "paint_ms": round(self.stages["Stylizer"].percentile_ms(0.5), 1),
            **{
                f"latency_p{round(100 * p)}_ms": round(self.latency.percentile_ms(p), 1)
                for p in (0.5, 0.95, 0.99)
                if self.latency.count
            },
            **{f"flicker_{of}": round(value, 2) for of, value in (self.flicker or {}).items()},
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values, with percentiles of each stage's time for a frame."""
        plain = {k: v for k, v in asdict(self).items() if k not in ("stages", "latency")}
        plain["dropped"] = self.dropped
        plain["frames_per_s"] = round(self.rate, 3)
        plain["latency"] = spread(self.latency) if self.latency.count else None
        plain["stages"] = {name: spread(timings) for name, timings in self.stages.items()}
        return plain

    def save(self, path: Path) -> None:
        """Write as JSON; ConfigError when the path cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write the report {path}: {error.strerror}") from error

    def lines(self) -> list[str]:
        """The report as a person reads it."""
        speed = f"{self.rate:.1f} frames/s"
        if self.media_s and self.elapsed_s:
            speed += f", {self.media_s / self.elapsed_s:.2f} x real time"
        drops = ", ".join(f"{cause} {count}" for cause, count in self.drops.items() if count)
        stages = "  ".join(
            f"{name} {t.percentile_ms(0.5):.1f}/{t.percentile_ms(0.95):.1f}"
            for name, t in self.stages.items()
        )
        memory = sum(self.peak_memory_mib.values())
        out = [
            f"{self.frames_in} frames in, {self.frames_out} out, {self.dropped} dropped"
            f"{f' ({drops})' if drops else ''}; "
            f"{self.media_s:.2f} s of video in {self.elapsed_s:.1f} s ({speed})",
            f"ms a frame, p50/p95: {stages}; peak memory {memory:.0f} MiB",
        ]
        if self.latency.count:
            times = "/".join(f"{self.latency.percentile_ms(p):.0f}" for p in (0.5, 0.95, 0.99))
            out.append(f"latency in ms, from arrival to output, p50/p95/p99: {times}")
        if self.flicker:
            said = "flicker, of 255: {painted:.1f} as painted, {output:.1f} after --stabilize"
            out.append(said.format(**self.flicker))
        if self.max_latency and self.max_latency["in_time"] is not None:
            held = self.max_latency
            out.append(
                f"within {held['limit_ms']:g} ms: {held['in_time']:.1%} of the frames; painted at "
                f"{held['size']} of {held['of']} in the end, at {held['smallest']} at the smallest "
                f"(size lowered {held['lowered']} times, raised {held['raised']})"
            )
        if self.resumed_at:
            out.append(f"went on at frame {self.resumed_at}, which an earlier run had come to")
        if self.restarts:
            count = ", ".join(f"{name} {n}" for name, n in self.restarts.items())
            out.append(f"started again: {count}")
        return out


def spread(timings: Timings) -> dict[str, float]:
    """How long frames took, as plain values."""
    percentiles = {f"p{p}_ms": round(timings.percentile_ms(p / 100), 3) for p in (50, 95, 99)}
    return {"frames": timings.count, **percentiles, "total_s": round(timings.total_s, 3)}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; `total` is None while nobody knows."""

    frames: int
    total: int | None
    media_s: float
    elapsed_s: float
    report: Report
    """The account, which goes on."""
    waiting: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of each queue: frames that wait in it, and how many it holds."""
    share: float = 0.0
    """How much is done of a frame that takes long."""
