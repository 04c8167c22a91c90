"""What ends a process ends as one line, within bounded time: decoders in children, and stages that
die again and again."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from test_kills import children, processes, start

from pipeline import confined as home
from pipeline.cluster import ray, start_ray, stop_ray
from pipeline.confined import confined, streamed
from pipeline.errors import ConfigError, SourceInvalid, StageFailed, StreamError
from pipeline.mask import Mask
from pipeline.plan import planned
from pipeline.queues import Ticket
from pipeline.request import StreamOptions
from pipeline.stages import Work
from pipeline.supervision import MOST_FAILURES, StageDied, Supervised, wait
from tests import media

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGXCPU"), reason="limits are of POSIX")


def crash() -> None:
    """As a decoder that writes where it must not."""
    ctypes.string_at(0)


def grow() -> int:
    """As a decoder that believes a header."""
    return len(bytearray(home.MEMORY_BYTES + (1 << 30)))


def spin() -> None:
    """As a decoder that never ends."""
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (1, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    while True:
        pass


def open_many() -> int:
    """As a playlist of many files."""
    return len([Path(os.devnull).open() for _ in range(10 * home.FILES)])


def refuse() -> None:
    """An error of ours."""
    raise ConfigError("no such thing")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (crash, SourceInvalid, r"it\.mp4 makes its decoder crash \(SIGSEGV\)"),
        (grow, SourceInvalid, "asks for more memory"),
        (spin, SourceInvalid, r"it\.mp4 makes its decoder work for more than"),
        (open_many, StreamError, "Too many open files"),
        (refuse, ConfigError, "no such thing"),
    ],
)
def test_what_ends_a_child_is_one_line(call: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        confined("it.mp4", call)


def three() -> Iterator[int]:
    """As a video that a decoder does not survive."""
    yield 1
    yield 2
    crash()


def test_a_stream_is_what_came_before_its_child_ended() -> None:
    items = streamed("it.mp4", three)
    assert (next(items), next(items)) == (1, 2)
    with pytest.raises(SourceInvalid, match=r"it\.mp4 makes its decoder crash"):
        next(items)


def test_stages_that_open_media_have_limits(tmp_path: Path) -> None:
    """The reader, and the writer, which copies the sound."""
    film = media.video(tmp_path / "a.mp4", 300, sound_at_s=0.0)
    run = start(film, "--model", "identity", "--fps", "400", "-o", tmp_path / "b.mp4")
    limited: set[str] = set()
    until = time.monotonic() + 60
    while len(limited) < 2:
        assert time.monotonic() < until, limited
        for pid in children(run.pid, "ray::"):
            name = processes().get(pid, ("", 0))[0].partition(".")[0]
            with suppress(OSError):
                limits = Path(f"/proc/{pid}/limits").read_text()
                if not re.search(r"Max address space +unlimited", limits):
                    limited.add(name)
    assert limited == {"ray::Reader", "ray::Writer"}
    run.terminate()
    run.communicate(timeout=60)


def limit_s() -> int:
    """Of CPU time."""
    import resource

    return resource.getrlimit(resource.RLIMIT_CPU)[0]


def test_only_who_may_wait_for_days_has_no_limit_of_time() -> None:
    assert confined("it.mp4", limit_s) == home.CPU_S
    assert confined("rtsp://it", limit_s, wall_s=None) != home.CPU_S


def test_a_child_that_hangs_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(SourceInvalid, match="longer than"):
        confined("it.mp4", time.sleep, 100, wall_s=0.5)
    assert time.monotonic() - began < 30


def test_children_end_with_a_parent_that_is_killed() -> None:
    call = "import time; from pipeline.confined import confined; confined('it', time.sleep, 100)"
    parent = subprocess.Popen([sys.executable, "-c", call], cwd=ROOT)
    until = time.monotonic() + 60
    while len(held := children(parent.pid)) < 3:  # a server, its child, and what counts resources
        assert time.monotonic() < until, held
        time.sleep(0.1)
    time.sleep(1)
    parent.kill()
    parent.wait()
    until = time.monotonic() + 30
    while any(pid in processes() for pid in held):
        assert time.monotonic() < until, "orphans"
        time.sleep(0.1)


def test_a_plan_decodes_nothing_in_its_own_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths, a style and a mask too: all is found by children, none is left."""
    monkeypatch.chdir(tmp_path)
    media.video(tmp_path / "a.mp4")
    media.video(tmp_path / "m.mp4")
    for name in ("s.png", "t.png", "u.png", "m.png"):
        Image.fromarray(media.picture(1)).save(tmp_path / name)

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("decoded in the driver")

    monkeypatch.setattr("av.open", forbidden)
    monkeypatch.setattr("PIL.Image.open", forbidden)
    styles, masks = ["s.png", "t.png", "u.png"], ["m.png", "m.mp4"]
    options = StreamOptions(style=styles, mask=masks, output=["null:"])
    with planned("a.mp4", options) as plan:
        assert (plan.info.width, plan.info.frames) == (160, 12)
        assert np.array_equal(plan.look.styles[0], media.picture(1))
        moving = Mask(plan.look.masks[1])
        assert (moving.picture(0.0) != moving.picture(0.4)).any()
    (tmp_path / "b.mp4").write_text("ffconcat version 1.0\nfile a.mp4\n")
    with pytest.raises(SourceInvalid, match=r"b\.mp4"), planned("b.mp4", options):
        pass


class Dies:
    """A stage whose sink kills it at frame 5, each time that it comes to it."""

    def __init__(self, first: int) -> None:
        self._next = first

    def open(self) -> Work:
        return Work(next_index=self._next)

    def write(self, tickets: list[Ticket]) -> Work:
        for ticket in tickets:
            if ticket.index == 5:
                time.sleep(0.5)  # what it did before reaches the driver
                os.kill(os.getpid(), signal.SIGSEGV)
            self._next = ticket.index + 1
        return Work(tickets, next_index=self._next)


def drive(stage: Supervised, deaths: list[float]) -> None:
    """Hands out frames from the first one on, as a driver does that has fallen back."""
    while True:
        if not stage.calls:
            for index in range(8):
                stage.submit("write", [Ticket(index, index, Fraction(1), 0)])
        try:
            stage.collect(wait([stage], 1.0))
        except StageDied:
            deaths.append(time.monotonic())
            stage.start()


def test_a_stage_that_dies_at_one_frame_ends_the_run() -> None:
    """It goes back and does well what it did before, each time: that is no progress."""
    import tests.test_confined as here

    ray.cloudpickle.register_pickle_by_value(here)
    start_ray()
    try:
        stage, deaths = Supervised(here.Dies, lambda: (0,)), []
        with pytest.raises(StageFailed, match=r"Dies died 6 times in a row without progress, .* 5"):
            drive(stage, deaths)
        assert len(deaths) == MOST_FAILURES - 1
    finally:
        stop_ray()
        ray.cloudpickle.unregister_pickle_by_value(here)
