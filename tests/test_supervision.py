"""Actors under watch: what was done before one died counts; without Ray nobody is asked."""

import os
import sys
import time
from collections.abc import Iterator

import pytest

from pipeline.cluster import ray, start_ray, stop_ray
from pipeline.stages import Work
from pipeline.supervision import StageDied, Supervised, wait


class Mortal:
    """A stage that dies when it is told to."""

    def open(self) -> Work:
        return Work()

    def work(self, index: int) -> Work:
        return Work(next_index=index)

    def die(self) -> None:
        os._exit(1)


@pytest.fixture
def stage() -> Iterator[Supervised]:
    start_ray()
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        yield Supervised(Mortal, lambda: ())
    finally:
        stop_ray()


def test_what_was_done_before_a_death_is_not_lost(stage: Supervised) -> None:
    stage.submit("work", 7, context="first")
    while len(wait([stage], 0.2)) < 2:
        time.sleep(0.05)
    stage.submit("die", context="second")
    stage.submit("work", 9, context="third")
    until_s = time.monotonic() + 30
    while len(ready := wait([stage], 0.2)) < 4:  # all at once, as when the driver was busy
        assert time.monotonic() < until_s
    done = [(call.method, work.next_index) for call, work in stage.collect(ready)]
    assert done == [("open", 0), ("work", 7)]
    with pytest.raises(StageDied) as death:
        stage.collect(wait([stage], 5))
    assert [call.context for call in death.value.lost] == ["second", "third"]


def test_without_ray_nobody_is_asked(stage: Supervised) -> None:
    stop_ray()
    assert stage.ask("work", 1) is None
    assert not ray.is_initialized()
