"""Styles come to a stream while it is painted, and those that nobody can ask for are let go of.

The engine is one whose paintings tell the style: a picture is filled with its brightness.
"""

import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines import Frames
from pipeline.control import Change, Region
from pipeline.look import wanted_at_first
from pipeline.pool import FramePool
from pipeline.queues import Ticket
from pipeline.stylizer import Look, Stylizer
from pipeline.timeline import Span, Timeline


class Code:
    """Of a style; one can see whether somebody has it."""

    def __init__(self, level: float) -> None:
        self.level = level


class Flat:
    """Paints every pixel in the brightness of its style."""

    batch, why = 1, ""

    def __init__(self) -> None:
        self._made: weakref.WeakSet[Code] = weakref.WeakSet()

    @property
    def held(self) -> int:
        """Codes that somebody still has."""
        return len(list(self._made))

    def encode_style(self, style: Frames) -> Code:
        code = Code(float(style.mean()))
        self._made.add(code)
        return code

    def mix(self, codes: list[Code | None], weights: list[float]) -> float:
        seen = zip(codes, weights, strict=True)
        return sum(code.level * w for code, w in seen if w and code is not None)

    def __call__(self, frames: Frames, code: float, *_: object) -> Frames:
        return np.full_like(frames, round(code))


class Painted:
    """A stylizer of 16x16 px that begins with a black style."""

    def __init__(self, engine: Flat, pool: FramePool) -> None:
        self.engine, self._pool, self._index = engine, pool, 0
        always = Timeline([(Span(), 1.0)])
        about = ([style(0)], ["first"], always, [], 1.0, False, 1, "torch")
        self._stylizer = Stylizer(pool.handle, Look("compact", "cpu", *about))
        self._stylizer.open()

    def at(self, time_s: float) -> int:
        """The brightness of a frame of that time."""
        self._index += 1
        ticket = Ticket(self._index, round(100 * time_s), Fraction(1, 100), 0)
        self.notices = self._stylizer.stylize([ticket], [1]).notices
        return int(self._pool[1].mean())

    def change(self, path: str, mask: str | None = None, **about: Any) -> None:
        over = (Region("1", mask, {path: 1.0}),) if mask else ()
        regions = (Region("0", None, {path: 1.0}), *over)
        self._stylizer.adjust(Change(regions, 1.0, False, **about))

    def comes_to(self, level: int, time_s: float) -> None:
        """A change is made ready beside the painting: until it is seen."""
        until = time.monotonic() + 60
        while self.at(time_s) != level:
            assert time.monotonic() < until, "it did not come to be in time"


def style(level: int) -> Frames:
    return np.full((16, 16, 3), level, np.uint8)


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Painted]:
    engine = Flat()
    monkeypatch.setattr("pipeline.stylizer.engine_of", lambda *_: engine)
    monkeypatch.setattr("pipeline.stylizer.check_code", lambda *_: None)
    with closing(FramePool.create(2, 16, 16)) as pool:
        yield Painted(engine, pool)


def test_styles_that_are_forgotten_leave_nothing(painted: Painted) -> None:
    before = "first"
    for k in range(1, 30):
        path = f"style {k}"
        gone = frozenset({before} - {"first"})
        painted.change(path, pictures={path: style(k)}, forget=gone, at_s=float(k))
        painted.comes_to(k, k)
        assert painted.engine.held == 2  # with the first
        before = path
    painted.change("first", at_s=40.0)
    painted.comes_to(0, 40)


def test_a_style_that_is_forgotten_while_it_fades_is_seen_to_its_end(painted: Painted) -> None:
    painted.change("second", pictures={"second": style(200)})
    painted.comes_to(200, 1)
    painted.change("first", fade_s=2.0, at_s=10.0, forget=frozenset({"second"}))
    painted.comes_to(100, 11)
    assert painted.engine.held == 2
    assert painted.at(11.5) == 50
    assert painted.at(13) == 0
    assert painted.engine.held == 1
    assert painted.at(11) == 0  # a frame that is painted once more
    painted.change("third", pictures={"third": style(90)}, at_s=20.0)
    painted.comes_to(90, 60)


def test_a_style_whose_mask_is_gone_can_be_asked_for_later(
    painted: Painted, tmp_path: Path
) -> None:
    painted.change("second", str(tmp_path / "gone.png"), pictures={"second": style(200)})
    painted.change("second")
    painted.comes_to(200, 1)
    assert any("a change was left out" in notice for notice in painted.notices)


def test_a_style_that_comes_again_is_seen_from_the_start() -> None:
    spans = [Span(0, 0), Span(10, 12), Span(20, 20)]
    timeline = Timeline([(span, 1.0) for span in spans])
    look = Look("compact", "cpu", [], ["a", "b", "a"], timeline, [], 1.0, False, None, "torch")
    (region,) = wanted_at_first(look).regions or ()
    assert region.shares == {"a": 1.0, "b": 0.0}
