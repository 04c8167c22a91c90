"""The demo clip: four moving photographs with cuts, flying shapes and music; no download.

The photographs ship inside the scikit-image wheel, whose documentation states their terms:
astronaut (NASA, Eileen Collins): no known copyright restrictions, public domain;
coffee (Rachel Michetti, Pikolo Espresso Bar): CC0; chelsea (Stefan van der Walt): CC0;
rocket (SpaceX, DSCOVR launch): released in the public domain.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from skimage import data

from demo import sprites
from demo.soundtrack import RATE_HZ, compose

SCENE_S = 1.5
_BT709 = 1
_LIMITED_RANGE = 1
_AUDIO_BLOCK = 1024

Rgb = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class View:
    """A framing of a photograph: centre and width as fractions of its size, tilt in degrees."""

    x: float
    y: float
    width: float
    tilt_deg: float


@dataclass(frozen=True, slots=True)
class Flight:
    """A sprite's path: from and to (x, y, size) in picture heights from the frame's centre."""

    sprite: sprites.Sprite
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    sway: float
    turn_deg: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scene:
    """One shot: a photograph, a camera move, and what flies across it."""

    photo: Rgb
    start: View
    end: View
    flights: tuple[Flight, ...] = ()


def _photo(name: str) -> Rgb:
    """A photograph of the wheel as uint8 RGB."""
    return np.asarray(getattr(data, name)(), np.uint8)


def _scenes() -> tuple[Scene, ...]:
    balloon, plane, leaf = sprites.balloon(), sprites.paper_plane(), sprites.leaf()
    return (
        Scene(_photo("astronaut"), View(0.50, 0.305, 0.94, -1.0), View(0.46, 0.25, 0.66, 1.5),
              (Flight(plane, (-1.15, 0.22, 0.20), (1.1, -0.36, 0.28), 0.05, (-6, -22)),)),
        Scene(_photo("coffee"), View(0.54, 0.47, 0.86, -3.0), View(0.45, 0.41, 0.72, 3.5),
              (Flight(leaf, (0.75, -0.70, 0.26), (0.30, 0.58, 0.30), 0.12, (-40, 95)),)),
        Scene(_photo("chelsea"), View(0.40, 0.40, 0.70, 1.0), View(0.55, 0.47, 0.88, -1.0)),
        Scene(_photo("rocket"), View(0.50, 0.685, 0.72, 0.0), View(0.50, 0.42, 0.92, -1.2),
              (Flight(balloon, (-0.62, 0.62, 0.34), (-0.42, -0.22, 0.42), 0.04, (-5, 6)),
               Flight(balloon, (0.56, 0.30, 0.16), (0.46, -0.30, 0.19), 0.02, (4, -4)))),
    )  # fmt: skip


def _ease(t: float) -> float:
    """0 -> 1 with a gentle start and stop that never quite rests."""
    return 0.35 * t + 0.65 * t * t * (3 - 2 * t)


def _between(a: float, b: float, t: float) -> float:
    return a + (b - a) * t


def _camera(scene: Scene, t: float, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """2 x 3 affine from photograph pixels to frame pixels at time t in [0, 1]."""
    s, e, k = scene.start, scene.end, _ease(t)
    height, width = scene.photo.shape[:2]
    # A zoom looks even when the width shrinks by equal factors, not by equal amounts.
    seen = s.width * (e.width / s.width) ** k * width
    scale, tilt = size[0] / seen, np.deg2rad(_between(s.tilt_deg, e.tilt_deg, k))
    turn = scale * np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    centre = np.array([_between(s.x, e.x, k) * width, _between(s.y, e.y, k) * height])
    return np.column_stack([turn, np.array(size) / 2 - turn @ centre])


def _fly(frame: npt.NDArray[np.float32], flight: Flight, t: float) -> npt.NDArray[np.float32]:
    """The frame with the sprite over it at time t in [0, 1]."""
    high, wide = frame.shape[:2]
    x, y, span = (_between(a, b, t) for a, b in zip(flight.start, flight.end, strict=True))
    x += flight.sway * np.sin(t * 2 * np.pi * 1.2)
    turn = np.deg2rad(_between(*flight.turn_deg, t) + 160 * flight.sway * np.sin(t * 7))
    scale = span * high / sprites.SPRITE_PX
    spin = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    place = np.array([wide / 2 + x * high, high / 2 + y * high])
    affine = np.column_stack([spin, place - spin @ np.full(2, sprites.SPRITE_PX / 2)])
    # Pre-blur by the shrink factor: warpAffine alone would alias a reduced sprite.
    sharp = cv2.GaussianBlur(flight.sprite, (0, 0), max(0.3, 0.45 / scale))
    layer = np.asarray(cv2.warpAffine(sharp, affine, (wide, high), flags=cv2.INTER_LINEAR))
    return np.asarray(frame * (1 - layer[..., 3:]) + layer[..., :3] * 255, np.float32)


def _frame(scene: Scene, t: float, size: tuple[int, int]) -> Rgb:
    """One uint8 RGB frame, drawn at a multiple of the size and area-averaged down."""
    seen_px = scene.photo.shape[1] * max(scene.start.width, scene.end.width)
    factor = max(2, int(np.ceil(seen_px / size[0])))
    large = (size[0] * factor, size[1] * factor)
    affine = _camera(scene, t, large)
    shot = cv2.warpAffine(
        scene.photo, affine, large, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    picture = np.asarray(shot, np.float32)
    for flight in scene.flights:
        picture = _fly(picture, flight, t)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(np.asarray(small) + 0.5, 0, 255), np.uint8)


def _frames(size: tuple[int, int], bounds: list[int]) -> Iterator[Rgb]:
    for scene, (start, end) in zip(_scenes(), pairwise(bounds), strict=True):
        for index in range(end - start):
            yield _frame(scene, index / (end - start - 1), size)


def _add_video(
    out: av.container.OutputContainer, size: tuple[int, int], fps: int
) -> av.VideoStream:
    stream = out.add_stream("libx264", rate=fps, options={"crf": "16", "preset": "medium"})
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.time_base = Fraction(1, fps)
    context = stream.codec_context
    context.color_primaries = context.color_trc = context.colorspace = _BT709
    context.color_range = _LIMITED_RANGE
    return stream


def _yuv(picture: Rgb, pts: int, fps: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    # swscale's default matrix is BT.601 whatever the tags say: name BT.709 here.
    frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
    frame.pts, frame.time_base = pts, Fraction(1, fps)
    return frame


def _audio_blocks(sound: npt.NDArray[np.float32]) -> Iterator[av.AudioFrame]:
    for start in range(0, sound.shape[1], _AUDIO_BLOCK):
        block = np.ascontiguousarray(sound[:, start : start + _AUDIO_BLOCK])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
        yield frame


def make_clip(path: Path, size: tuple[int, int] = (640, 360), fps: int = 25) -> None:
    """Write the 6 s MP4 (H.264 BT.709, AAC stereo 48 kHz), the same every time; even sizes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bounds = [round(index * SCENE_S * fps) for index in range(5)]
    sound = compose(bounds[-1] / fps, tuple(cut / fps for cut in bounds[1:-1]))
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as out:
        video = _add_video(out, size, fps)
        audio = out.add_stream("aac", rate=RATE_HZ, layout="stereo", options={"b": "160k"})
        blocks = _audio_blocks(sound)
        for index, picture in enumerate(_frames(size, bounds)):
            out.mux(video.encode(_yuv(picture, index, fps)))
            for block in blocks:
                out.mux(audio.encode(block))
                if (block.pts or 0) * fps > (index + 1) * RATE_HZ:
                    break
        for block in blocks:
            out.mux(audio.encode(block))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
