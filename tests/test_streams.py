"""Several streams of one config: they share a stylizer, a dead one disturbs no other."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Run
from prometheus_client.parser import text_string_to_metric_families
from test_kills import children, decoded, processes, wait_for
from test_watching import free_port

from pipeline.errors import ConfigError
from pipeline.streams import streams_in

SCENE = "test:size=64x48,rate=25,frames=50"


def write(path: Path, beside: dict | None = None, **streams: object) -> Path:
    whole = {"model": "identity", "streams": streams} | (beside or {})
    path.write_text(yaml.safe_dump(whole))
    return path


def start(config: Path) -> subprocess.Popen[str]:
    command = [sys.executable, ROOT / "run_stream.py", "--config", config]
    return subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body; 0 while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (urllib.error.URLError, TimeoutError):
        return 0, ""


def test_a_dead_camera_disturbs_no_other(paint: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    dead = {"input": f"rtsp://cam:s3cret@127.0.0.1:{port}/live", "output": "null:"}
    alive = {"input": SCENE, "output": str(tmp_path / "alive.mkv")}
    alive["report"] = str(tmp_path / "alive.json")
    done = paint("--config", write(tmp_path / "streams.yaml", dead=dead, alive=alive))
    assert done.returncode == 3
    assert "dead: failed (3)" in done.stderr
    assert "alive: done" in done.stderr
    assert "s3cret" not in done.stderr
    report = json.loads((tmp_path / "alive.json").read_text())
    assert (report["frames_out"], report["error"]) == (50, None)
    assert (tmp_path / "alive.mkv").exists()


def test_every_line_of_every_stream_is_one_json_object(paint: Run, tmp_path: Path) -> None:
    taken = tmp_path / "there.mkv"
    taken.touch()
    config = write(
        tmp_path / "streams.yaml",
        {"log": "json", "report": str(tmp_path / "end.json")},
        wrong={"input": SCENE, "output": str(taken)},
        well={"input": SCENE, "output": "null:"},
    )
    done = paint("--config", config)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1
    assert all({"time", "level", "message"} <= line.keys() for line in lines)
    assert not any(line["message"].startswith("{") for line in lines)
    of = {name: [x for x in lines if x.get("stream") == name] for name in ("wrong", "well")}
    error = next(line for line in of["wrong"] if line["level"] == "error")
    assert (error["message"].split(" exists")[0], error["exit_code"]) == (str(taken), 1)
    (report,) = (line["report"] for line in of["well"] if "report" in line)
    assert report["frames_out"] == 50
    assert [of[name][-1]["exit_code"] for name in of] == [1, 0]
    # Said once for all, it is a file for each that came so far.
    assert json.loads((tmp_path / "end-well.json").read_text())["frames_out"] == 50
    assert not (tmp_path / "end.json").exists()


def test_the_figures_of_all_come_from_one_port_and_ctrl_c_completes_all(tmp_path: Path) -> None:
    names, port = ("first", "second"), free_port()
    config = write(
        tmp_path / "streams.yaml",
        {"metrics": port},
        **{
            name: {"input": "test:live,size=64x48,rate=25", "output": str(tmp_path / f"{name}.mkv")}
            for name in names
        },
    )
    process = start(config)
    until = time.monotonic() + 100
    while get(port, "/health")[0] != 200 and time.monotonic() < until:
        time.sleep(0.2)
    families = {f.name: f for f in text_string_to_metric_families(get(port, "/metrics")[1])}
    health = json.loads(get(port, "/health")[1])
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert all((tmp_path / f"{name}.mkv").exists() for name in names), said
    running = {s.labels["stream"]: s.value for s in families["stylestream_up"].samples}
    assert running == dict.fromkeys(names, 1.0)
    frames = {s.labels["stream"]: s.value for s in families["stylestream_frames_out"].samples}
    assert frames.keys() == set(names)
    assert min(frames.values()) > 0
    assert {n: s["state"] for n, s in health["streams"].items()} == dict.fromkeys(names, "running")


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_streams_share_one_stylizer_and_lose_no_frame_when_it_or_ray_dies(tmp_path: Path) -> None:
    # Long enough that the first is still at work when the second begins, seconds later.
    names, frames = ("first", "second"), 1800
    streams = {
        name: {
            "input": f"test:size=320x180,rate=30,frames={frames}",
            "output": str(tmp_path / f"{name}.mp4"),
            "report": str(tmp_path / f"{name}.json"),
        }
        for name in names
    }
    process = start(write(tmp_path / "streams.yaml", **streams))
    for name in names:
        wait_for(tmp_path / f"{name}.part.mp4", 100)
    (stylizer,) = children(process.pid, "ray::SharedStylizer")
    os.kill(stylizer, signal.SIGKILL)
    wait_for(tmp_path / "first.part.mp4", 100, 150_000)
    commands = processes()
    (node,) = (p for p in children(process.pid) if commands[p][0].endswith("raylet/raylet"))
    os.kill(node, signal.SIGKILL)
    said = process.communicate(timeout=200)[1]
    assert process.returncode == 0, said
    for name in names:
        report = json.loads((tmp_path / f"{name}.json").read_text())
        assert report["frames_out"] == frames
        # Who dies shortly before Ray may be found dead with it.
        assert report["restarts"]["Ray"] == 1
    first, second = (decoded(tmp_path / f"{name}.mp4") for name in names)
    assert len(first) == frames
    assert first == second


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"streams": []}, "name: {input"),
        ({"streams": {"a": {"style": "x.jpg"}}}, "stream a needs an input"),
        ({"streams": {"a": {"input": "x", "stlye": "y"}}}, "stream a: .*did you mean style"),
        (
            {"output": "o.mp4", "streams": {"a": {"input": "x"}, "b": {"input": "y"}}},
            "a and b both write to o.mp4",
        ),
        (
            {"streams": {n: {"input": "x", "report": "r.json"} for n in "ab"}},
            "a and b both write to r.json",
        ),
        ({"streams": {"a": {"input": "x", "log": "json"}}}, "stream a: log is for all"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_starts(config: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        streams_in(config)


def test_what_stands_beside_the_streams_is_for_all() -> None:
    found = streams_in(
        {"strength": 0.5, "streams": {1: {"input": "x"}, "b": {"input": "y", "strength": 1}}}
    )
    assert found == {"1": {"strength": 0.5, "input": "x"}, "b": {"strength": 1, "input": "y"}}


def test_a_report_that_is_said_once_is_a_file_for_each() -> None:
    streams = {
        "back door": {"input": "x"},
        "b": {"input": "y", "report": "own.json"},
        "../c": {"input": "z"},
    }
    found = streams_in({"report": "out/all.json", "streams": streams})
    said = [own["report"] for own in found.values()]
    assert said == ["out/all-back_door.json", "own.json", "out/all-.._c.json"]
