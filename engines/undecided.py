"""`auto` on a machine that has not yet tried its engines on this model: torch paints at once, the
fastest is found beside it and takes over between two frames.

Found in a process of its own: tracing replaces builtins for a while, which painting uses too.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import numpy as np

from engines import Arrays, Engine, Frames, choice, said
from engines.pytorch import Code, TorchEngine
from engines.runtime import GraphEngine

WORTH_S = 20.0
"""Who has painted for so long is likely to go on: the search takes longer, and is lost for who ends
before it."""
TRY = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
from engines import choice
model, device, threads = sys.argv[1:]
choice.known(model, device, int(threads) if threads else None)
"""
"""Ends with the process that wants to know, however that ends."""


class UndecidedEngine(TorchEngine):
    """As torch, and later as the fastest engine."""

    def __init__(self, model: str, device: str = "auto", threads: int | None = None) -> None:
        super().__init__(model, device, threads)
        self._about = model, device, threads
        self._began_s: float | None = None
        self._search: Thread | None = None
        self._taken: Engine | None = None

    def __call__(self, frames: Frames, code: Code, strength: float, keep_color: bool) -> Frames:
        """uint8 RGB (N,H,W,3) -> painted; `keep_color` takes only the brightness."""
        if (taken := self._taken) is not None:
            painted = taken(frames, its_own(taken, code), strength, keep_color)
            self.why = taken.why
            return painted
        self._began_s = self._began_s or time.monotonic()
        if self._search is None and time.monotonic() - self._began_s > WORTH_S:
            self.why = "engine torch, while the fastest for this model is found beside it, once"
            about = frames[:1].shape, code
            self._search = Thread(target=self._find, args=about, daemon=True)
            self._search.start()
        return super().__call__(frames, code, strength, keep_color)

    def settle(self) -> None:
        """Wait until another engine has taken over, or `why` says that torch stays."""
        if self._search is not None:
            self._search.join()

    def _find(self, shape: tuple[int, ...], code: Code) -> None:
        """Have the engines tried, and the fastest ready for frames of this shape."""
        try:
            tried(*self._about)
            if choice.known(*self._about)["engine"] == "torch":
                self.why = choice.known(*self._about)["why"]
                return
            taken = choice.taken(*self._about)
            taken(np.zeros(shape, np.uint8), its_own(taken, code), 1.0, False)
        except Exception as error:  # noqa: BLE001  whatever it is, torch paints on
            self.why = f"engine torch: no other can be tried ({said(error)})"
            return
        self._taken = taken


def its_own(engine: Engine, code: Code) -> Code | Arrays:
    """A code of torch, as another engine has them."""
    if isinstance(engine, GraphEngine):
        return {name: tensor.cpu().numpy() for name, tensor in code.items()}
    return code


def tried(model: str, device: str, threads: int | None) -> None:
    """Let another process find the fastest engine. RuntimeError: it fails."""
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]
    with subprocess.Popen(
        [sys.executable, "-c", TRY, model, device, str(threads or "")],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    ) as process:
        assert process.stderr
        lines = process.stderr.read().splitlines()
    if process.returncode:
        raise RuntimeError(lines[-1] if lines else f"exit code {process.returncode}")
