"""Measurements of the whole program, run as users run it. Tests never assert times; these print."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, and what the design asks of it."""

    figure: str
    value: float
    wanted: str


def paint(*words: str) -> dict[str, Any]:
    """Run run_stream.py with these words -> its JSON report."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        command = [sys.executable, str(ROOT / "run_stream.py"), *words, "--report", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            said = done.stderr.strip() or f"it was killed ({done.returncode}): out of memory?"
            raise SystemExit(f"benchmark failed: {said.splitlines()[-1]}")
        report: dict[str, Any] = json.loads(path.read_text())
        return report


def pace(report: dict[str, Any]) -> float:
    """Frames a second between the first frame and the last."""
    running = report["elapsed_s"] - report["first_frame_s"] - report["ending_s"]
    return float((report["frames_out"] - 1) / running)
