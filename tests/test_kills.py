"""Stages killed with SIGKILL, interrupted runs, errors inside: what comes out, and what is left."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import av
import pytest
from conftest import ROOT, Run

SCENE = "test:size=320x180,rate=30,frames=1500"
GOP = 60


def processes() -> dict[int, tuple[str, int]]:
    """Every process: command line and parent."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        found[int(entry.name)] = (command, parent)
    return found


def children(of: int, start: str = "") -> list[int]:
    """Processes below `of` whose command line begins with `start`."""
    all_of_them = processes()

    def below(pid: int) -> bool:
        while pid in all_of_them:
            pid = all_of_them[pid][1]
            if pid == of:
                return True
        return False

    return [p for p, (command, _) in all_of_them.items() if command.startswith(start) and below(p)]


def start(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "run_stream.py"), *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(path: Path, limit_s: float = 40, bytes_: int = 20_000) -> None:
    """Until the output has begun to grow."""
    end = time.monotonic() + limit_s
    while not (path.exists() and path.stat().st_size > bytes_):
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.02)


def decoded(path: Path) -> list[tuple[int, int]]:
    """Time stamp and checksum of every frame."""
    with av.open(str(path)) as container:
        return [(f.pts, hash(f.to_ndarray().tobytes())) for f in container.decode(video=0)]


@pytest.fixture(scope="module")
def calm(paint: Run, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, int]]:
    out = tmp_path_factory.mktemp("calm") / "out.mp4"
    assert paint(SCENE, "--model", "identity", "-o", out).returncode == 0
    return decoded(out)


pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes in /proc")


@pytest.mark.parametrize("stage", ["Reader", "Stylizer", "Writer"])
def test_a_killed_stage_changes_nothing(
    stage: str, calm: list[tuple[int, int]], tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    run = start(SCENE, "--model", "identity", "-o", out)
    wait_for(tmp_path / "out.part.mp4")
    for _ in range(2):
        for pid in children(run.pid, f"ray::{stage}"):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.7)
    _, said = run.communicate(timeout=90)
    assert run.returncode == 0, said
    assert f"started again: {stage}" in said
    assert decoded(out) == calm
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.mp4"]


def test_several_stylizers_share_a_stream_in_order(
    paint: Run, calm: list[tuple[int, int]], tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    done = paint(SCENE, "--model", "identity", "--stylizers", "3", "-o", out)
    assert done.returncode == 0, done.stderr
    assert decoded(out) == calm


def test_killing_the_program_leaves_a_playable_file(
    calm: list[tuple[int, int]], tmp_path: Path
) -> None:
    run = start(SCENE, "--model", "identity", "-o", tmp_path / "out.mp4")
    part = tmp_path / "out.part.mp4"
    wait_for(part, bytes_=400_000)  # some GOPs, however slow the machine
    family = children(run.pid)
    os.killpg(run.pid, signal.SIGKILL)
    for pid in family:
        with suppress(ProcessLookupError):  # it may have ended with the others
            os.kill(pid, signal.SIGKILL)
    run.communicate(timeout=30)
    saved = decoded(part)
    whole = len(saved) // GOP * GOP
    assert whole >= GOP
    assert saved[:whole] == calm[:whole]


@pytest.mark.parametrize(
    ("number", "times"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGINT, 2)]
)
def test_an_interrupted_run_completes_its_file(
    number: signal.Signals, times: int, calm: list[tuple[int, int]], tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    run = start(SCENE, "--model", "identity", "-o", out)
    wait_for(tmp_path / "out.part.mp4")
    began = time.monotonic()
    for _ in range(times):
        os.killpg(run.pid, number) if number == signal.SIGINT else run.send_signal(number)
        time.sleep(0.1)
    _, said = run.communicate(timeout=30)
    assert run.returncode == 130, said
    assert "Traceback" not in said
    assert time.monotonic() - began < 10
    saved = decoded(out)
    whole = len(saved) // GOP * GOP
    assert [pts for pts, _ in saved] == [pts for pts, _ in calm[: len(saved)]]
    assert saved[:whole] == calm[:whole]
    assert 0 < len(saved) < len(calm)
    with av.open(str(out)) as film:  # the sound ends with the pictures
        lasts = [float(s.duration * s.time_base) for s in film.streams]
    assert max(lasts) - min(lasts) < 0.2


def test_an_error_in_a_stage_ends_the_run_and_leaves_nothing_behind(tmp_path: Path) -> None:
    # The output folder vanishes under the writer: the next picture cannot be written.
    out = tmp_path / "out"
    run = start(SCENE, "--model", "identity", "-o", f"{out}/")
    end = time.monotonic() + 40
    while not list(out.glob("*.png")):
        assert time.monotonic() < end
        time.sleep(0.02)
    began = time.monotonic()
    out.rename(tmp_path / "moved")
    out.touch()
    _, said = run.communicate(timeout=30)
    assert run.returncode == 1
    assert time.monotonic() - began < 8
    assert said.strip().splitlines()[-1].startswith("error: ")
    assert not children(run.pid)
    assert len(list((tmp_path / "moved").glob("*.png"))) > 0
