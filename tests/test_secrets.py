"""Addresses with secrets, as people write them: no text of ours shows one, all show the host."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import live
import pytest
from conftest import ROOT, Run
from prometheus_client import CollectorRegistry, generate_latest

from pipeline.access import with_access
from pipeline.address import shown
from pipeline.errors import ConfigError, SourceError, StreamError
from pipeline.job import job_of
from pipeline.metrics import Metrics
from pipeline.opening import mapped
from pipeline.plan import default_output
from pipeline.report import Progress, Report
from pipeline.request import StreamOptions
from pipeline.sinks import prepare
from pipeline.sources import open_source

S = "s3cret"
WORDS = [
    *(S, f"{S}@x", f"{S}:x", f"{S}/x", f"{S}?x", f"{S}#x", f"{S}%x", f"x@{S}", f"a@{S}@b"),
    *(f"a#{S}%b", f"%40{S}", f"a:{S}:b", f"{S}%2Fx", f"?{S}", f"#{S}", f"/{S}", f"x/@{S}"),
    *(f"[{S}]", f"{S} x", f"ü{S}", f"{S}&x=y", f"{S};x", f"{S}\\x", f"'{S}'"),
]
ADDRESSES = [
    *(f"rtsp://cam:{word}@127.0.0.1:1/stream" for word in WORDS),
    *(f"{scheme}://{S}:{S}@127.0.0.1:1/x" for scheme in ("rtsps", "http", "https", "rtmp")),
    f"RTSP://cam:{S}@127.0.0.1:1/stream",
    f"rtsp://{S}@127.0.0.1:1/stream",
    f"rtsp://cam:{S}@127.0.0.1:1",
    f"rtsp://127.0.0.1:1/stream?user=cam&password={S}",
    f"http://127.0.0.1:1/video?token={S}#{S}",
    f"http://127.0.0.1:1/?{S}",
    f"hls+http://127.0.0.1:1/live.m3u8?token={S}",
    f"rtmp://127.0.0.1:1/live/{S}",
    f"rtmp://127.0.0.1:1/live/{S}?auth={S}",
    f"rtmps://cam:{S}@127.0.0.1:1/app/{S}",
    f"srt://127.0.0.1:1?passphrase={S}-{S}&streamid={S}",
    f"tcp://cam:{S}@127.0.0.1:1",
    f"cam:{S}@127.0.0.1/stream",
    f"//cam:{S}@127.0.0.1:1/stream",
]
HOST = "127.0.0.1"


def test_there_are_forty() -> None:
    assert len(ADDRESSES) >= 40


@pytest.mark.parametrize("address", ADDRESSES)
def test_nothing_shows_the_secret_and_all_shows_the_host(
    address: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SourceError) as refused:
        open_source(address)
    texts = [str(refused.value), shown(address)]
    with pytest.raises(StreamError) as failed, mapped(address):
        raise OSError(5, "broken", address)
    texts.append(str(failed.value))
    report = Report(shown(address), shown(address))
    texts.append(json.dumps(report.as_dict()))
    registry, metrics = CollectorRegistry(), Metrics()
    metrics(Progress(0, None, 0.0, 0.0, report))
    registry.register(metrics)
    texts.append(generate_latest(registry).decode())
    if "://" in address:
        texts.append(default_output(address, StreamOptions(model="identity")))
        try:
            prepare(address)
        except StreamError as error:
            texts.append(str(error))
    for text in texts:
        assert S not in text
        assert HOST in text or HOST.replace(".", "_") in text
    out, err = capfd.readouterr()
    assert S not in caplog.text + out + err


def test_a_whole_run_shows_none(paint: Run, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = paint(
        *("test:size=64x64,frames=3", "--model", "identity", "--report", report),
        *("-o", f"{tmp_path}/a.mkv", "-o", f"rtmp://cam:{S}@127.0.0.1:1/live/{S}?k={S}"),
    )
    assert done.returncode == 1
    assert S not in done.stdout + done.stderr + report.read_text()
    assert "rtmp://127.0.0.1:1/live/..." in done.stderr
    assert "rtmp://127.0.0.1:1/live/..." in report.read_text()


def test_what_a_journal_keeps_of_an_address_is_what_may_be_shown() -> None:
    options = StreamOptions(model="identity", user=S, password_file=S)
    job = job_of(f"https://cam:{S}@127.0.0.1:1/film.mp4?token={S}", options, [], "10 frames")
    assert S not in json.dumps(job)
    assert job["options"]["input"] == "https://127.0.0.1:1/film.mp4"
    assert job["contents"]["https://127.0.0.1:1/film.mp4"] == "10 frames"


def command_lines() -> str:
    """What any user of this machine can read of its processes."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(entry.read_bytes())
        except OSError:
            continue
    return b"\n".join(found).decode(errors="replace")


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads command lines in /proc")
@pytest.mark.parametrize("how", ["file", "environment", "typed"])
def test_a_password_opens_and_is_nowhere_to_be_seen(tmp_path: Path, how: str) -> None:
    word, pictures, report = tmp_path / "word.txt", tmp_path / "pictures", tmp_path / "report.json"
    word.write_text(live.PASSWORD + "\n")
    camera = live.start()
    where = f"http://127.0.0.1:{camera.server_port}/auth"
    typed = where.replace("//", f"//{live.USER}:{live.PASSWORD}@")
    words = {
        "file": (where, "--user", live.USER, "--password-file", word),
        "environment": (where, "--user", live.USER),
        "typed": (typed,),
    }[how]
    words = (*words, "--model", "identity", "--report", report, "--log", "json")
    run = subprocess.Popen(
        [sys.executable, "run_stream.py", *map(str, words), "-o", f"{pictures}/"],
        cwd=ROOT,
        env=os.environ | ({"STYLESTREAM_PASSWORD": live.PASSWORD} if how == "environment" else {}),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not list(pictures.glob("*.png")):
            assert run.poll() is None, run.communicate()
            time.sleep(0.05)
        seen = command_lines()
    finally:
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=60)[1]
        camera.stop()
    assert run.returncode == 130, said
    assert where in seen
    for text in (seen, said, report.read_text(), " ".join(os.listdir(tmp_path))):
        assert live.PASSWORD not in text
        assert "a%40b" not in text


def test_access_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    good, empty, two = (tmp_path / name for name in ("good", "empty", "two"))
    good.write_text("a@b/c%41\r\n")
    empty.write_text("\n")
    two.write_text(f"{S}\n{S}\n")
    address = "rtsp://127.0.0.1/stream?x=y"
    assert with_access(address, "c@m", str(good)) == (
        "rtsp://c%40m:a%40b%2Fc%2541@127.0.0.1/stream?x=y"
    )
    assert with_access(address, None, None) == address
    cases = [
        (address, "cam", None, "or STYLESTREAM_PASSWORD"),
        (address, None, str(good), "goes with --user"),
        ("film.mp4", "cam", str(good), "not for film.mp4"),
        ("srt://127.0.0.1:1", "cam", str(good), "--user is for"),
        (f"rtsp://cam:{S}@127.0.0.1/", "cam", str(good), "has a user in it already"),
        (address, "cam", str(tmp_path / "none"), "No such file"),
        (address, "cam", str(tmp_path), "Is a directory"),
        (address, "cam", str(empty), "must hold one line"),
        (address, "cam", str(two), "must hold one line"),
    ]
    for source, user, file, line in cases:
        with pytest.raises(ConfigError, match=line) as refused:
            with_access(source, user, file)
        assert S not in str(refused.value)
