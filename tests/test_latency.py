"""Latency of live streams: what tells it, and what keeps it below a limit."""

import json
import os
import threading
import time
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import live
import numpy as np
import pytest
from conftest import ROOT, Run

from benchmarks.__main__ import main as benchmarks
from benchmarks.scale import sleeping
from benchmarks.steady import Watch
from engines import Frames, load_engine
from pipeline import blocks
from pipeline.control import Change, Region
from pipeline.latency import LEAST_PX, MOST_IN_A_ROW, PATIENCE_S, Governor, Size, sizes_for
from pipeline.plan import planned
from pipeline.pool import FramePool
from pipeline.queues import Ticket
from pipeline.request import StreamOptions
from pipeline.run import Pipeline
from pipeline.sources import SourceOptions, open_source
from pipeline.sources.test import read_index
from pipeline.stylizer import Look, Stylizer
from pipeline.timeline import Span, Timeline

WAVE = ROOT / "styles" / "wave.jpg"
LIMIT_S = 0.150
OTHER_S = 0.020
"""Of each frame beside painting."""


class Machine:
    """Paints for a governor on a clock of its own, `slowness` seconds a megapixel."""

    def __init__(self, slowness: float, limit_s: float = LIMIT_S) -> None:
        self.now_s, self.slowness = 0.0, slowness
        self.governor = Governor(limit_s, sizes_for(1280, 720), lambda: self.now_s)

    def run(self, seconds: float, age_s: float = 0.005) -> list[Size]:
        """The sizes at which frames were painted meanwhile."""
        painted, until_s = [], self.now_s + seconds
        while self.now_s < until_s:
            if not self.takes(age_s):
                self.now_s += 1 / 30
                continue
            size = self.governor.size
            paint_s = self.slowness * size[0] * size[1] / 1e6
            self.now_s += paint_s
            self.shows(age_s + paint_s, paint_s)
            painted.append(size)
        return painted

    def takes(self, age_s: float) -> bool:
        """Whether a frame of this age is painted."""
        return self.governor.takes(Ticket(0, 0, Fraction(1), 0, arrived_s=self.now_s - age_s))

    def shows(self, age_s: float, paint_s: float = 0.1) -> bool:
        """Whether a frame of this age that has just been painted is shown; time goes on by what
        that takes."""
        arrived_s, handed_s, size = self.now_s - age_s, self.now_s - paint_s, self.governor.size
        about = (0, 0, Fraction(1), 0, 0, arrived_s, handed_s, size, paint_s, self.now_s)
        ticket = Ticket(*about)
        shown = self.governor.shows(ticket)
        self.now_s += OTHER_S
        if shown:
            self.governor.wrote(ticket)
        else:
            self.governor.left_out(ticket)
        return shown

    def told(self) -> dict[str, Any]:
        """What the report would say."""
        return self.governor.as_dict() or {}


def test_sizes_are_what_engines_take() -> None:
    sizes = sizes_for(1280, 720)
    assert sizes[0] == (1280, 720)
    assert all(side % 16 == 0 for size in sizes[1:] for side in size)
    assert all(a[0] > b[0] and a[1] >= b[1] for a, b in pairwise(sizes))
    assert LEAST_PX - 8 <= sizes[-1][1] < LEAST_PX + 32
    assert all(abs(w / h - 16 / 9) < 0.15 for w, h in sizes)
    assert sizes_for(120, 90) == [(120, 90)]


def test_what_is_fast_enough_is_left_alone() -> None:
    machine = Machine(0.1)
    assert set(machine.run(20)) == {(1280, 720)}
    assert machine.told()["in_time"] == 1
    assert machine.governor.lowered == 0


def test_a_size_that_is_too_slow_is_lowered_at_once_and_not_further_than_needed() -> None:
    machine = Machine(0.4)  # 370 ms at full size
    painted = machine.run(6)
    settled = painted[-1]
    assert painted.index(settled) < 12
    cost_s = 0.4 * settled[0] * settled[1] / 1e6 + OTHER_S
    assert 0.5 * LIMIT_S < cost_s < LIMIT_S
    assert machine.governor.lowered <= 2


def test_it_goes_up_again_with_patience() -> None:
    machine = Machine(0.4)
    machine.run(3)
    small = machine.governor.size
    machine.run(1)
    machine.slowness = 0.07
    assert machine.run(PATIENCE_S - 3.5)[-1] == small
    machine.run(60)
    assert machine.governor.size == (1280, 720)
    assert machine.governor.raised >= 3


def test_it_does_not_swing() -> None:
    machine = Machine(0.4)
    sizes = machine.run(600)
    turns = sum(a != b for a, b in pairwise(sizes))
    assert turns < 8
    assert machine.told()["in_time"] > 0.97


