"""--resume: a job that ended in any way goes on, and the result is that of a calm run."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Run
from test_kills import children, decoded, processes, start, wait_for
from test_sinks import packets, times

import models
from pipeline.errors import ConfigError, SinkError
from pipeline.job import Job, differences, job_of
from pipeline.pool import FramePool
from pipeline.queues import Ticket
from pipeline.request import StreamOptions
from pipeline.sinks import SinkOptions, journals, open_sink, prepare
from pipeline.sinks._journal import Journal, Piece
from pipeline.sources import SourceOptions, open_source
from pipeline.stages import Writer
from tests import media

SCENE = "test:size=320x180,rate=30,frames=600"
SMALL = "test:size=160x96,rate=20,frames=100"
OPTIONS = StreamOptions(model="identity")


def job(**changes: object) -> Job:
    return job_of(SMALL, replace(OPTIONS, **changes), [])


def paint_small(
    out: Path, stop: int | None = None, killed: bool = False, ended: bool = True
) -> int:
    """Source to sink as a run would; an error or a kill after `stop` frames. -> frames painted."""
    options = SinkOptions(resume=True, job=job())
    prepare(str(out), options)
    with open_source(SMALL) as source, open_sink(str(out), source.info, options) as sink:
        begun = sink.next_index
        for frame in source.frames(begun):
            if frame.index == stop and killed:
                os.kill(os.getpid(), signal.SIGKILL)
            if frame.index == stop:
                return frame.index - begun
            sink.write(frame)
        sink.finish()
    for journal in journals([str(out)]) if ended else []:
        journal.remove()
    return 100 - begun


def kill_small(out: Path, stop: int) -> None:
    """The same in a child that is killed after `stop` frames."""
    call = f"paint_small(Path({str(out)!r}), {stop}, True)"
    code = f"from pathlib import Path; from tests.test_resume import paint_small; {call}"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    command = [sys.executable, "-c", code]
    child = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert child.returncode == -signal.SIGKILL


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes in /proc")
def test_killed_then_interrupted_then_completed(paint: Run, tmp_path: Path) -> None:
    calm, out, report = (tmp_path / name for name in ("calm.mp4", "out.mp4", "report.json"))
    words = [SCENE, "--model", "identity", "-o"]
    assert paint(*words, calm).returncode == 0
    run = start(*words, out)
    wait_for(tmp_path / "out.part.mp4", bytes_=60_000)
    family = [run.pid, *children(run.pid)]
    for pid in family:
        if pid in processes():
            os.kill(pid, signal.SIGKILL)
    run.communicate(timeout=30)

    refused = paint(*words, out)
    assert refused.returncode == 1
    assert "--resume goes on" in refused.stderr
    changed = paint(*words, out, "--resume", "--quality", "30")
    assert changed.returncode == 2
    assert "--quality was not given, is 30" in changed.stderr
    assert (tmp_path / "out.part.mp4").exists()

    run = start(*words, out, "--resume")
    wait_for(next(iter(tmp_path.glob("out.part*.mp4"))), bytes_=1)
    while len(list(tmp_path.glob("out.part*.mp4"))) < 2 and run.poll() is None:
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130, said
    assert "--resume" in said
    there = len(times(out))
    assert 60 <= there < 600

    done = paint(*words, out, "--resume", "--report", report)
    assert done.returncode == 0, done.stderr
    assert packets(out) == packets(calm)
    told = json.loads(report.read_text())
    assert told["resumed_at"] == there // 60 * 60
    assert told["stages"]["Stylizer"]["frames"] == 600 - told["resumed_at"]
    assert sorted(os.listdir(tmp_path)) == ["calm.mp4", "out.mp4", "report.json"]


def test_two_runs_never_write_one_file(paint: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    words = ["test:size=64x48,rate=25,frames=100000", "--model", "identity", "-o", out]
    run = start(*words)
    wait_for(tmp_path / "out.part.mp4", bytes_=1)
    for how in ("--overwrite", "--resume"):
        other = paint(*words, how)
        assert other.returncode == 1
        assert f"{out} is being written by another run" in other.stderr
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130, said
    assert times(out)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own with little room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk of this size can be mounted here, which needs root: {error}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_full_disk_is_said_and_gone_on_from(
    paint: Run, tmp_path: Path, small_disk: Path, suffix: str
) -> None:
    calm, out = tmp_path / f"calm.{suffix}", small_disk / f"out.{suffix}"
    words = [SCENE, "--model", "identity", "--resume", "-o"]
    assert paint(*words, calm).returncode == 0
    full = paint(*words, out)
    assert full.returncode == 1
    assert "the disk is full" in full.stderr.splitlines()[-1]
    assert "--resume goes on with it" in full.stderr.splitlines()[-1]
    part = small_disk / f"out.part.{suffix}"
    whole = len(times(part)) // 60 * 60
    assert whole >= 60
    assert decoded(part)[:whole] == decoded(calm)[:whole]
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    done = paint(*words, out)
    assert done.returncode == 0, done.stderr
    assert "went on at frame" in done.stderr
    assert packets(out) == packets(calm)
    assert os.listdir(small_disk) == [out.name]


def test_without_room_for_a_copy_the_index_stays_where_it_is(
    paint: Run, tmp_path: Path, small_disk: Path
) -> None:
    calm, out = tmp_path / "calm.mp4", small_disk / "out.mp4"
    words = [SCENE.replace("600", "250"), "--model", "identity", "-o"]
    assert paint(*words, calm).returncode == 0
    assert 150_000 < calm.stat().st_size < 290_000
    done = paint(*words, out)
    assert done.returncode == 0, done.stderr
    assert "its index stays at its end (No space left on device)" in done.stderr
    assert packets(out) == packets(calm)
    assert os.listdir(small_disk) == [out.name]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("end", ["kill", "error"])
def test_a_power_cut_costs_what_was_not_forced_to_the_disk(
    tmp_path: Path, suffix: str, end: str
) -> None:
    calm, out = tmp_path / f"calm.{suffix}", tmp_path / f"out.{suffix}"
    paint_small(calm)
    kill_small(out, 95) if end == "kill" else paint_small(out, 95)
    part, journal = out.with_name(f"out.part.{suffix}"), out.with_name(f"{out.name}.journal")
    lines = journal.read_text().splitlines()
    boots = [json.loads(line).get("boot") for line in lines]
    assert boots[0] is None
    safe = json.loads(lines[-1])
    with part.open("rb+") as file:  # what the disk did not get in time comes back as zeros
        file.seek(safe["size"])
        file.write(bytes(part.stat().st_size - safe["size"]))
    text = journal.read_text().replace(safe["boot"] or "-", "an earlier one")
    journal.write_text(text + text.splitlines()[-1][:25])
    painted = paint_small(out)
    assert painted <= 100 - safe["frames"] + 40
    assert packets(out) == packets(calm)
    assert sorted(os.listdir(tmp_path)) == sorted([calm.name, out.name])


def test_whatever_is_lost_besides_the_journal_is_painted_again(tmp_path: Path) -> None:
    calm, out = tmp_path / "calm.mp4", tmp_path / "out.mp4"
    paint_small(calm)
    paint_small(out, 95)
    out.with_name("out.part.mp4").unlink()
    assert paint_small(out) == 100
    out.unlink()
    paint_small(out, 95)
    out.with_name("out.part.mp4").write_bytes(b"nothing of ours" * 1000)
    assert paint_small(out) == 100
    assert packets(out) == packets(calm)


def test_what_has_changed_is_named(tmp_path: Path) -> None:
    out, style = tmp_path / "out.mp4", tmp_path / "style.jpg"
    style.write_bytes((ROOT / "styles" / "ink.jpg").read_bytes())
    painted = replace(OPTIONS, model="compact", style=[str(style)])
    before = job_of(SMALL, painted, [str(style)])
    options = SinkOptions(resume=True, job=before)
    with open_source(SMALL) as source, open_sink(str(out), source.info, options) as sink:
        for frame in source.frames():
            sink.write(frame)
    prepare(str(out), options)
    cases = [
        (SMALL, replace(painted, strength=0.5), "--strength was 1.0, is 0.5"),
        (SMALL, replace(painted, fps=Fraction(25)), "--fps was not given, is 25"),
        (SMALL, replace(painted, preserve_color=True), "--preserve-color was False, is True"),
        ("test:frames=1", painted, "input was test:size"),
    ]
    for source_text, changed, line in cases:
        now = job_of(source_text, changed, [str(style)])
        with pytest.raises(ConfigError, match=line):
            prepare(str(out), replace(options, job=now))
    style.write_bytes((ROOT / "styles" / "wave.jpg").read_bytes())
    with pytest.raises(ConfigError, match=r"style\.jpg holds something else now"):
        prepare(str(out), replace(options, job=job_of(SMALL, painted, [str(style)])))
    with pytest.raises(SinkError, match="--resume goes on, --overwrite begins anew"):
        prepare(str(out), replace(options, resume=False))
    prepare(str(out), replace(options, resume=False, overwrite=True))
    assert os.listdir(tmp_path) == ["style.jpg"]


def test_other_parts_of_models_are_another_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "FOLDER", tmp_path)
    part = tmp_path / "weights/parts/vgg_narrow.safetensors"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"before")
    before = job(model="adaattn")
    part.write_bytes(b"after")
    assert differences(before, job(model="adaattn")) == ["weights/parts holds something else now"]


@pytest.mark.parametrize("name", ["shots", "shots/*.bmp", "shots/%d.bmp"])
def test_other_pictures_under_the_same_names_are_another_job(name: str, tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    jobs = []
    for level in (0, 255):
        for i in range(3):
            (tmp_path / f"shots/{i}.bmp").write_bytes(bytes([level]) * 300_000)
        jobs.append(job_of(str(tmp_path / name), OPTIONS, []))
    (said,) = differences(*jobs)
    assert said == f"{tmp_path / name} holds something else now"
    (tmp_path / "shots/out.part.mp4").touch()  # what is painted may lie beside them
    assert job_of(str(tmp_path / name), OPTIONS, []) == jobs[-1]


@pytest.mark.parametrize("line", ['{"part": 0}', "5", "[" * 5000, '{"job": 1}', '{"part": []}'])
def test_a_damaged_journal_is_read_as_far_as_it_makes_sense(line: str, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "out.mp4")
    journal.begin(job())
    piece = Piece(0, 60, 0, 59, 1000, "")
    journal.note(piece)
    journal.path.write_text(journal.path.read_text() + line + "\n")
    assert journal.pieces() == [piece]
    journal.path.write_text(line)
    assert not journal


def test_pictures_that_are_there_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = SinkOptions(resume=True, job=job())
    text = f"{out}/"
    prepare(text, options)
    with open_source(SMALL) as source:
        sink = open_sink(text, source.info, options)
        for frame in source.frames():
            if frame.index < 20:
                sink.write(frame)
        whole = out / "000018.png"
        last = out / "000019.png"
        last.write_bytes(last.read_bytes()[:300])
        made = whole.stat().st_mtime_ns
        with pytest.raises(ConfigError, match="--size was not given, is 48"):
            prepare(text, replace(options, job=job(size=48)))
        prepare(text, options)
        assert open_sink(text, source.info, options).next_index == 19
        assert whole.stat().st_mtime_ns == made


def test_a_kill_while_the_index_is_moved_loses_nothing(tmp_path: Path) -> None:
    calm, out = tmp_path / "calm.mp4", tmp_path / "out.mp4"
    paint_small(calm)
    paint_small(out, 95)
    out.with_name("out.part-front.mp4").write_bytes(calm.read_bytes()[:5000])
    assert paint_small(out) == 100 - 80
    assert packets(out) == packets(calm)
    assert sorted(os.listdir(tmp_path)) == [calm.name, out.name]
    out.with_name("out.part-front.mp4").touch()
    prepare(str(out), SinkOptions(overwrite=True))
    assert sorted(os.listdir(tmp_path)) == [calm.name, out.name]


def test_a_kill_in_the_middle_of_joining_loses_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    paint_small(out, 75)
    paint_small(out, 97)
    first, second = sorted(tmp_path.glob("out.part*.mp4"), key=lambda p: len(p.name))
    whole = second.read_bytes()
    paint_small(out, ended=False)
    second.write_bytes(whole)  # the file has its name, one part is not yet removed
    assert paint_small(out) == 100 - 80
    assert len(times(out)) == 100
    assert not first.exists()
    assert not second.exists()


@pytest.mark.parametrize(
    "options",
    [SourceOptions(), SourceOptions(fps=Fraction(30)), SourceOptions(start_s=2, end_s=9)],
    ids=["as it is", "resampled", "cut"],
)
@pytest.mark.parametrize("ticks", [None, "uneven"])
def test_seeking_leads_to_the_same_frames(
    tmp_path: Path, options: SourceOptions, ticks: str | None
) -> None:
    steps = np.random.default_rng(1).integers(1, 90, 250)
    pts = None if ticks is None else [int(t) for t in np.cumsum(steps)]
    clip = media.video(
        tmp_path / "a.mkv", 250, pts=pts, time_base=Fraction(1, 1000) if pts else None, gop=30
    )
    with open_source(str(clip), options) as source:
        calm = list(source.frames())
        for start in (1, 40, 97, len(calm) - 1, len(calm)):
            again = list(source.frames(start, calm[start - 1].pts))
            assert [(f.index, f.pts) for f in again] == [(f.index, f.pts) for f in calm[start:]]
            assert all(
                np.array_equal(a.pixels, b.pixels) for a, b in zip(again, calm[start:], strict=True)
            )


def stabilized(out: Path, kills: Sequence[int]) -> list[np.ndarray]:
    """Flickering frames through writers that stabilize, of which some are left dead -> pixels."""
    options = SinkOptions("ffv1", resume=True, job=job())
    with open_source(SMALL) as source:
        frames = list(source.frames())
        info = source.info
    pool = FramePool.create(2, info.height, info.width, 1)
    noise = np.random.default_rng(2)
    painted = [f.pixels ^ noise.integers(0, 8, f.pixels.shape, np.uint8) for f in frames]
    prepare(str(out), options)
    for stop in (*kills, 100):
        writer = Writer(pool.handle, [str(out)], info, options, 0, True)
        begin = writer.open().next_index
        for frame in frames[begin:stop]:
            pool[0][:], pool[1][:] = painted[frame.index], frame.pixels
            writer.write([Ticket(frame.index, frame.pts, frame.time_base, 0)])
        writer.abandon() if stop < 100 else writer.finish()
    pool.close()
    with open_source(str(out)) as source:
        return [frame.pixels for frame in source.frames()]


@pytest.fixture
def limits() -> Iterator[None]:
    """A writer limits its process, which is not one of its own here: later tests would inherit
    that, and Chromium does not even start with so little memory."""
    before = {
        which: resource.getrlimit(which) for which in (resource.RLIMIT_AS, resource.RLIMIT_CORE)
    }
    yield
    for which, both in before.items():
        resource.setrlimit(which, both)


@pytest.mark.usefixtures("limits")
def test_what_stabilizing_remembers_is_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = stabilized(tmp_path / "calm.mkv", [])
    hurt = stabilized(tmp_path / "hurt.mkv", [65, 97])
    assert len(calm) == 100
    assert all(np.array_equal(a, b) for a, b in zip(calm, hurt, strict=True))
    for name in ("calm.mkv", "hurt.mkv"):
        journals([str(tmp_path / name)])[0].remove()
    assert sorted(os.listdir(tmp_path)) == ["calm.mkv", "hurt.mkv"]
    monkeypatch.setattr(Journal, "kept", lambda *_: None)
    lost = stabilized(tmp_path / "lost.mkv", [65])
    assert not all(np.array_equal(a, b) for a, b in zip(calm, lost, strict=True))
