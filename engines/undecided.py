"""`auto` on a machine that has not yet tried its engines on this model: torch paints at once, the
fastest is found beside it and takes over between two frames.

Found in a process of its own: tracing replaces builtins for a while, which painting uses too.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from engines import Arrays, Engine, Frames, make_engine, said
from engines.pytorch import Code, TorchEngine
from engines.runtime import GraphEngine

WORTH_S = 20.0
"""Who has painted for so long is likely to go on: the search takes longer, and is lost for who ends
before it."""
TRY = """
import json, os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
root, model, device, threads = sys.argv[1:]
sys.path.insert(0, root)
from engines import choice
print(json.dumps(choice.known(model, device, int(threads) if threads else None, beside=True)))
"""
"""Ends with the process that wants to know, however that ends."""


class UndecidedEngine(TorchEngine):
    """As torch, and later as the fastest engine."""

    def __init__(self, model: str, device: str = "auto", threads: int | None = None) -> None:
        super().__init__(model, device, threads)
        self._about = model, device, threads
        self._began_s: float | None = None
        self._latest: tuple[tuple[int, ...], bool] = (1, 64, 64, 3), False
        self._search: Thread | None = None
        self._taken: Engine | None = None
        self._handed: tuple[Code, Code | Arrays] | None = None  # the code it has, as its own
        self._found = ""  # what became of the search

    def __call__(self, frames: Frames, code: Code, strength: float, keep_color: bool) -> Frames:
        """uint8 RGB (N,H,W,3) -> painted; `keep_color` takes only the brightness."""
        if (taken := self._taken) is not None:
            try:
                if self._handed is None or self._handed[0] is not code:
                    self._handed = code, its_own(taken, code)  # not for each frame: from a GPU
                painted = taken(frames, self._handed[1], strength, keep_color)
            except (RuntimeError, MemoryError) as error:  # it would fail again
                self._taken, self.batch = None, self._batch
                self._found = f"engine torch paints on: {said(error)}"
            else:
                self.why = taken.why
                return painted
        self._latest = frames.shape, keep_color
        self._began_s = self._began_s or time.monotonic()
        if self._search is None and time.monotonic() - self._began_s > WORTH_S:
            self._found = "engine torch, while the fastest for this model is found beside it, once"
            self._search = Thread(target=self._find, args=(code,), daemon=True)
            self._search.start()
        painted = super().__call__(frames, code, strength, keep_color)
        self.why = "; ".join(filter(None, [self._found, self._sparing.notice]))
        return painted

    def settle(self) -> None:
        """Wait until another engine has taken over, or `why` says that torch stays."""
        if self._search is not None:
            self._search.join()

    def _find(self, code: Code) -> None:
        """Have the engines tried, and the fastest ready for such frames as come."""
        model, _, threads = self._about
        try:
            found = tried(*self._about)
            self._found = found["why"]
            if found["engine"] == "torch":
                return
            taken = make_engine(found["engine"], model, found["device"], threads)
            taken.why = found["why"]
            shape, keep_color = self._latest
            taken(np.zeros(shape, np.uint8), its_own(taken, code), 1.0, keep_color)
        except Exception as error:  # noqa: BLE001  whatever it is, torch paints on
            self._found = f"engine torch: no other can be tried ({said(error)})"
            return
        self._batch, self.batch = self.batch, taken.batch
        self._taken = taken


def its_own(engine: Engine, code: Code) -> Code | Arrays:
    """A code of torch, as another engine has them."""
    if isinstance(engine, GraphEngine):
        return {name: tensor.cpu().numpy() for name, tensor in code.items()}
    return code


def tried(model: str, device: str, threads: int | None) -> dict[str, Any]:
    """Let another process find the fastest engine -> choice.known. RuntimeError: it fails."""
    root = str(Path(__file__).parents[1])
    with subprocess.Popen(
        # Not from the folder that the user happens to be in, where other modules may lie.
        [sys.executable, "-P", "-c", TRY, root, model, device, str(threads or "")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        errors: list[str] = []
        listener = Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
        listener.start()
        lines = process.stdout.read().splitlines()
        listener.join()
    if process.returncode or not lines:
        raise RuntimeError(errors[-1] if errors else f"exit code {process.returncode}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found
