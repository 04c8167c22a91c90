"""Addresses with secrets, as people write them: no text of ours shows one, all show the host."""

import json
import logging
from pathlib import Path

import pytest
from conftest import Run
from prometheus_client import CollectorRegistry, generate_latest

from pipeline.errors import SourceError, StreamError
from pipeline.metrics import Metrics
from pipeline.opening import mapped, shown
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
