"""A run in a process of its own that kills its own stages: python tests/chaos.py INPUT OUTPUT SEED
KILLS WHO... . Says in one line of JSON what happened; tests/test_chaos.py looks at the rest."""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from test_kills import children, processes  # noqa: E402

from pipeline.plan import planned  # noqa: E402
from pipeline.report import Progress  # noqa: E402
from pipeline.request import StreamOptions  # noqa: E402
from pipeline.run import Pipeline  # noqa: E402

NODE = "raylet"


class Killer:
    """Is told how far the run is, and kills at seeded random frames."""

    def __init__(self, victims: list[str], frames: int, seed: int) -> None:
        chance = random.Random(seed)
        chance.shuffle(victims)
        places = sorted(chance.sample(range(20, frames - 20), len(victims)))
        self.due = list(zip(places, victims, strict=True))
        self.killed: list[str] = []
        self.family: set[int] = set()
        self.shared: set[str] = set()
        self.stall_s = 0.0
        self.done: Callable[[], None] = lambda: None
        self._last = 0
        self._seen, self._seen_s = 0, 0.0

    def __call__(self, progress: Progress) -> None:
        """Kill whoever is due."""
        now = time.monotonic()
        if progress.frames > self._seen:  # what is done again after a kill is no progress
            if self._seen:
                self.stall_s = max(self.stall_s, now - self._seen_s)
            self._seen, self._seen_s = progress.frames, now
        if not self.due:
            if progress.frames > self._last + 25:
                self.done()
            return
        if progress.frames < self.due[0][0]:
            return
        _, who = self.due[0]
        family = {pid: processes().get(pid, ("", 0))[0] for pid in children(os.getpid())}
        found = [p for p, name in family.items() if name == f"ray::{who}" or name.endswith(who)]
        if not found:
            return  # it is being started: it is killed as soon as it is there
        self.family |= set(family)
        for pid in family:
            self.shared |= shared_memory(pid)
        os.kill(found[0], signal.SIGKILL)
        self.killed.append(who)
        self._last = self.due.pop(0)[0]


def shared_memory(pid: int) -> set[str]:
    """Named shared memory that a process has mapped."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return set()
    return {line.split()[-1] for line in lines if "/dev/shm/" in line and "(deleted)" not in line}


def main(source: str, output: str, seed: str, kills: str, *who: str) -> None:
    """Run, kill, say what was left."""
    victims = [name for name in who for _ in range(1 if name == NODE else int(kills))]
    options = StreamOptions(model="identity", output=[output], overwrite=True)
    with planned(source, options) as plan:
        killer = Killer(victims, plan.info.frames or 250, int(seed))
        with Pipeline(plan, killer) as pipeline:
            killer.done = pipeline.stop if plan.info.live else lambda: None
            pipeline.run()
    about = {
        "killed": killer.killed,
        "restarts": pipeline.report.restarts,
        "stall_s": round(killer.stall_s, 2),
        "family": sorted(killer.family),
        "shared": sorted(path for path in killer.shared if Path(path).exists()),
    }
    print(json.dumps(about))


if __name__ == "__main__":
    main(*sys.argv[1:])
