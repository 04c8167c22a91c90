"""A long run stays as small as a short one; `make soak` runs a whole day."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc")
def test_nothing_grows() -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "20000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800)
    print(done.stdout)
    # Over so few frames an allocator's page weighs more than a leak: only steps count.
    grown = [line for line in done.stderr.splitlines() if line.startswith("grew: ")]
    assert "memory grows by" in done.stdout, done.stderr
    assert not [line for line in grown if "memory by" not in line]
    rate = float(done.stdout.split("memory grows by ")[1].split()[0])
    assert rate < 20
