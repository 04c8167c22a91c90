"""`test:` a made-up scene of known motion, with a flash and a beep at each second."""

import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from pipeline import blocks
from pipeline.errors import SourceInvalid
from pipeline.frame import ColorTags, Frame, Pixels, StreamInfo
from pipeline.sources import Room, Source, SourceOptions, scaled
from pipeline.sources._scene import LiveScene

_SOUND_HZ, _LONG_HZ = 48_000, 8_000
_LONG_S, _MOST_S = 3600, 3 * 24 * 3600
"""Longer scenes have coarser sound, and the longest has no more than a wav holds."""
_BEEP_HZ = 880
_BEEP_S = 0.1
_BITS = 24
_PERIOD = 240
"""Frames after which the path of the camera repeats."""


def create(text: str, options: SourceOptions) -> Source:
    """The scene that `test:size=1280x720,rate=30,frames=300` asks for; with `live` as a camera
    would give it."""
    words = text.partition(":")[2].split(",")
    if "live" not in words:
        return TestSource(text, options)
    about = ",".join(word for word in words if word != "live")
    scene = TestSource(f"test:{about}", SourceOptions(size=options.size))
    _, _, rate, frames = parse(f"test:{about}")
    has_end = "frames=" in about or "duration=" in about
    return LiveScene(scene, rate, frames if has_end else None)


def parse(text: str) -> tuple[int, int, Fraction, int]:
    """(width, height, rate, frames) of a `test:` text; every key may be left out."""
    values = {"size": "1280x720", "rate": "30"}
    for item in filter(None, text.partition(":")[2].split(",")):
        key, _, value = item.partition("=")
        if key not in ("size", "rate", "frames", "duration"):
            raise SourceInvalid(
                f"{text}: unknown key {key}; known are size, rate, frames, duration, live"
            )
        values[key] = value
    try:
        if any(len(value) > 20 or "e" in value.lower() for value in values.values()):
            raise ValueError
        width, height = (int(side) for side in values["size"].split("x"))
        rate = Fraction(values["rate"])
        duration = Fraction(values.get("duration", "10"))
        frames = int(values.get("frames", round(duration * rate)))
    except (ValueError, ZeroDivisionError):
        raise SourceInvalid(
            f"{text}: write it like test:size=1280x720,rate=30,frames=300"
        ) from None
    if not (0 < rate <= 1000 and frames > 0 and 0 < width <= 7680 and 0 < height <= 4320):
        raise SourceInvalid(f"{text}: rate 1 to 1000, at least 1 frame, at most 7680x4320")
    if frames / rate > _MOST_S:
        raise SourceInvalid(f"{text}: three days at most")
    return width, height, rate, frames


def motion(index: int) -> tuple[int, int]:
    """(dx, dy) px by which the background moves from frame `index` to the next, on screen."""
    (x, y), (next_x, next_y) = _camera(index), _camera(index + 1)
    return x - next_x, y - next_y


def _camera(index: int) -> tuple[int, int]:
    """Left and top of the window on the canvas at frame `index`, in px; a closed path."""
    phase = 2 * np.pi * (index % _PERIOD) / _PERIOD
    return round(160 - 160 * np.cos(phase)), round(90 + 90 * np.sin(2 * phase))