def test_load_that_comes_and_goes_makes_it_more_patient() -> None:
    machine = Machine(0.4)
    for _ in range(20):
        machine.slowness = 0.1
        machine.run(10)
        machine.slowness = 0.4
        machine.run(3)
    assert machine.governor.raised < 15  # 40 and more without


def test_what_would_be_late_is_left_out_where_a_fresh_one_would_not() -> None:
    machine = Machine(0.12)  # 131 ms with everything: in time only when fresh
    machine.run(3)
    assert machine.takes(0.005)
    left = [machine.takes(0.040) for _ in range(MOST_IN_A_ROW + 1)]
    assert left == [False] * MOST_IN_A_ROW + [True]
    assert machine.governor.lowered == 0


def test_nothing_is_left_out_where_that_is_vain() -> None:
    machine = Machine(0.0001, limit_s=0.010)  # all that takes long is not painting
    assert len(machine.run(1)) > 20
    assert machine.takes(0.5)
    assert machine.governor.size == (1280, 720)
    assert machine.told()["in_time"] == 0


def test_what_became_late_while_it_was_painted_is_not_shown_but_some_is() -> None:
    machine = Machine(0.08)
    machine.run(3)
    assert machine.shows(0.14 - OTHER_S)
    assert not machine.shows(0.14)  # its way out takes OTHER_S
    assert machine.shows(0.1)
    machine.governor = Governor(LIMIT_S, [(1280, 720)], lambda: machine.now_s)
    shown = [machine.shows(1.0) for _ in range(9)]
    assert shown == 2 * ([False] * MOST_IN_A_ROW + [True]) + [True]  # then it is in vain


def test_nothing_late_comes_out_while_it_learns_how_fast_it_is() -> None:
    machine = Machine(0.4)
    machine.run(2)
    assert machine.told()["in_time"] == 1
    assert machine.governor.lowered == 1


@pytest.mark.parametrize("size", ["160x96", "320x180", "1280x720"])
def test_a_live_scene_tells_its_age_also_when_encoded(size: str, tmp_path: Path) -> None:
    with open_source(f"test:live,size={size},rate=50") as source:
        assert source.info.live
        frames = [f for _, f in zip(range(8), source.frames(), strict=False) if f]
        age = blocks.age_s(frames[-1].pixels)
        assert age is not None
        assert 0 <= age < 1
        assert abs(age - (time.monotonic() - (frames[-1].arrived_s or 0))) < 0.02
        path = tmp_path / "out.mp4"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=50)
            stream.height, stream.width = frames[0].pixels.shape[:2]
            stream.options = {"crf": "35"}
            for frame in frames:
                out.mux(stream.encode(av.VideoFrame.from_ndarray(frame.pixels, "rgb24")))
            out.mux(stream.encode(None))
    with av.open(str(path)) as film:
        seen = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
    now_s = time.time()
    later = [blocks.age_s(pixels, now_s) for pixels in seen]
    before = [blocks.age_s(frame.pixels, now_s) for frame in frames]
    assert later == before
    assert [read_index(p) for p in seen] == [read_index(f.pixels) for f in frames]


def test_a_live_scene_drops_what_nobody_took() -> None:
    with open_source("test:live,size=64x64,rate=50,frames=50") as source:
        frames = source.frames()
        first, before = next(frames), source.dropped
        time.sleep(0.3)
        late = next(frames)
        assert first
        assert late
        assert late.index == first.index + 1
        assert 0.28 < late.time_s - first.time_s < 0.6
        assert source.dropped["newer"] - before["newer"] >= 13
        assert blocks.age_s(late.pixels) is None  # too small for it
        assert len(list(frames)) < 40  # it ends


def test_a_picture_has_no_age() -> None:
    with open_source("test:size=320x180,frames=3", SourceOptions()) as source:
        assert [blocks.age_s(f.pixels) for f in source.frames() if f] == [None] * 3


def test_a_stream_that_is_painted_too_slowly_is_painted_smaller(paint: Run, tmp_path: Path) -> None:
    alone_s = painting_s(384, 640)
    limit_ms = max(30, round(500 * alone_s))
    camera = live.start()
    out, report = tmp_path / "out.mkv", tmp_path / "report.json"
    try:
        done = paint(
            f"http://127.0.0.1:{camera.server_port}/video", "--style", WAVE, "--size", "384",
            "--device", "cpu", "--engine", "torch", "--max-latency", f"{limit_ms}ms",
            "--end", "10", "-o", out, "--report", report, "--log", "json",
        )  # fmt: skip
    finally:
        camera.stop()
    assert done.returncode == 0, done.stderr
    told = json.loads(report.read_text())
    held = told["max_latency"]
    assert held["limit_ms"] == limit_ms
    assert held["lowered"] >= 1
    assert held["of"] == "640x384"
    assert int(held["smallest"].split("x")[0]) < 640
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert any(line["message"].startswith("painted at ") for line in said)
    assert told["frames_in"] == told["frames_out"]
    assert told["drops"]["newer"] > 0
    with av.open(str(out)) as film:
        frames = list(film.decode(video=0))
    assert {(f.width, f.height) for f in frames} == {(640, 384)}
    assert len(frames) == told["frames_out"]


