"""Whatever dies, however often: the output is that of a calm run. One small case always, many kills
by `make chaos`; CHAOS_SEED picks other moments."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import live
import pytest
from conftest import ROOT, Run
from test_kills import children, decoded, processes, start, wait_for

from pipeline.sources import open_source

FRAMES = 1000
SCENE = f"test:size=320x180,rate=30,frames={FRAMES}"
SEED = int(os.environ.get("CHAOS_SEED", "1"))
STAGES = ("Reader", "Stylizer", "Writer")
MOST_S = 5.0
"""Of a stall, and from the wish to end until the output is complete."""

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes in /proc")


def hurt(source: str, out: Path, kills: int, *who: str) -> dict[str, Any]:
    """A run in which each of `who` is killed so often -> what it says of itself."""
    command = [sys.executable, str(ROOT / "tests" / "chaos.py"), source, str(out)]
    words = [str(SEED), str(kills), *who]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    about: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    until = time.monotonic() + 10
    while (left := set(about["family"]) & processes().keys()) and time.monotonic() < until:
        time.sleep(0.1)
    about["orphans"] = sorted(left)
    count, stall_s = len(about["killed"]), about["stall_s"]
    print(f"{'/'.join(who)} killed {count} times, longest stall {stall_s} s")
    return about


@pytest.fixture(scope="module")
def calm(paint: Run, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, int]]:
    out = tmp_path_factory.mktemp("calm") / "out.mp4"
    assert paint(SCENE, "--model", "identity", "-o", out).returncode == 0
    frames = decoded(out)
    assert len(frames) == FRAMES
    return frames


def check(about: dict[str, Any], out: Path, calm: list[tuple[int, int]]) -> None:
    assert decoded(out) == calm
    assert about["orphans"] == []
    assert about["shared"] == []
    assert os.listdir(out.parent) == [out.name]


def test_ray_itself_may_die(calm: list[tuple[int, int]], tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    about = hurt(SCENE, out, 1, "raylet")
    assert about["restarts"] == {"Ray": 1}
    check(about, out, calm)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_end_at_any_moment_leaves_a_complete_file(
    number: signal.Signals, tmp_path: Path
) -> None:
    """Of a model that takes its time."""
    chance, took_s = random.Random(SEED), []
    scene = "test:size=640x360,rate=30,frames=3000"
    for place in range(5):
        out = tmp_path / f"{place}.mp4"
        run = start(scene, "--style", ROOT / "styles" / "wave.jpg", "-o", out)
        wait_for(tmp_path / f"{place}.part.mp4", bytes_=1)
        time.sleep(chance.uniform(0, 6))
        began = time.monotonic()
        os.killpg(run.pid, number) if number == signal.SIGINT else run.send_signal(number)
        while not out.exists() and run.poll() is None:
            time.sleep(0.01)
        took_s.append(time.monotonic() - began)
        _, said = run.communicate(timeout=60)
        assert run.returncode == 130, said
        assert decoded(out)
    print(f"{number.name}: complete after {', '.join(f'{s:.1f}' for s in took_s)} s")
    assert max(took_s) <= MOST_S


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("stage", STAGES)
def test_ten_kills_of_a_stage(stage: str, calm: list[tuple[int, int]], tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    about = hurt(SCENE, out, 10, stage)
    assert about["restarts"] == {stage: 10}
    assert about["stall_s"] <= MOST_S
    check(about, out, calm)


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_all_of_them_and_ray(calm: list[tuple[int, int]], tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    about = hurt(SCENE, out, 3, *STAGES, "raylet")
    assert about["restarts"]["Ray"] == 1
    assert about["stall_s"] <= MOST_S
    check(about, out, calm)


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_live_stream_shows_no_frame_twice(tmp_path: Path) -> None:
    server = live.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/video"
        about = hurt(url, tmp_path / "out.mkv", 2, *STAGES)
    finally:
        server.stop()
    assert len(about["killed"]) == 6
    with open_source(str(tmp_path / "out.mkv")) as source:
        times = [frame.time_s for frame in source.frames()]
    gaps = [b - a for a, b in pairwise(times)]
    assert min(gaps) > 0
    # Beside the stall: what a killed writer held, of which at most a GOP of two seconds is lost.
    assert max(gaps) < 1.1 * about["stall_s"] + 2
    assert about["orphans"] == []


def kill_everything(out: Path, part: Path, wait_s: float) -> None:
    """A run that has begun to write is killed with all its processes."""
    run = start(SCENE, "--model", "identity", "--overwrite", "-o", out)
    wait_for(part)
    time.sleep(wait_s)
    for pid in [run.pid, *children(run.pid)]:
        if pid in processes():
            os.kill(pid, signal.SIGKILL)
    run.communicate(timeout=30)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_twenty_kills_of_everything_leave_a_playable_file(
    calm: list[tuple[int, int]], tmp_path: Path
) -> None:
    chance, compared = random.Random(SEED), 0
    for _ in range(20):
        out, part = tmp_path / "out.mp4", tmp_path / "out.part.mp4"
        kill_everything(out, part, chance.uniform(0, 3))
        left = out if out.exists() else part
        saved = decoded(left)
        whole = len(saved) // 60 * 60
        noted = [json.loads(n) for n in (tmp_path / "out.mp4.journal").read_text().splitlines()]
        assert len(saved) >= max((n.get("frames", 0) for n in noted), default=0) - 60
        assert saved[:whole] == calm[:whole]
        assert saved
        compared += whole
        for path in tmp_path.iterdir():
            path.unlink()
    assert compared
