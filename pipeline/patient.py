"""The stylizer of models that paint by optimisation: films go by key frames, in small steps."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from engines import Frames, PatientEngine, said
from pipeline import stylizer
from pipeline.errors import EngineError
from pipeline.frame import Pixels
from pipeline.keyframes import KeyFrames, Painting, portion
from pipeline.layers import Shares
from pipeline.mask import Mask, stretched
from pipeline.pool import PoolHandle
from pipeline.queues import Ticket
from pipeline.stages import Work
from pipeline.stylizer import Look

STEP_S = 1.0
"""A call comes back after this, done or not, so that it can be watched and ended."""


class Stylizer(stylizer.Stylizer):
    """Paints one frame over as many calls as it takes. Frames come in order, from one film."""

    def __init__(self, pool: PoolHandle, look: Look) -> None:
        super().__init__(pool, look)
        assert look.film is not None
        self._key_frames = KeyFrames(look.film.frames, look.film.cues, self._paint_key)
        self._under_way: tuple[int, float, Painting] | None = None
        self._regions: Mask | None = None

    def open(self) -> Work:
        """As any stylizer; the regions that guide it are marked in style and frames."""
        super().open()
        if self._look.guides:
            path, marked = self._look.guides
            engine, style = cast(PatientEngine, self._engine), self._look.styles[0]
            assert not isinstance(style, dict)
            self._codes = [engine.encode_style(style, marked)]
            self._regions = Mask(path, self._look.along)
            self._notices += stretched("the style mask", marked, *style.shape[1::-1])
            self._notices += self._regions.shape_notices(*self._pool.size)
        return Work(notices=self._said())

    def stylize(self, tickets: Sequence[Ticket], slots: Sequence[int]) -> Work:
        """Go on with the first frame for STEP_S; its ticket comes back once it is painted."""
        began, ticket = time.perf_counter(), tickets[0]
        self._adopt(ticket.time_s)
        if self._under_way is None or self._under_way[0] != ticket.index:
            painting = self._key_frames.paint(ticket.index, self._pool[ticket.slot].copy())
            self._under_way = ticket.index, began, painting
        _, since, painting = self._under_way
        done = 0.0
        while time.perf_counter() - began < STEP_S:
            try:
                done = next(painting)
            except StopIteration as finished:
                self._under_way = None
                return self._delivered(ticket, slots[0], finished.value, since)
            except (MemoryError, ValueError) as error:
                raise EngineError(f"model {self._look.model}: {said(error)}") from error
        return Work(share=done, notices=self._said())

    def _said(self) -> list[str]:
        missed = list(self._key_frames.notices)
        if self._regions is not None:
            missed += self._regions.end_notices()
        self._notices += [text for text in missed if text not in self._notices]
        return super()._said()

    def _delivered(self, ticket: Ticket, slot: int, pixels: Pixels, since: float) -> Work:
        np.copyto(self._pool[slot], pixels)
        if beside := self._pool.handle.beside:
            np.copyto(self._pool[slot + beside], self._pool[ticket.slot])
        took = time.perf_counter() - since
        moved = replace(ticket, slot=slot, paint_s=took, look=self._looks(ticket.time_s))
        return Work([moved], [took], notices=self._said())

    def _paint_key(self, time_s: float, pixels: Pixels) -> Painting:
        """One frame, in the mix of styles that is due then, or each layer in its mix."""
        engine, about = (
            cast(PatientEngine, self._engine),
            (self._look.strength, self._look.keep_color),
        )
        if self._regions is not None:
            marked = self._regions.picture(time_s)
            return (yield from engine.paint(pixels, self._codes[0], *about, marked))
        mixes = list(dict.fromkeys(self._layers.at(time_s)))
        painted: dict[Shares, Frames] = {}
        for place, shares in enumerate(mixes):
            code = engine.mix(self._codes[: len(shares)], list(shares))
            begin, end = place / len(mixes), (place + 1) / len(mixes)
            work = portion(engine.paint(pixels, code, *about), begin, end)
            painted[shares] = (yield from work)[None]
        whole: Pixels = self._layers.paint([time_s], pixels[None], painted.__getitem__)[0]
        return whole