def painting_s(height: int, width: int) -> float:
    """What one frame takes on this machine at best: processor time, shared out among all cores."""
    cores = os.cpu_count() or 1
    engine = load_engine("compact", "cpu", 1, "torch")
    code = engine.encode_style(np.full((64, 64, 3), 128, np.uint8))
    times = []
    for _ in range(3):
        began = time.process_time()
        engine(np.zeros((1, height, width, 3), np.uint8), code, 1.0, False)
        times.append(time.process_time() - began)
    return min(times) / cores


def test_behind_a_slow_stylizer_it_stays_as_late_as_it_began() -> None:
    watch = Watch(window_s=2.0)
    source = "test:live,size=160x96,rate=50,duration=14"
    options = StreamOptions(model="identity", output=["null:"])
    with planned(source, options) as plan:
        slow = replace(plan, stylizer=sleeping(0.15 / (160 * 96 / 1e6)))
        with Pipeline(slow, watch) as pipeline:
            pipeline.run()
    assert pipeline.report.drops["newer"] > 5 * pipeline.report.frames_out
    # Were frames to queue, it would grow by 0.87 s each second.
    assert watch.windows[-1] < watch.windows[1] + 500


def test_what_is_left_out_after_painting_leaves_no_gap_in_the_film(tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    options = StreamOptions(model="identity", output=[str(out)], max_latency=0.3)
    with planned("test:live,size=640x360,rate=30,duration=8", options) as plan:
        slow = replace(plan, stylizer=sleeping(0.8 / (640 * 360 / 1e6)))
        with Pipeline(slow, lambda _: None) as pipeline:
            pipeline.run()
    report = pipeline.report
    assert report.drops["late"] >= 2
    assert report.frames_in == report.frames_out
    with av.open(str(out)) as film:
        times = [frame.time for frame in film.decode(video=0)]
    assert len(times) == report.frames_out
    assert times[0] == 0
    assert times == sorted(set(times))


def test_what_makes_no_sense_as_a_limit(paint: Run) -> None:
    film = paint("test:frames=2", "--model", "identity", "-o", "null:", "--max-latency", "150ms")
    assert film.returncode == 2
    assert "for live inputs" in film.stderr
    number = paint("test:live", "--model", "identity", "-o", "null:", "--max-latency", "150")
    assert "150ms or 0.5s" in number.stderr


class Slow:
    """An engine that makes a style ready only while it may."""

    def __init__(self, *about: Any) -> None:
        self._engine, self.may = load_engine(*about), threading.Event()
        self.may.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def __call__(self, *frames: Any) -> Frames:
        return self._engine(*frames)

    def encode_style(self, style: Any) -> Any:
        assert self.may.wait(60)
        return self._engine.encode_style(style)


def test_a_style_that_is_made_ready_holds_up_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Slow("compact", "cpu", 1, "torch")
    monkeypatch.setattr("pipeline.stylizer.engine_of", lambda *_: engine)
    first, second, frame = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    always = Timeline([(Span(), 1.0)])
    look = Look("compact", "cpu", [first], ["first"], always, [], 1.0, False, 1, "torch")
    with closing(FramePool.create(2, 64, 64)) as pool:
        stylizer = Stylizer(pool.handle, look)
        stylizer.open()
        pool[0][:] = frame

        def painted(index: int) -> np.ndarray:
            stylizer.stylize([Ticket(index, index, Fraction(1, 25), 0)], [1])
            return pool[1].copy()

        before = painted(0)
        engine.may.clear()
        region = Region("0", None, {"second": 1.0})
        stylizer.adjust(Change((region,), 1.0, False, pictures={"second": second}))
        assert all(np.array_equal(painted(i), before) for i in range(1, 4))
        engine.may.set()
        until_s = time.monotonic() + 60
        while np.array_equal(after := painted(4), before):
            assert time.monotonic() < until_s
        assert np.array_equal(painted(5), after)


def test_the_benchmarks_say_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks(["--help"]) == 0
    assert "NAME: stream, latency" in capsys.readouterr().out
    assert benchmarks(["speed"]) == 2
    assert "there is stream, latency" in capsys.readouterr().err
