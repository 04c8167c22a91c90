"""`--stabilize`: what was painted stays where the thing that it was painted on goes.

Each painted frame is blended with the output before it, moved along with the content, where the
content has not changed: there a difference between the two is flicker. Flow by OpenCV's DIS
(Kroeger et al., ECCV 2016) between the unpainted frames, at a reduced size; trusted where the flows
of both directions cancel out (Sundaram et al., ECCV 2010) and the moved content looks the same.
Frames are needed in order; everything starts afresh at a cut, after a reconnect, and when what is
wanted changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.flow import moved
from pipeline.frame import Pixels

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]

SIDE_PX = 240
"""Short side at which flow is estimated."""
MOST = 0.75
"""Weight of the output before, where it is trusted wholly: the rest follows within some frames."""
LIKE, UNLIKE = 6.0, 20.0
"""Difference of the moved content, of 255, up to which it counts as the same, and from which on as
another thing."""
LIKENESS = np.clip((UNLIKE - np.arange(256)) / (UNLIKE - LIKE), 0, 1).astype(np.float32)
REACH = np.ones((9, 9), np.uint8)
"""How far, at the size for flow, a thing changes what is painted around it."""
NEAR, ROOM = np.ones((5, 5), np.uint8), (12, 12, 12, 0)
"""Surroundings in px whose colours bound what may stay, and how far it may be off them."""
SUDDEN = 0.2
"""Change of a share of a style, or of the strength, from a frame to the next."""
EVERY = 4
"""Frames of which one is measured: that takes as long as the rest."""
CUT = 0.35
"""Where less than this share of the picture is trusted, another scene has begun."""


@dataclass(frozen=True, slots=True)
class Flicker:
    """How much paint changes from frame to frame beyond the content's own motion: mean absolute
    difference of 255 to the frame before, moved along, where that can be told."""

    painted: float
    """As painted."""
    output: float
    """After blending."""


@dataclass(frozen=True, slots=True)
class _Before:
    """The frame before: its content, that small and grey, as painted, and as it came out."""

    content: Pixels
    grey: Grey
    painted: Pixels
    output: Pixels
    look: Sequence[float]


class Stabilizer:
    """Call it with each frame of a stream in order."""

    def __init__(self) -> None:
        self._before: _Before | None = None
        self._blends = 0
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._flicker: Flicker | None = None

    def state(self) -> dict[str, NDArray[Any]]:
        """All that the next frame depends on."""
        before = self._before
        if before is None:
            return {}
        pictures = {"content": before.content, "painted": before.painted, "output": before.output}
        return {**pictures, "look": np.array(before.look, float)}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on behind the frame that `state` is of."""
        content, painted, output = (state[name] for name in ("content", "painted", "output"))
        look = [float(x) for x in state["look"]]
        self._before = _Before(content, small(content), painted, output, look)

    def take_flicker(self) -> Flicker | None:
        """What was measured since the last call; None: nothing."""
        flicker, self._flicker = self._flicker, None
        return flicker

    def __call__(self, content: Pixels, painted: Pixels, look: Sequence[float]) -> Pixels:
        """A frame unpainted and painted -> the output. Where `look` differs from that of the frame
        before by more than SUDDEN, nothing of that stays."""
        grey = small(content)
        before = self._before
        output = painted
        if before is not None and is_like(look, before.look):
            back = self._dis.calc(grey, before.grey, None)
            trust = self._trust(grey, before.grey, back)
            if trust.mean() >= CUT:
                output = self._blended(before, content, painted, back, trust)
        if output is painted:
            self._blends = 0
        self._before = _Before(content.copy(), grey, painted.copy(), output.copy(), look)
        return output

    def _trust(self, grey: Grey, before: Grey, back: Floats) -> Floats:
        """(h,w), 0 to 1: how surely each pixel shows what `back` says it showed before."""
        forth = self._dis.calc(before, grey, None)
        returned = moved(forth, back)
        off = np.square(back + returned).sum(-1)
        room = 0.02 * (np.square(back) + np.square(returned)).sum(-1) + 0.25
        unlike = cv2.GaussianBlur(cv2.absdiff(grey, moved(before, back)), (0, 0), 1.5)
        trusted = np.where(off <= room, likeness(unlike), np.float32(0))
        # What is painted around a thing belongs to it, and goes with it.
        return cv2.GaussianBlur(cv2.erode(trusted, REACH), (0, 0), 1.5)

    def _blended(
        self, before: _Before, content: Pixels, painted: Pixels, back: Floats, trust: Floats
    ) -> Pixels:
        height, width = painted.shape[:2]
        flow = cv2.resize(back, (width, height), interpolation=cv2.INTER_LINEAR)
        flow *= np.array([width / back.shape[1], height / back.shape[0]], np.float32)
        # What is thin is not seen at the size for flow.
        red, green, blue = cv2.split(cv2.absdiff(content, moved(before.content, flow)))
        unlike = cv2.blur(cv2.max(cv2.max(red, green), blue), (3, 3))
        weight = cv2.resize(MOST * trust, (width, height), interpolation=cv2.INTER_LINEAR)
        weight *= likeness(unlike)
        stays = moved(before.output, flow, cv2.INTER_CUBIC)
        # No stroke stays where nothing near it is of its colour now.
        low, high = cv2.erode(painted, NEAR), cv2.dilate(painted, NEAR)
        stays = cv2.max(cv2.subtract(low, ROOM), cv2.min(cv2.add(high, ROOM), stays))
        output = cv2.blendLinear(painted, stays, 1 - weight, weight)
        if self._blends % EVERY == 0:
            seen = (weight > MOST / 2).astype(np.uint8)
            was = moved(before.painted, flow, cv2.INTER_CUBIC)
            self._flicker = Flicker(apart(painted, was, seen), apart(output, stays, seen))
        self._blends += 1
        return np.asarray(output, np.uint8)


def is_like(look: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one follows the other within a cross-fade, at most."""
    return len(look) == len(other) and all(
        abs(a - b) <= SUDDEN for a, b in zip(look, other, strict=True)
    )


def apart(a: Pixels, b: Pixels, where: Grey) -> float:
    """Mean absolute difference where that is not 0; 0 where that is nowhere."""
    return float(np.mean(cv2.mean(cv2.absdiff(a, b), where)[:3]))


def likeness(difference: Grey) -> Floats:
    """Differences of 255 -> 1 where the same thing is seen, 0 where another is."""
    return cv2.LUT(difference, LIKENESS)


def small(content: Pixels) -> Grey:
    """Brightness at the size for flow."""
    height, width = content.shape[:2]
    scale = min(1.0, SIDE_PX / min(height, width))
    size = max(16, round(width * scale)), max(16, round(height * scale))
    grey = cv2.cvtColor(content, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
