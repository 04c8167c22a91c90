"""RTMP through a real server: published to it, read from it, both come back when it does."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import rtmp
from test_live import number
from test_outputs import LIVE
from test_outputs import frames as moving

from pipeline.errors import SourceRefused
from pipeline.frame import Frame
from pipeline.sinks import Sink, open_sink
from pipeline.sources import SourceOptions, open_source

pytestmark = rtmp.needed


@pytest.fixture
def server(tmp_path: Path) -> Iterator[rtmp.Server]:
    with rtmp.Server(tmp_path) as running:
        yield running


@pytest.fixture
def published(server: rtmp.Server) -> Iterator[Sink]:
    """25 pictures a second are sent to it until the test has ended."""
    ended = threading.Event()

    def send(sink: Sink) -> None:
        for frame in moving(1 << 30):
            if ended.is_set():
                return
            sink.write(frame)

    with open_sink(server.url, LIVE) as sink:
        thread = threading.Thread(target=send, args=(sink,))
        thread.start()
        yield sink
        ended.set()
        thread.join()
        sink.finish()


def test_what_is_published_is_read_and_both_come_back(server: rtmp.Server, published: Sink) -> None:
    with open_source(server.url, SourceOptions(wait=True)) as source:
        assert source.info.live
        frames = source.frames()
        before = newest(frames, 10)
        server.kill()
        assert any(frame is None for _, frame in zip(range(400), frames, strict=False))
        server.start()
        after = newest(frames, 10)
        said = source.notices[0]
    assert {f.epoch for f in before} == {0}
    assert after[-1].epoch >= 1
    times = [f.time_s for f in before + after]
    assert times == sorted(set(times))
    assert len({number(f) for f in before}) > 3
    assert "was lost 1 times" in published.notices[0]
    assert "s3cret" not in said + published.notices[0]
    assert f"127.0.0.1:{server.port}" in said


def test_sound_that_is_late_at_the_start_cuts_no_stream_off(server: rtmp.Server) -> None:
    (still,) = moving(1)  # as a slate is, for which all sound is to come
    with open_sink(server.url, replace(LIVE, sounds=True)) as sink:
        sink.write(still)
        time.sleep(4)
        assert sink.outlets[0].up
        assert sink.notices == []
        sink.finish()


def newest(frames: Iterator[Frame | None], count: int) -> list[Frame]:
    """The next ones there are."""
    return list(islice((frame for frame in frames if frame), count))


def test_a_server_that_is_away_refuses(server: rtmp.Server) -> None:
    server.kill()
    with pytest.raises(SourceRefused, match=f"127.0.0.1:{server.port}/live/... refuses"):
        open_source(server.url)
