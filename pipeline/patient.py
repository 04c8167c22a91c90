"""The stylizer of models that paint by optimisation: films go by key frames, in small steps."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from engines import Frames, PatientEngine, said
from pipeline import stylizer
from pipeline.control import Change
from pipeline.errors import EngineError
from pipeline.frame import Pixels
from pipeline.keyframes import KeyFrames, Painting, portion
from pipeline.layers import Shares
from pipeline.look import lacking
from pipeline.mask import Mask, colours, stretched
from pipeline.pool import PoolHandle
from pipeline.queues import Ticket
from pipeline.sources import PICTURE_SUFFIXES
from pipeline.stages import Work
from pipeline.stylizer import Look

STEP_S = 1.0
"""A call comes back at the first step of the painting that ends after this, done or not, so that it
can be watched and ended."""


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
            if len(colours(marked)) < 2:
                self._notices += ["the style mask marks no two regions: it guides nothing"]
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
            except MemoryError as error:
                w, h = self._pool.size
                raise EngineError(
                    f"model {self._look.model}: memory is too short to paint frames of {w}x{h} "
                    f"({said(error)}): --size paints smaller ones"
                ) from error
            except ValueError as error:
                raise EngineError(f"model {self._look.model}: {said(error)}") from error
        return Work(share=done, notices=self._said())

    def _turn(self, change: Change, at_s: float, masks: dict[str, Mask]) -> None:
        """As any stylizer; but where regions of one style are marked, no other has them."""
        if self._regions is None:
            super()._turn(change, at_s, masks)
        elif any(r.mask or set(r.shares) - set(self._look.paths) for r in change.regions or ()):
            self._left_out("--style-mask marks the regions of one style, which stays")

    def _said(self) -> list[str]:
        missed = list(self._key_frames.notices)
        paths = set(self._layers.masks)
        if self._regions is not None:
            missed += self._regions.end_notices()
            paths.add(self._regions.path)
        missed += [
            f"mask {path} is a video: it counts at key frames (--keyframes), between them regions "
            "move with what is seen"
            for path in sorted(paths)
            if Path(path).suffix.lower() not in PICTURE_SUFFIXES and not self._look.alone
        ]
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
        """One frame, in the mix of styles that is due then, or each layer in its mix. What is
        chosen while it is painted holds from the next one on."""
        engine, about = (
            cast(PatientEngine, self._engine),
            (self._look.strength, self._look.keep_color),
        )
        if self._regions is not None and self._look.guides is not None:
            marked = self._regions.picture(time_s)
            if colour := lacking(self._look.guides[1], marked):
                text = (
                    f"mask {self._regions.path} has a region of colour {colour}, which the style "
                    "mask has nowhere: it is painted from the nearest colours"
                )
                self._notices += [text] if text not in self._notices else []
            return (yield from engine.paint(pixels, self._codes[0], *about, marked))
        layers, frames, painted = self._layers, pixels[None], dict[Shares, Frames]()
        # What is asked for is what is seen: a region that is nowhere by now is not painted.
        layers.paint([time_s], frames, lambda shares: painted.setdefault(shares, frames))
        codes = [engine.mix(self._codes[: len(shares)], list(shares)) for shares in painted]
        for place, (shares, code) in enumerate(zip(list(painted), codes, strict=True)):
            begin, end = place / len(codes), (place + 1) / len(codes)
            work = portion(engine.paint(pixels, code, *about), begin, end)
            painted[shares] = (yield from work)[None]
        whole: Pixels = layers.paint([time_s], frames, painted.__getitem__)[0]
        return whole
