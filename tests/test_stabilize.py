"""--stabilize: flicker goes, things that move leave nothing behind, cuts stay cuts."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import ROOT, Run

from pipeline.frame import Pixels
from pipeline.sources import open_source
from pipeline.stabilize import Stabilizer

NOISE = 12


def scene(frames: int, size: str = "480x270", first: int = 0) -> list[Pixels]:
    """A moving camera, with a disc and a box that move otherwise."""
    with open_source(f"test:size={size},frames={first + frames}") as source:
        return [f.pixels for f in source.frames(first) if f]


def flickering(frames: list[Pixels], seed: int = 1) -> list[Pixels]:
    """As a painter without memory would: each frame with patches of its own."""
    rng = np.random.default_rng(seed)
    painted = []
    for frame in frames:
        height, width = frame.shape[:2]
        patches = rng.normal(0, NOISE, (height // 6 + 1, width // 6 + 1, 3))
        noise = patches.repeat(6, 0).repeat(6, 1)[:height, :width]
        painted.append((frame + noise).clip(0, 255).astype(np.uint8))
    return painted


def apart(a: Pixels, b: Pixels) -> np.ndarray:
    """Mean absolute difference of each pixel."""
    return np.abs(a.astype(float) - b.astype(float)).mean(-1)


@pytest.mark.parametrize("moves", [False, True])
def test_flicker_goes_and_the_picture_stays(moves: bool) -> None:
    content = scene(20) if moves else scene(1) * 20
    painted = flickering(content)
    stabilizer = Stabilizer()
    output = [stabilizer(c, p, (1,)) for c, p in zip(content, painted, strict=True)]
    assert np.array_equal(output[0], painted[0])
    told = stabilizer.take_flicker()
    assert told is not None
    assert told.painted > 8
    assert told.output < 0.4 * told.painted
    # What is left of the patches is less, for they cancel out; nothing is smeared.
    error = [apart(c, o).mean() for c, o in zip(content, output, strict=True)]
    assert error[-1] < 0.65 * error[0]


def test_what_moves_leaves_nothing_behind() -> None:
    content = scene(16, first=20)
    stabilizer = Stabilizer()
    output = [stabilizer(c, c, (1,)) for c in content]
    assert stabilizer.take_flicker() is not None
    for before, now, out in zip(content, content[1:], output[1:], strict=False):
        moved_away = (apart(before, now) > 60) & (apart(content[0], now) > 20)
        assert moved_away.sum() > 200
        assert apart(now, out)[moved_away].mean() < 8


def test_a_cut_stays_a_cut() -> None:
    first, second = scene(6), scene(6, first=110)
    content = [*first, *(255 - frame for frame in second)]
    painted = flickering(content)
    stabilizer = Stabilizer()
    for i, (unpainted, frame) in enumerate(zip(content, painted, strict=True)):
        output = stabilizer(unpainted, frame, (1,))
        assert np.array_equal(output, frame) == (i in (0, 6))
        assert (stabilizer.take_flicker() is None) == (i not in (1, 5, 7, 11))


def test_another_look_is_seen_at_once() -> None:
    content = scene(8)
    stabilizer = Stabilizer()
    for i, frame in enumerate(content):
        painted = frame if i < 5 else 255 - frame
        output = stabilizer(frame, painted, (1, 0) if i < 5 else (0, 1))
        assert np.array_equal(output, painted) == (i in (0, 5))


def test_light_that_goes_on_is_seen_at_once() -> None:
    content = [*scene(1) * 5, *[frame // 2 + 120 for frame in scene(1)]]
    dark, lit = content[0].copy(), content[0].copy()
    lit[60:200, 100:300] = lit[60:200, 100:300] // 2 + 127
    stabilizer = Stabilizer()
    for _ in range(5):
        stabilizer(dark, dark, (1,))
    output = stabilizer(lit, lit, (1,))
    change = apart(lit, dark)[80:180, 120:280].mean()
    assert apart(output, lit)[80:180, 120:280].mean() < 0.1 * change


def test_sizes_may_be_odd() -> None:
    content = [frame[:61, :47] for frame in scene(3)]
    stabilizer = Stabilizer()
    for frame in content:
        assert stabilizer(frame, frame, (1,)).shape == frame.shape


def test_a_film_comes_out_calmer(paint: Run, tmp_path: Path) -> None:
    source, report = tmp_path / "noisy.mkv", tmp_path / "report.json"
    still = scene(1, "160x96")[0]
    rng = np.random.default_rng(5)
    with av.open(str(source), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "bgr0"
        for _ in range(30):
            noisy = (still + rng.normal(0, 3, still.shape)).clip(0, 255).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, "rgb24")))
        out.mux(stream.encode(None))
    done = paint(
        *(source, "--model", "identity", "--stabilize", "--stylizers", "2"),
        *("-o", tmp_path / "out.mkv", "--codec", "ffv1", "--report", report),
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(report.read_text())
    assert told["flicker"]["output"] < 0.4 * told["flicker"]["painted"]
    assert "flicker, of 255" in done.stderr
    changes = [steps(tmp_path / name) for name in ("noisy.mkv", "out.mkv")]
    assert len(changes[1]) == 29
    assert np.mean(changes[1][10:]) < 0.4 * np.mean(changes[0][10:])


def test_who_watches_sees_how_much_it_flickers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    source = "test:live,size=160x96,rate=25,duration=60"
    words = ("--model", "identity", "--stabilize", "-o", f"web:{port}")
    command = [sys.executable, ROOT / "run_stream.py", source, *words]
    run = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    figures: dict[str, float] = {}
    try:
        while "flicker_output" not in figures:
            assert run.poll() is None, run.communicate()[1]
            time.sleep(0.2)
            with suppress(OSError):
                state = urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5)
                figures = json.load(state)["figures"]
    finally:
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
    assert 0 < figures["flicker_output"] <= figures["flicker_painted"] < 255


def steps(path: Path) -> list[float]:
    """How much each frame differs from the one before."""
    with av.open(str(path)) as film:
        frames = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
    return [float(apart(a, b).mean()) for a, b in pairwise(frames)]
