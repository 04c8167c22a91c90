"""Films by key frames: those are painted at length, and all between follows them by the motion.

What a frame becomes depends on the film alone and not on who asks when: a stage that died reads
from the beginning again and comes to the same keys. A frame takes its pixels from the key before
and the key after it, from each where its flow can be trusted, the nearer one more; what neither
saw is the frame itself with the colours that were painted nearest to it. No key is blended over a
cut.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.address import shown
from pipeline.confined import streamed
from pipeline.flow import Flow, Grey, flow, inside, moved, trusted
from pipeline.frame import Frame, Pixels
from pipeline.sources import SourceOptions, frames_of

FLOW_SIDE_PX = 256
"""The short side at which motion is looked for."""
MOST_FRAMES = 60
"""From a key to the next, which bounds memory: about 1 MB a frame."""
COVERED = 0.7
"""A frame of which less than this follows from the key before it is the next key."""
CHANGED = 0.2
"""Of their deviation by which two neighbours differ where there may be a cut, so that dark scenes
count too: there is one if less than FOLLOWED of the later one follows from the earlier."""
GRAIN, GRAIN_PX = 1.5, 2.0
"""Levels of 255, once blurred so far: what differs by less is the grain of one scene."""
FOLLOWED = 0.3
UNLIKE = 25
"""Levels of 255, once blurred, by which the same thing does not change: flows agree where nothing
can be seen to move, such as on black."""
SOFT_PX = 1.5
CELLS = 24
"""Of the short side: how finely what was painted around a hole is known."""
KNOWN = 4.0
"""A cell of which a quarter was seen is known; others go by those around, as far as it takes."""

Painting = Generator[float, None, Pixels]
PaintKey = Callable[[float, Pixels], Painting]
Cue = int | float
"""A key frame by its index (int) or by its time in s (float)."""


@dataclass(frozen=True, slots=True)
class Film:
    """What is painted by key frames, and which the user chose; none: they are found."""

    source: str
    options: SourceOptions
    cues: tuple[Cue, ...] = ()

    def frames(self) -> Iterator[Frame]:
        """All of them, decoded in a child process."""
        return streamed(shown(self.source), frames_of, self.source, self.options)


@dataclass(slots=True)
class Way:
    """From a frame to a key: the flow at FLOW_SIDE_PX, in half precision, and where it holds."""

    flow: NDArray[np.float16]
    seen: NDArray[np.bool_]


@dataclass(slots=True)
class Stretch:
    """The frames from a key up to the next, with what leads to the one and to the other."""

    first: int
    before: Pixels
    """The key at `first`, painted."""
    back: list[Way] = field(default_factory=list)
    """Of the frames after the first."""
    forth: list[Way] = field(default_factory=list)
    """As `back`; none where the next key is another scene, or there is none."""
    after: Pixels | None = None

    @property
    def end(self) -> int:
        """The first frame that no longer belongs to it."""
        return self.first + 1 + len(self.back)


class KeyFrames:
    """Paints the frames of a film, best in order."""

    def __init__(
        self, film: Callable[[], Iterator[Frame]], cues: Sequence[Cue], paint_key: PaintKey
    ) -> None:
        """`film()` gives its frames from the first; `paint_key(time_s, pixels)` paints one as a
        key. `cues`: the keys that the user chose; none: they are found."""
        self._film, self._cues, self._paint_key = film, cues, paint_key
        self.notices: list[str] = []
        """Of keys that the user chose beyond the end, which is known once the film is read."""
        self._stretch: Stretch | None = None
        self._ahead: Iterator[Frame] = iter(())
        self._advances = False
        self._key: Frame | None = None
        self._key_painted: Pixels | None = None

    def paint(self, index: int, pixels: Pixels) -> Painting:
        """The frame of this index."""
        if self._stretch is None or index < self._stretch.first:
            self._begin()
        while self._stretch is None or index >= self._stretch.end:
            if self._advances:  # who asked for another frame left it there
                self._begin()
            self._advances = True
            self._stretch = yield from self._advance(index)
            self._advances = False
        return rendered(self._stretch, index, pixels)

    def _begin(self) -> None:
        self._ahead = self._film()
        self._key = next(self._ahead)
        self._stretch = self._key_painted = None
        self._advances = False

    def _advance(self, wanted: int) -> Generator[float, None, Stretch]:
        """The stretch that begins at the key found last. Its keys are painted only if the frame
        that is wanted lies in it."""
        key = self._key
        assert key is not None
        greys = [grey_of(key.pixels)]
        back: list[Way] = []
        last, after, cut = key, None, False
        for frame in self._ahead:
            yield 0.0
            grey = grey_of(frame.pixels)
            cut = is_cut(greys[-1], grey)
            way = None if cut else way_to(grey, greys[0], back[-1].flow if back else None)
            if way is None or len(greys) == MOST_FRAMES or self._is_key(last, frame, way):
                after = frame
                break
            greys.append(grey)
            back.append(way)
            last = frame
        if after is None:
            self.notices = [
                f"{named(cue)} lies beyond the end: the last frame is {last.index}, "
                f"at {last.time_s:.2f} s"
                for cue in self._cues
                if cue > (last.index if isinstance(cue, int) else last.time_s)
            ]
        self._key = after
        stretch = Stretch(key.index, key.pixels, back)
        if wanted >= stretch.end:
            self._key_painted = None
            return stretch
        between = after is not None and not cut and bool(back)
        painted = self._key_painted
        if painted is None:
            painted = yield from portion(
                self._paint_key(key.time_s, key.pixels), 0, 1 - between / 2
            )
        stretch.before, self._key_painted = painted, None
        if after is not None and between:
            work = self._paint_key(after.time_s, after.pixels)
            stretch.after = self._key_painted = yield from portion(work, 0.5, 1)
            near, target = None, grey_of(after.pixels)
            for grey in reversed(greys[1:]):
                stretch.forth.insert(0, way_to(grey, target, near))
                near = stretch.forth[0].flow
        return stretch

    def _is_key(self, before: Frame, frame: Frame, way: Way) -> bool:
        if not self._cues:
            return bool(way.seen.mean() < COVERED)
        return any(
            cue == frame.index if isinstance(cue, int) else before.time_s < cue <= frame.time_s
            for cue in self._cues
        )


def named(cue: Cue) -> str:
    """A key as its user chose it."""
    return f"key frame {cue}" if isinstance(cue, int) else f"key frame at {cue:g} s"


def portion(work: Painting, begin: float, end: float) -> Painting:
    """`work` as the part from `begin` to `end` of something longer."""
    while True:
        try:
            done = next(work)
        except StopIteration as stop:
            painted: Pixels = stop.value
            return painted
        yield begin + done * (end - begin)


def grey_of(pixels: Pixels) -> Grey:
    """The picture in which motion is looked for."""
    scale = min(1.0, FLOW_SIDE_PX / min(pixels.shape[:2]))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def is_cut(before: Grey, after: Grey) -> bool:
    """Whether two neighbours show different scenes."""
    smooth = [blurred(grey) for grey in (before, after)]
    deviation = np.mean([grey.std() for grey in smooth])
    if cv2.absdiff(*smooth).mean() < max(GRAIN, CHANGED * deviation):
        return False
    return bool(way_to(after, before, None).seen.mean() < FOLLOWED)


def blurred(grey: Grey) -> Grey:
    """Without grain."""
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), GRAIN_PX), np.uint8)


def way_to(grey: Grey, key: Grey, near: NDArray[np.float16] | None) -> Way:
    """From a frame to a key; `near`: the flow of its neighbour."""
    start = None if near is None else near.astype(np.float32)
    to, back = flow(grey, key, start), flow(key, grey)
    unlike = cv2.absdiff(blurred(grey), blurred(moved(key, to)))
    return Way(to.astype(np.float16), trusted(to, back) & inside(to) & (unlike < UNLIKE))


def rendered(stretch: Stretch, index: int, pixels: Pixels) -> Pixels:
    """A frame of a stretch, made of its keys."""
    place = index - stretch.first - 1
    if place < 0:
        return stretch.before
    height, width = pixels.shape[:2]
    keys = [(stretch.before, stretch.back[place])]
    if stretch.after is not None:
        keys.append((stretch.after, stretch.forth[place]))
    done = (place + 1) / (len(stretch.back) + 1)
    nearness = (1 - done, done) if len(keys) > 1 else (1.0,)
    total = np.zeros((height, width, 3), np.float32)
    anyhow = np.zeros(3, np.float32)
    weights = np.full((height, width, 1), 1e-6, np.float32)
    seen = np.zeros((height, width, 1), np.float32)
    for (key, way), near in zip(keys, nearness, strict=True):
        share = soft(way.seen, width, height)
        total += near * share * np.asarray(moved(key, full(way.flow, width, height)), np.float32)
        weights += near * share
        seen = np.maximum(seen, share)
        anyhow += near * (key.mean((0, 1)) - pixels.mean((0, 1)))
    painted = total / weights
    # Where hardly anything is known, what is around it says how the frame's colours were changed.
    scale = CELLS / min(width, height)
    cells: Any = cv2.resize(
        np.dstack([seen * (painted - pixels), seen]),
        (max(1, round(scale * width)), max(1, round(scale * height))),
        interpolation=cv2.INTER_AREA,
    )
    change = cv2.resize(spread(cells, anyhow), (width, height), interpolation=cv2.INTER_LINEAR)
    result = seen * painted + (1 - seen) * (pixels + change)
    return np.asarray(result.clip(0, 255).round(), np.uint8)


def spread(cells: Any, anyhow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Changes (H,W,3+1), the last how much was seen, by which they are multiplied -> (H,W,3), known
    everywhere: from the nearest cells that are, and where there are none `anyhow`.

    By ever coarser cells and back (the pull-push of Gortler et al., SIGGRAPH 1996).
    """
    height, width = cells.shape[:2]
    around: Any = np.broadcast_to(anyhow, (height, width, 3))
    if height * width > 1:
        halves = (width + 1) // 2, (height + 1) // 2
        coarse = spread(cv2.resize(cells, halves, interpolation=cv2.INTER_AREA), anyhow)
        around = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    change, seen = cells[..., :3], cells[..., 3:]
    known = np.minimum(1, KNOWN * seen)
    return np.asarray(around + known * (change / (seen + 1e-6) - around), np.float32)


def soft(seen: NDArray[np.bool_], width: int, height: int) -> NDArray[np.float32]:
    """Where a way holds, at the frame's size, without hard edges."""
    whole = cv2.resize(seen.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(whole, (0, 0), SOFT_PX), np.float32)[..., None]


def full(low: NDArray[np.float16], width: int, height: int) -> Flow:
    """A flow at the frame's size, in its pixels."""
    scale = np.array([width / low.shape[1], height / low.shape[0]], np.float32)
    return np.asarray(cv2.resize(low.astype(np.float32), (width, height)) * scale, np.float32)
