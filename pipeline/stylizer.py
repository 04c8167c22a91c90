"""The stage between reader and writer: it paints."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from hashlib import sha256
from itertools import groupby
from math import ceil, sqrt
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from engines import (
    Arrays,
    Frames,
    MatchingEngine,
    StillEngine,
    check_code,
    load_engine,
    said,
)
from models import DETAIL
from pipeline.control import Change
from pipeline.errors import EngineError, StreamError
from pipeline.frame import Pixels
from pipeline.keyframes import Film
from pipeline.layers import Layers, Shares
from pipeline.mask import ALONG, Mask
from pipeline.pool import FramePool, PoolHandle, SentFrames
from pipeline.queues import Ticket
from pipeline.sources import SourceOptions
from pipeline.stages import Stage, Work
from pipeline.timeline import Timeline

MARKS = 16
"""Numbers that tell the style of a path from those of others."""
MOST_MIXES = 8
"""Kept of the mixes of styles that were seen last: one for each region."""
engine_of = cache(load_engine)
"""Streams that share this process share their engine too."""


@dataclass(frozen=True, slots=True)
class Look:
    """All that decides how a frame is painted."""

    model: str
    device: str
    styles: list[Frames | Arrays]
    paths: list[str]
    """Of the styles."""
    timeline: Timeline
    masks: list[str]
    """One for each style but the first, which lies beneath; none: styles go by the timeline."""
    strength: float
    keep_color: bool
    threads: int | None
    """Of a machine, shared by its stylizers; None: all it has."""
    engine: str
    film: Film | None = None
    """For a model that paints by optimisation: what its key frames are chosen from."""
    guides: tuple[str, Pixels] | None = None
    """Regions marked by colours: the path of a mask for the frames, and the picture of the one
    style in which the same are marked."""
    detail: float | None = None
    """Of a model whose codes have it: neat."""
    show_matches: bool = False
    """Of a model that has them: dynast."""
    sharing: int = 1
    """Stylizers on one machine."""
    alone: bool = False
    """The input is a single picture."""
    along: SourceOptions = ALONG
    """How videos of masks are read."""

    @property
    def threads_each(self) -> int:
        """For one stylizer on this machine."""
        return max(1, (self.threads or os.cpu_count() or 1) // self.sharing)


Ready = tuple[Change, dict[str, Any], dict[str, Mask], str]
"""A change, the codes of its new styles and its new masks, by their paths; why a mask could not be
read."""


class Stylizer(Stage):
    """Paints frames from one slot into another. Frames do not depend on one another."""

    def __init__(self, pool: PoolHandle, look: Look) -> None:
        super().__init__(pool)
        self._look = look
        # One at a time, in order: encoding a style takes a moment, in which frames go on.
        self._beside = ThreadPoolExecutor(1)
        self._coming: deque[Future[Ready]] = deque()
        self._places = {path: place for place, path in enumerate(look.paths)}
        self._forgotten: set[str] = set()  # paths, whose codes a fade may still need
        self._notices: list[str] = []

    def open(self) -> Work:
        """Load the model, encode the styles, open the masks."""
        look = self._look
        try:
            self._engine = engine_of(look.model, look.device, look.threads_each, look.engine)
            for style in look.styles:
                if isinstance(style, dict):
                    check_code(self._engine, style)
            self._codes = [self._encode(style) for style in look.styles]
            beyond = range(len(look.paths), len(look.styles))
            self._named = [*look.paths, *map(str, beyond)]
        except (ValueError, OSError, RuntimeError, MemoryError, SafetensorError) as error:
            raise EngineError(f"model {look.model}: {said(error)}") from error
        masks = [Mask(path, look.along) for path in look.masks]
        self._layers = Layers.planned(look.timeline, masks, len(self._codes))
        self._mixes: dict[Shares, Any] = {}
        self._masks = masks
        self._notices = [text for mask in masks for text in mask.shape_notices(*self._pool.size)]
        return Work(notices=self._said())

    def close(self) -> None:
        """Let go of the pool. Only who shares this process needs it: others just end."""
        self._beside.shutdown(wait=False, cancel_futures=True)
        if isinstance(self._pool, FramePool):
            self._pool.close()

    def _encode(self, style: Frames | Arrays) -> Any:
        """The code of a style."""
        code = self._engine.encode_style(style)
        if self._look.detail is None:
            return code
        return code | {DETAIL: 0 * code[DETAIL] + self._look.detail}

    def adjust(self, change: Change) -> Work:
        """Take on a change, which holds between two frames once its styles are encoded."""
        self._coming.append(self._beside.submit(self._readied, change))
        return Work()

    def _readied(self, change: Change) -> Ready:
        """What a change needs that is not there yet; runs beside the painting."""
        new = change.pictures.keys() - self._places.keys()
        known = self._layers.masks
        paths = {region.mask for region in change.regions or () if region.mask} - known.keys()
        encoded = {path: self._encode(change.pictures[path]) for path in new}
        try:
            return change, encoded, {path: Mask(path) for path in paths}, ""
        except (StreamError, OSError) as error:  # a later change may name these styles
            return change, encoded, {}, str(error)

    def _adopt(self, now_s: float) -> None:
        """What has been made ready of the changes asked for; `now_s` is the time of the next
        frame."""
        while self._coming and self._coming[0].done():
            try:
                change, encoded, masks, lacking = self._coming.popleft().result()
            except (StreamError, ValueError, OSError, RuntimeError, MemoryError) as error:
                self._left_out(error)
                continue
            for path in encoded.keys() - self._places.keys():
                self._keep(path, encoded[path])
            self._forgotten |= change.forget & self._places.keys()
            if lacking:
                self._left_out(lacking)
                continue
            # A fade begins when its styles are there, not while they are encoded.
            at_s = max(change.at_s, now_s) if encoded or masks else change.at_s
            self._turn(change, at_s, self._layers.masks | masks)
            self._look = replace(self._look, strength=change.strength, keep_color=change.keep_color)
        if self._forgotten:
            self._forget(now_s)

    def _left_out(self, why: object) -> None:
        self._notices.append(f"a change was left out: {said(why)}")

    def _keep(self, path: str, code: Any) -> None:
        """A code of a new style, at a place that is free."""
        place = self._named.index("") if "" in self._named else len(self._named)
        self._places[path] = place
        self._named[place : place + 1] = [path]
        self._codes[place : place + 1] = [code]

    def _forget(self, now_s: float) -> None:
        """Let go of the codes that nobody can ask for and that no fade needs any more."""
        layers = self._layers.since(now_s)
        gone = {path for path in self._forgotten if self._places[path] not in layers.places}
        if not gone:
            return
        # A frame that is painted once more, of a time before, must not ask for them either.
        self._layers, self._forgotten = layers, self._forgotten - gone
        for path in gone:
            place = self._places.pop(path)
            self._codes[place], self._named[place] = None, ""
        self._mixes.clear()  # they are known by places, which others may take

    def _turn(self, change: Change, at_s: float, masks: dict[str, Mask]) -> None:
        """Other styles, other regions."""
        if change.regions is None:
            return
        wanted = []
        for region in change.regions:
            shares = [0.0] * len(self._codes)
            for path in region.shares.keys() & self._places.keys():
                shares[self._places[path]] = region.shares[path]
            total = sum(shares)
            if total:
                mask = masks[region.mask] if region.mask else None
                wanted.append((region.name, mask, [share / total for share in shares]))
        if wanted and wanted[0][1] is None:
            self._layers = self._layers.turned(at_s, change.fade_s, wanted)

    def stylize(self, tickets: Sequence[Ticket], slots: Sequence[int]) -> Work:
        """Paint each ticket's frame into the slot beside it; tickets come back with that slot."""
        self._adopt(tickets[0].time_s)
        seconds: list[float] = []
        moved = [replace(t, slot=slot) for t, slot in zip(tickets, slots, strict=True)]
        for group in self._alike(tickets):
            began = time.perf_counter()
            frames = self._pool[group[0].slot][None]
            if len(group) > 1:
                frames = np.stack([self._pool[t.slot] for t in group])
            frames = resized(frames, group[0].size, cv2.INTER_AREA)
            times_s = [t.time_s for t in group]
            try:
                painted = self._layers.paint(times_s, frames, partial(self._paint, frames))
            except (MemoryError, ValueError) as error:  # of a size that no exported graph holds
                raise EngineError(f"model {self._look.model}: {said(error)}") from error
            whole = resized(painted, self._pool.size, cv2.INTER_CUBIC)
            for ticket, pixels in zip(group, whole, strict=True):
                place = len(seconds)
                slot, beside = moved[place].slot, self._pool.handle.beside
                np.copyto(self._pool[slot], pixels)
                if beside:
                    np.copyto(self._pool[slot + beside], self._pool[ticket.slot])
                seconds.append((time.perf_counter() - began) / len(group))
                look = self._looks(ticket.time_s)
                moved[place] = replace(moved[place], paint_s=seconds[-1], look=look)
        return Work(moved, seconds, notices=self._said())

    def _said(self) -> list[str]:
        """All that the user should know by now."""
        for text in (self._engine.why, *(text for mask in self._masks for text in mask.notices())):
            if text not in ["", *self._notices]:
                self._notices.append(text)
        return list(self._notices)

    def stylize_sent(self, tickets: Sequence[Ticket], slots: Sequence[int], frames: Frames) -> Work:
        """As `stylize`, on a node that cannot reach the pool: frames (N,H,W,3) come along, and
        painted ones go back."""
        held = self._pool = SentFrames(self._pool.handle, [t.slot for t in tickets], frames)
        work = self.stylize(tickets, slots)
        return replace(work, sent=[held[slot] for slot in slots])

    def _looks(self, time_s: float) -> tuple[float, ...]:
        """Numbers that say the same in every stylizer, whatever places its styles have."""
        marks = np.array([marks_of(path) for path in self._named]).reshape(-1, MARKS)
        seen = [np.array(shares) @ marks[: len(shares)] for shares in self._layers.at(time_s)]
        return (self._look.strength, float(self._look.keep_color), *np.concatenate(seen).tolist())

    def _alike(self, tickets: Sequence[Ticket]) -> Iterator[list[Ticket]]:
        """Runs of tickets that one call of the engine can paint: of one mix, of its batch size."""
        for _, run in groupby(tickets, lambda t: (self._layers.at(t.time_s), t.size)):
            held = list(run)
            for i in range(0, len(held), self._engine.batch):
                yield held[i : i + self._engine.batch]

    def _paint(self, frames: Frames, shares: Shares) -> Frames:
        if shares not in self._mixes:
            if len(self._mixes) >= MOST_MIXES:
                del self._mixes[next(iter(self._mixes))]
            self._mixes[shares] = self._engine.mix(self._codes[: len(shares)], list(shares))
        look = self._look
        code = self._mixes[shares]
        paint: Callable[..., Frames] = self._engine
        if look.alone and getattr(self._engine, "paints_stills", False):
            paint = cast(StillEngine, self._engine).still
        painted = paint(frames, code, look.strength, look.keep_color)
        if look.show_matches:
            moved = cast(MatchingEngine, self._engine).matches(frames, code, look.strength)
            return tiled([*moved, painted])
        return painted


