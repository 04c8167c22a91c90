"""Regions: masks say where each style lies, as pictures or as videos beside the frames. Both are
decoded in child processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from models import pictures
from pipeline.confined import confined, streamed
from pipeline.errors import ConfigError, StreamError
from pipeline.frame import Frame, Pixels
from pipeline.sources import PICTURE_SUFFIXES, SourceOptions, open_source
from pipeline.sources.file import CLEAR

Shares = NDArray[np.float32]
"""Height x width x 1, how much a region has of each pixel, 0 to 1."""
ALONG = SourceOptions()
"""How a video of a mask is read beside an input that is read from its start, at its own rate."""
NEARLY = 8
"""Levels of 255 that lossy video adds to black or takes from white."""
SAME_S = 0.001
"""Times this near are one: what an .mkv notes is rounded so."""


class Mask:
    """White where its style lies, black or transparent elsewhere, grey where both mix; scaled to
    the frames.

    A video goes along with the frames by time, read from where and at the rate at which they are;
    after its end the last picture stays.
    """

    def __init__(self, path: str, along: SourceOptions = ALONG) -> None:
        """Read or open it; ConfigError says what is wrong."""
        self.path, self._name, self._along = path, f"mask {path}", along
        self._still: Pixels | None = None
        self._clear = False
        self._frames: Iterator[Frame] = iter(())
        self._scaled: tuple[Pixels, tuple[int, int], Shares] | None = None
        self._shown: Frame | None = None
        self._next: Frame | None = None
        self._step_s: float | None = None  # between its last two pictures
        self._ended_s: float | None = None  # where frames have gone on without it
        self._black = self._white = True  # everywhere, in all that has been seen of it
        if Path(path).suffix.lower() in PICTURE_SUFFIXES:
            self._still = confined(self._name, read_mask, path)
            self._see(self._still)
        else:
            self._rewind()

    def _rewind(self) -> None:
        try:
            moving = streamed(self._name, _moving, self.path, self._along)
            self._clear = next(moving) == CLEAR
            self._frames = cast(Iterator[Frame], moving)
            self._shown = self._next = next(self._frames, None)
        except StreamError as error:
            raise ConfigError(f"{self._name}: {error}") from error
        if self._shown is None:
            raise ConfigError(f"{self._name} has no picture that can be decoded")
        self._first_s = self._shown.time_s
        self._see(self._shown.pixels)

    def _see(self, picture: Pixels) -> None:
        # What has been found to be neither is not looked at again.
        self._black = self._black and bool(picture.max() < NEARLY)
        self._white = self._white and bool(picture.min() > 255 - NEARLY)

    def shape_notices(self, width: int, height: int) -> list[str]:
        """What the user should know before frames of this size are painted."""
        clear = [f"{self._name} has transparency, which is ignored in a video"] * self._clear
        return clear + stretched(self._name, self.picture(0.0), width, height)

    def notices(self) -> list[str]:
        """What the user should know once all of it has been seen, which of a video is at its
        end."""
        told = []
        if self._next is None and self._black:
            told.append(f"{self._name} is black everywhere: its style is not seen")
        if self._next is None and self._white:
            told.append(f"{self._name} is white everywhere: no style before its own is seen")
        return told + self.end_notices()

    def end_notices(self) -> list[str]:
        """What the user should know once frames have gone on without it."""
        if self._ended_s is None:
            return []
        return [f"{self._name} ends at {self._ended_s:.2f} s: its last picture stays"]

    def at(self, time_s: float, width: int, height: int) -> Shares:
        """The shares at a time of the output; worked out once for each picture of the mask."""
        picture, size = self.picture(time_s), (width, height)
        if self._scaled is None or self._scaled[0] is not picture or self._scaled[1] != size:
            self._scaled = picture, size, scaled(picture, width, height)
        return self._scaled[2]

    def picture(self, time_s: float) -> Pixels:
        """As it is, at a time of the output."""
        if self._still is not None:
            return self._still
        assert self._shown is not None
        if self._first_s < self._shown.time_s > time_s:
            self._rewind()
        while self._next is not None and self._next.time_s <= time_s + SAME_S:
            self._shown, self._next = self._next, next(self._frames, None)
            if self._next is not None:
                self._step_s = self._next.time_s - self._shown.time_s
                self._see(self._next.pixels)
        if self._next is None and self._step_s is not None:  # a video of one picture is a still
            end_s = self._shown.time_s + self._step_s
            if time_s > end_s + self._step_s / 2:
                self._ended_s = end_s + (self._along.start_s or 0)
        return self._shown.pixels


def _moving(path: str, along: SourceOptions) -> Iterator[Frame | str]:
    """CLEAR where it has transparency, else ""; then its frames."""
    with open_source(path, along) as source:
        yield CLEAR if CLEAR in source.notices else ""
        yield from (frame for frame in source.frames() if frame is not None)


def read_mask(path: str) -> Pixels:
    """A mask that is a picture; ConfigError says what is wrong with it."""
    try:
        return pictures.read(Path(path), beneath="black")[0]
    except OSError as error:
        raise ConfigError(f"mask {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"mask {path} {error}") from error


def colours(picture: Pixels) -> list[tuple[int, int, int]]:
    """The colours that mark regions: those of half a percent of the pixels at least, roughly. What
    soft edges are made of is none."""
    slope = cv2.morphologyEx(picture, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(2)
    rough = (picture // 32)[slope <= NEARLY]
    found, counts = np.unique(rough, axis=0, return_counts=True)
    large = found[counts >= 0.005 * slope.size].astype(int) * 255 // 7
    return [(int(r), int(g), int(b)) for r, g, b in large]


def stretched(name: str, picture: Pixels, width: int, height: int) -> list[str]:
    """What the user should know of a mask of another shape than what it marks."""
    h, w = picture.shape[:2]
    if abs(w * height - h * width) <= max(w * height, h * width) * 0.02:
        return []
    return [f"{name} is {w}x{h}: stretched to {width}x{height}"]


def scaled(picture: Pixels, width: int, height: int) -> Shares:
    """The brightness of a picture at the size of the frames, 0 to 1."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    # The sides that shrink first: beside one that grows their pixels would not be averaged.
    least = min(width, grey.shape[1]), min(height, grey.shape[0])
    small = cv2.resize(grey, least, interpolation=cv2.INTER_AREA)
    small = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(small, np.float32)[..., None] / np.float32(255)
