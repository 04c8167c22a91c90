"""Several streams of one config: each for itself, a dead one disturbs no other."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Run

from pipeline.errors import ConfigError
from pipeline.streams import streams_in

SCENE = "test:size=64x48,rate=25,frames=50"


def write(path: Path, **streams: object) -> Path:
    path.write_text(yaml.safe_dump({"model": "identity", "streams": streams}))
    return path


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


def test_ctrl_c_completes_all(tmp_path: Path) -> None:
    scene = "test:live,size=64x48,rate=25"
    names = ("first", "second")
    config = write(
        tmp_path / "streams.yaml",
        **{name: {"input": scene, "output": str(tmp_path / f"{name}.mkv")} for name in names},
    )
    command = [sys.executable, ROOT / "run_stream.py", "--config", config]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 100
    while len(list(tmp_path.glob("*.part*.mkv"))) < 2 and time.monotonic() < until:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert all((tmp_path / f"{name}.mkv").exists() for name in names), said


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