@lru_cache(256)
def marks_of(path: str) -> NDArray[np.float64]:
    """Each half above or below 0, so that two styles are one apart in some."""
    made = np.frombuffer(sha256(path.encode()).digest(), np.uint8)
    return np.asarray(np.unpackbits(made)[:MARKS] - 0.5, np.float64)


def tiled(pictures: list[Frames]) -> Frames:
    """Each (N,h,w,3): side by side, row by row, as many across as down; the whole has the size of
    the last."""
    sheet = np.zeros_like(pictures[-1])
    (h, w), n = sheet.shape[1:3], ceil(sqrt(len(pictures)))
    for place, picture in enumerate(pictures):
        row, column = divmod(place, n)
        rows, columns = (slice(s * k // n, s * (k + 1) // n) for s, k in ((h, row), (w, column)))
        tile = sheet[:, rows, columns]
        tile[:] = resized(picture, tile.shape[2:0:-1], cv2.INTER_AREA)
    return sheet


def resized(frames: Frames, size: tuple[int, int] | None, how: int) -> Frames:
    """Frames (N,H,W,3) at (width, height); as they are where that is None or their own."""
    if size in (None, frames.shape[2:0:-1]):
        return frames
    return np.stack([cv2.resize(frame, size, interpolation=how) for frame in frames])
