"""How a running stream is watched: figures for Prometheus, health, lines for programs."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import live
import pytest
from conftest import ROOT, Run
from prometheus_client.parser import text_string_to_metric_families
from test_kills import children

from pipeline.heartbeat import Heartbeat
from pipeline.timings import Timings

pytestmark = pytest.mark.timeout(300)

WORD = "hush"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Watched:
    """A camera with a password, taken to nowhere by a run that is watched."""

    def __init__(self, *words: object, is_there: bool = True) -> None:
        self.camera, self.port = live.start(), free_port()
        if not is_there:
            self.camera.stop()
        source = f"http://me:{WORD}@127.0.0.1:{self.camera.server_port}/video?key={WORD}"
        own = ("--model", "identity", "-o", "null:", "--metrics", self.port, "--log", "json")
        command = [sys.executable, ROOT / "run_stream.py", "--config", "-", *own, *words]
        ways = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen([*map(str, command)], **ways, text=True)
        assert self.process.stdin
        self.process.stdin.write(f"input: {source}\n")
        self.process.stdin.close()
        self.process.stdin = None  # for communicate()

    def get(self, path: str, port: int = 0, **headers: str) -> tuple[int, str]:
        """Status and body; 0 while nobody answers (Ray holds the program while it starts)."""
        where = f"http://127.0.0.1:{port or self.port}{path}"
        request = urllib.request.Request(where, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def figures(self) -> dict[str, float]:
        """Every sample, by name and labels."""
        text = self.get("/metrics")[1]
        assert WORD not in text
        return {
            " ".join([sample.name, *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def wait(self, ready: Callable[[], Any], limit_s: float = 120) -> None:
        until = time.monotonic() + limit_s
        while not ready():
            assert time.monotonic() < until
            assert self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.1)

    def end(self) -> list[dict[str, Any]]:
        """What it said, once it has ended."""
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=60)[0]
        assert WORD not in said
        return [json.loads(line) for line in said.splitlines()]


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    run = Watched()
    try:
        run.wait(lambda: run.get("/health")[0] == 200)
        yield run
    finally:
        if run.process.poll() is None:
            run.process.kill()
            run.process.communicate()
        if run.camera.running:
            run.camera.stop()


def test_figures_grow_with_the_stream(watched: Watched) -> None:
    first = watched.figures()
    watched.wait(lambda: watched.figures()["stylestream_frames_out_total"] >= 30)
    later = watched.figures()
    assert later["stylestream_frames_in_total"] > first["stylestream_frames_in_total"]
    count = later["stylestream_latency_seconds_count"]
    assert 30 <= count <= later["stylestream_frames_out_total"]
    assert later["stylestream_latency_seconds_bucket 10.0"] == count
    assert 0 < later["stylestream_latency_seconds_sum"] / count < 2
    for stage in ("Reader", "Stylizer", "Writer"):
        assert later[f"stylestream_stage_seconds_count {stage}"] >= 30
        assert 20 < later[f"stylestream_memory_bytes {stage}"] / 2**20 < 4000
    assert later["stylestream_frame_age_seconds"] < 5
    assert "stylestream_frames_dropped_total newer" in later
    depth, room = (later[f"stylestream_queue_{what} frames"] for what in ("frames", "capacity"))
    assert 0 <= depth <= room
    source = f"http://127.0.0.1:{watched.camera.server_port}/video"
    assert f"stylestream_info {source} null:" in later


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_no_command_line_shows_a_password_that_came_by_a_config(watched: Watched) -> None:
    ours = [watched.process.pid, *children(watched.process.pid)]
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in ours]
    assert any(b"ray::Reader" in line for line in lines)
    assert WORD not in str(lines)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_stages_have_the_priority_of_the_program(watched: Watched) -> None:
    stages = children(watched.process.pid, "ray::")
    of_all = {os.getpriority(os.PRIO_PROCESS, pid) for pid in (watched.process.pid, *stages)}
    assert len(stages) >= 3
    assert of_all == {os.getpriority(os.PRIO_PROCESS, 0)}


def test_only_this_machine_is_answered(watched: Watched) -> None:
    assert watched.get("/metrics", Host="evil.example")[0] == 403
    assert watched.get("/metrics", Host="localhost")[0] == 200
    assert watched.get("/etc")[0] == 404


def test_health_is_about_frames_and_every_line_is_json(watched: Watched) -> None:
    watched.camera.stop()
    watched.wait(lambda: watched.get("/health")[0] == 503)
    status, body = watched.get("/health")
    about = json.loads(body)
    assert (status, about["healthy"]) == (503, False)
    assert about["still_s"] >= about["limit_s"] == 10
    source = f"http://127.0.0.1:{watched.camera.server_port}/video"
    assert about["away"].startswith(source)
    assert watched.figures()["stylestream_source_up"] == 0
    again = live.start(watched.camera.server_port)
    watched.wait(lambda: watched.get("/health")[0] == 200)
    assert json.loads(watched.get("/health")[1])["away"] == ""
    assert watched.figures()["stylestream_source_up"] == 1
    assert watched.figures()["stylestream_reconnects_total"] == 1
    for pid in children(watched.process.pid, "ray::Stylizer"):
        os.kill(pid, signal.SIGKILL)
    restarts = "stylestream_restarts_total Stylizer"
    watched.wait(lambda: watched.figures().get(restarts) == 1)
    lines = watched.end()
    again.stop()
    assert all({"time", "level", "message"} <= line.keys() for line in lines)
    refused = f"{source} refuses: is the address right and the sender running?; it is tried again"
    assert [line["message"] for line in lines].count(refused) == 1
    (back,) = (line for line in lines if line["message"].endswith("came back"))
    assert (back["level"], back["times"]) == ("warning", 1)
    (report,) = (line["report"] for line in lines if "report" in line)
    assert report["reconnects"] == 1
    assert report["latency"]["p50_ms"] <= report["latency"]["p99_ms"]
    assert report["dropped"] == sum(report["drops"].values())


def test_each_output_tells_how_it_is(tmp_path: Path) -> None:
    film, port = tmp_path / "a.mkv", free_port()
    dead = [f"rtmp://me:{WORD}@127.0.0.1:1/app/{WORD}{i}" for i in range(2)]
    run = Watched(*("-o", film, "-o", f"udp://127.0.0.1:{port}", "-o", dead[0], "-o", dead[1]))
    about = "stylestream_output_{} {}".format
    shown = ["rtmp://127.0.0.1:1/app/...", "rtmp://127.0.0.1:1/app/... (2)"]
    sent = f"udp://127.0.0.1:{port}"
    run.wait(lambda: run.figures().get(about("up", sent)) == 1)
    run.wait(lambda: min(run.figures()[about("lost_total", name)] for name in shown) > 0)
    run.wait(lambda: run.figures().get("stylestream_memory_bytes driver", 0) > 20 << 20)
    figures = run.figures()
    assert [figures[about("up", name)] for name in ("null:", film, *shown)] == [1, 1, 0, 0]
    assert figures[about("lost_total", film)] == figures[about("lost_total", sent)] == 0
    assert figures[about("dropped_total", film)] == 0
    assert figures[about("dropped_total", shown[0])] > 0
    assert 0 <= figures[about("queue_frames", film)] < figures[about("queue_capacity", film)]
    if Path("/proc/self/task", str(os.getpid()), "children").exists():
        helpers = "stylestream_memory_bytes Writer helpers"  # senders, of which two begin anew
        run.wait(lambda: run.figures().get(helpers, 0) > 20 << 20)
    lines = run.end()
    (report,) = (line["report"] for line in lines if "report" in line)
    run.camera.stop()
    assert list(report["outputs"]) == ["null:", str(film), sent, *shown]
    assert report["outputs"][str(film)]["ended"] == "complete"
    assert report["outputs"][shown[1]]["ended"] == "failed"
    assert report["written"] == ["null:", str(film), sent]
    assert film.exists()
    assert lines[-1]["level"] == "error"
    assert lines[-1]["message"].count("nothing could be sent") == 2


def test_it_is_watched_while_its_source_is_waited_for() -> None:
    began, run = time.monotonic(), Watched("--wait-for-source", is_there=False)
    run.wait(lambda: run.get("/health")[0] == 503)
    assert json.loads(run.get("/health")[1])["frames_out"] == 0
    run.wait(lambda: time.monotonic() - began > 5)  # it starts, and fails more than once
    assert "stylestream_frame_age_seconds" in run.figures()
    said = [line["message"] for line in run.end()]
    source = f"http://127.0.0.1:{run.camera.server_port}/video"
    assert said[0] == f"waiting for {source}"
    assert said[1].startswith(f"{source} refuses: ")
    assert sum("it is tried again" in line for line in said) == 1


def test_with_a_slate_outputs_do_not_wait(tmp_path: Path) -> None:
    film, page = tmp_path / "out.mkv", free_port()
    run = Watched("--slate", "320x180", "-o", film, "-o", f"web:{page}", is_there=False)
    run.wait(lambda: run.figures().get("stylestream_frames_out_total") == 1)
    assert run.figures()["stylestream_source_up"] == 0
    run.wait(lambda: "refuses" in json.loads(run.get("/health")[1])["away"])
    run.wait(lambda: run.get("/api", page)[0] == 200)
    assert json.loads(run.get("/api", page)[1])["frames"] == 1
    run.camera = live.start(run.camera.server_port)
    run.wait(lambda: run.figures()["stylestream_frames_out_total"] > 20)
    assert run.figures()["stylestream_source_up"] == 1
    (report,) = (line["report"] for line in run.end() if "report" in line)
    run.camera.stop()
    assert report["reconnects"] == 0
    with av.open(str(film)) as media:
        times = [frame.time for frame in media.decode(video=0)]
    assert len(times) == report["frames_out"]
    assert times == sorted(set(times))
    assert times[1] - times[0] > 0.5  # as long as the slate was seen


def test_a_slate_is_for_what_may_be_away_and_as_large_as_asked(paint: Run) -> None:
    for words, says in (
        (("test:", "--slate", "64x64"), "this one is there"),
        (("http://127.0.0.1:1/", "--slate", "65x64"), "write it like 1280x720"),
        (("http://127.0.0.1:1/", "--slate", "wide"), "write it like 1280x720"),
    ):
        wrong = paint(*words, "--model", "identity", "-o", "null:")
        assert wrong.returncode == 2
        assert says in wrong.stderr


def test_a_slate_does_not_hide_that_nobody_came(paint: Run, tmp_path: Path) -> None:
    words = ("--slate", "64x64", "--connect-attempts", 2, "--model", "identity")
    lost = paint("http://127.0.0.1:1/", *words, "-o", tmp_path / "out.mkv")
    assert lost.returncode == 3
    assert "refuses" in lost.stderr.splitlines()[-1]


def test_mistakes_are_json_too(paint: Run, tmp_path: Path) -> None:
    wrong = paint("test:frames=2", "--log", "json", "--modle", "identity")
    (line,) = wrong.stderr.splitlines()
    assert json.loads(line)["exit_code"] == wrong.returncode == 2
    assert "did you mean --model" in json.loads(line)["message"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ("--model", "identity", "-o", tmp_path / "out.mkv", "--metrics", port)
        refused = paint("test:frames=2", *words)
    assert refused.returncode == 2
    assert f"port {port} cannot be used" in refused.stderr.splitlines()[-1]


def test_what_comes_seldom_is_given_longer() -> None:
    now = [0.0]
    heart = Heartbeat(5.0, lambda: now[0])
    for now[0] in (1, 2, 3, 63, 64):  # one long pause is not the usual one
        heart.beat()
    assert heart.limit_s == 5
    for now[0] in range(80, 200, 8):
        heart.beat()
    now[0] += 20
    assert (heart.still_s, heart.limit_s) == (20, 24)
    assert heart.rate == 1 / 20


def test_counts_below_a_time() -> None:
    timings = Timings()
    for milliseconds in (1, 2, 3, 50, 400):
        timings.add(milliseconds / 1e3)
    assert [timings.below(s) for s in (0.0005, 0.0025, 0.06, 10)] == [0, 2, 4, 5]
