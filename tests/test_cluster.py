"""One film over several nodes: a real Ray cluster of two, on two loopback addresses."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import ROOT, Run
from media import video
from test_kills import children, decoded, start, wait_for

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs 127.0.0.2, and /proc"),
    pytest.mark.timeout(300),
]
SCENE = "test:size=320x180,rate=30,frames=600"
IDENTITY = (SCENE, "--model", "identity")


@contextmanager
def cluster(resource: str, count: int) -> Iterator[tuple[str, list[int]]]:
    """Its address, and the process ids of its two nodes."""
    command = [sys.executable, str(ROOT / "tests" / "cluster.py"), resource, str(count)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        try:
            address, *pids = process.stdout.readline().split()
            yield address, [int(pid) for pid in pids]
            process.communicate("", timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[str, list[int]]]:
    """Two nodes with two processors each."""
    with cluster("cpus", 2) as made:
        yield made


@pytest.fixture(scope="module")
def calm(paint: Run, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, int]]:
    out = tmp_path_factory.mktemp("calm") / "out.mp4"
    assert paint(*IDENTITY, "-o", out).returncode == 0
    return decoded(out)


def stylizers_of(node: int) -> list[int]:
    return children(node, "ray::Stylizer")


def test_stylizers_of_two_nodes_paint_one_film(
    nodes: tuple[str, list[int]], calm: list[tuple[int, int]], tmp_path: Path
) -> None:
    """From a folder that is not that of the cluster, by names that are relative to it."""
    address, pids = nodes
    video(tmp_path / "clip.mkv", 400, (160, 96))
    words = ("--model", "identity", "--stabilize", "--overwrite")
    command = [sys.executable, str(ROOT / "run_stream.py"), "clip.mkv", *words]
    joined = ["-o", "there.mkv", "--stylizers", "4", "--address", address]
    alone = subprocess.run([*command, "-o", "here.mkv"], cwd=tmp_path, timeout=120)
    assert alone.returncode == 0
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, *joined], cwd=tmp_path, stderr=pipe, text=True) as run:
        seen: set[int] = set()
        while run.poll() is None and len(seen) < 2:
            seen |= {node for node in pids if len(stylizers_of(node)) == 2}
            time.sleep(0.05)
        _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    assert "4 stylizers on 2 nodes" in said
    assert seen == {*pids}
    assert decoded(tmp_path / "there.mkv") == decoded(tmp_path / "here.mkv")


def test_a_stylizer_that_dies_on_another_node_changes_nothing(
    nodes: tuple[str, list[int]], calm: list[tuple[int, int]], tmp_path: Path
) -> None:
    address, (_, other) = nodes
    out = tmp_path / "out.mp4"
    run = start(*IDENTITY, "-o", out, "--stylizers", 2, "--address", address)
    wait_for(tmp_path / "out.part.mp4")
    for pid in stylizers_of(other):
        os.kill(pid, signal.SIGKILL)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    assert decoded(out) == calm


def test_an_address_without_a_cluster_is_said(paint: Run) -> None:
    nobody = paint(*IDENTITY, "-o", "null:", "--address", "127.0.0.1:1")
    assert nobody.returncode == 1
    assert "no Ray cluster can be joined at 127.0.0.1:1" in nobody.stderr
    wrong = paint(*IDENTITY, "-o", "null:", "--address", "ray://head")
    assert wrong.returncode == 2
    assert "HOST:PORT" in wrong.stderr


def test_gpus_are_shared_out_and_a_lost_node_is_done_without(
    calm: list[tuple[int, int]], tmp_path: Path
) -> None:
    """Nodes that say that they have a GPU each: four stylizers hold a half of one each. When one
    node is lost the others paint what its stylizers had."""
    out = tmp_path / "out.mp4"
    with cluster("gpus", 1) as (address, pids):
        run = start(*IDENTITY, "-o", out, "--stylizers", 4, "--address", address)
        wait_for(tmp_path / "out.part.mp4")
        end = time.monotonic() + 60
        while not all(len(stylizers_of(pid)) == 2 for pid in pids):
            assert time.monotonic() < end
            time.sleep(0.05)
        for pid in [*stylizers_of(pids[1]), pids[1]]:
            os.kill(pid, signal.SIGKILL)
        _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    assert decoded(out) == calm