def _noise(height: int, width: int) -> Pixels:
    """Detail at every scale: octaves of smooth noise in each channel."""
    random = np.random.default_rng(7)
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(2, 8):
        small = random.random((height // 2**octave + 2, width // 2**octave + 2, 3), np.float32)
        total += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC) * 2**octave
    total -= total.min((0, 1))
    scene: Pixels = (20 + 215 * total / total.max((0, 1))).astype(np.uint8)
    return scene


def read_index(pixels: Pixels) -> int:
    """The frame index that is written in the strip at the top of a picture; lossy video is fine."""
    return blocks.read(pixels, _BITS, 0)


class TestSource:
    """A pure function of the frame index."""

    __test__ = False

    def __init__(self, text: str, options: SourceOptions) -> None:
        self.notices: list[str] = []
        self.damage: str | None = None
        self.dropped: dict[str, int] = {}
        self.away = ""
        self.room: Room | None = None
        width, height, rate, frames = parse(text)
        self._width, self._height = scaled(width, height, options.size, text)
        rate, self._first = options.fps or rate, 0
        seconds = Fraction(frames) / parse(text)[2]
        if options.end_s is not None:
            seconds = min(seconds, Fraction(options.end_s))
        start = Fraction(options.start_s or 0)
        self._first = round(start * rate)
        self._count = max(round(seconds * rate) - self._first, 0)
        if self._count == 0:
            raise SourceInvalid(f"{text} has no frames in the part asked for")
        self._canvas = _noise(self._height + 180, self._width + 320)
        self._folder = TemporaryDirectory(prefix="stylestream-test-")
        self.info = self._describe(rate, start)

    def _describe(self, rate: Fraction, start: Fraction) -> StreamInfo:
        sound = Path(self._folder.name) / "beep.wav"
        write_beeps(sound, float((self._first + self._count) / rate))
        return StreamInfo(
            width=self._width,
            height=self._height,
            time_base=1 / rate,
            rate=rate,
            tags=ColorTags("bt709", "tv", "bt709", "bt709"),
            frames=self._count,
            counted=True,
            media=sound,
            media_start_s=float(start),
            media_end_s=float((self._first + self._count) / rate),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def frames(self, start: int = 0, after: int | None = None) -> Iterator[Frame]:
        """The frames from index `start` on."""
        for index in range(start, self._count):
            room = self.room() if self.room else None
            yield Frame(index, index, self.info.time_base, self.draw(index + self._first, room))

    def draw(self, index: int, room: Pixels | None = None) -> Pixels:
        """The picture at `index` of the whole scene; in `room` (H,W,3) where there is one."""
        x, y = _camera(index)
        height, width = self._height, self._width
        picture: Pixels = np.empty((height, width, 3), np.uint8) if room is None else room
        np.copyto(picture, self._canvas[y : y + height, x : x + width])
        self._shapes(picture, index)
        if self._is_flash(index):
            picture[height // 4 : height // 2, width // 4 : width // 2] = 255
        cv2.putText(
            picture,
            f"{index:06d}",
            (width // 40, height - height // 20),
            cv2.FONT_HERSHEY_SIMPLEX,
            height / 360,
            (255, 255, 255),
            max(1, height // 240),
        )
        blocks.draw(picture, index, _BITS, 0)
        return picture

    def _is_flash(self, index: int) -> bool:
        rate = 1 / self.info.time_base
        return index >= rate and round(round(Fraction(index) / rate) * rate) == index

    def _shapes(self, picture: Pixels, index: int) -> None:
        height, width = picture.shape[:2]
        radius = max(4, height // 10)
        across = (index * max(1, width // 160)) % (width + 2 * radius) - radius
        cv2.circle(picture, (across, height // 3), radius, (230, 60, 40), -1, cv2.LINE_AA)
        down = (index * max(1, height // 120)) % (height + 2 * radius) - radius
        corner = (2 * width // 3, down)
        opposite = (2 * width // 3 + 2 * radius, down + radius)
        cv2.rectangle(picture, corner, opposite, (40, 90, 220), -1)


def write_beeps(path: Path, duration_s: float) -> None:
    """A wav of `duration_s` seconds with a beep at each whole second but 0."""
    rate_hz = _SOUND_HZ if duration_s <= _LONG_S else _LONG_HZ
    second = np.zeros(rate_hz, np.int16)
    time = np.arange(int(_BEEP_S * rate_hz)) / rate_hz
    beep = (12_000 * np.sin(2 * np.pi * _BEEP_HZ * time)).astype(np.int16)
    left = round(duration_s * rate_hz)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        while left > 0:
            file.writeframesraw(second[:left].tobytes())
            left -= len(second)
            second[: len(beep)] = beep
