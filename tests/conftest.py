"""Shared by all tests: the command as a user runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engines import choice

ROOT = Path(__file__).parents[1]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def paint() -> Run:
    """`paint(*words)` runs run_stream.py with these words and returns what it said."""

    def run(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "run_stream.py"), *map(str, words)]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    choice.known("compact", "auto", os.cpu_count())  # or each run would try engines beside itself
    return run


@pytest.fixture(scope="session")
def cosine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The weights of a small AdaAttN with cosine attention: one file for all tests, as the name of
    a graph tells files apart, and making its graphs takes half a minute."""
    from fresh import weights

    return weights(tmp_path_factory.mktemp("fresh"), "adaattn", width=0.125)
