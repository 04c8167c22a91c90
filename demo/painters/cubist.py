"""Cubist: a guitar, bottle and fruit shattered into shaded, brushed facets."""

import cv2
import numpy as np

from demo.painters.brush import Brush, Canvas, paint, scatter
from demo.painters.colour import mix, palette, ramp, saturate, to_picture
from demo.painters.noise import Field, Picture, Rng, fractal, grid, sample, smoothstep

_WALL = palette("1f4f7a 4f8fae d8c08a e0954a b8453a 3a5a8a")
_CLOTH = palette("efe3c8 d8b98a b0663f 6a2f2a 2a3a4f")
_LINE = palette("15110f")[0]


def _still_life(x: Field, y: Field, rng: Rng) -> Field:
    wall = ramp(np.clip(0.2 + 0.55 * x + 0.5 * (fractal(len(x), 3, rng, 2) - 0.5), 0, 1), _WALL)
    cloth = ramp(np.clip(1.25 - y + 0.7 * (x - 0.5), 0, 1), _CLOTH)
    check = ((np.floor((x + y) * 14) + np.floor((x - y) * 14)) % 2 == 0) & (y > 0.8)
    cloth = np.where(check[..., None], cloth * 0.6, cloth)
    scene = np.where((y > 0.66 + 0.1 * (x - 0.5))[..., None], cloth, wall)
    return _guitar(_fruit(_bottle(scene, x, y), x, y), x, y)


def _bottle(scene: Field, x: Field, y: Field) -> Field:
    half = np.where(y < 0.27, 0.032, 0.032 + 0.055 * smoothstep(0.27, 0.36, y))
    side = (x - 0.80) / half
    glass = ramp(np.clip(side * 0.5 + 0.5, 0, 1), palette("0f2f2f 2f7f6a b8d8a0 1f5f4f 0a2428"))
    scene = np.where(((np.abs(side) < 1) & (y > 0.10) & (y < 0.74))[..., None], glass, scene)
    label = (np.abs(side) < 1) & (y > 0.45) & (y < 0.60)
    print_ = (np.sin(y * 260) > 0.3) & (np.abs(side) < 0.7)
    scene = np.where(label[..., None], palette("f0e2b8")[0], scene)
    return np.where((label & print_)[..., None], palette("8a2f2a")[0], scene)


def _fruit(scene: Field, x: Field, y: Field) -> Field:
    bowl = (np.hypot((x - 0.24) / 1.25, y - 0.70) < 0.155) & (y > 0.72)
    china = palette("dfe6e6")[0] * (0.55 + 1.6 * (0.4 - x))[..., None]
    scene = np.where(bowl[..., None], china, scene)
    for cx, cy, radius, hues in (
        (0.15, 0.66, 0.075, "f8d878 e89a2a a8481f"), (0.31, 0.665, 0.08, "f0705a c82a2a 5a1420"),
        (0.235, 0.60, 0.075, "d8e07a 7a9a3a 2a4a2a"), (0.56, 0.88, 0.07, "f8b86a e8621f 8a2a14"),
        (0.90, 0.84, 0.06, "f0705a c82a2a 5a1420"),
    ):  # fmt: skip
        reach = np.hypot(x - cx, y - cy) / radius
        ball = ramp(np.clip(0.4 + (x - cx + y - cy) / radius * 0.45, 0, 1), palette(hues))
        scene = np.where((reach < 1)[..., None], ball, scene)
    return scene


def _guitar(scene: Field, x: Field, y: Field) -> Field:
    lean = 0.42
    u = (x - 0.47) * np.cos(lean) + (y - 0.58) * np.sin(lean)
    v = (y - 0.58) * np.cos(lean) - (x - 0.47) * np.sin(lean)
    lower = np.hypot(u / 0.185, (v - 0.10) / 0.16) < 1
    upper = np.hypot(u / 0.145, (v + 0.11) / 0.13) < 1
    wood = ramp(np.clip(0.5 + u * 2.3, 0, 1), palette("5a2410 b8622a f0b45a d8853a 7a3416"))
    scene = np.where((lower | upper)[..., None], wood, scene)
    hole = np.hypot(u, v + 0.01)
    scene = np.where((hole < 0.072)[..., None], palette("f0d8a0")[0], scene)
    scene = np.where((hole < 0.056)[..., None], palette("1a100c")[0], scene)
    neck = (np.abs(u) < 0.028) & (v > -0.62) & (v < -0.05)
    frets = np.where((np.sin(v * 130) > 0.8)[..., None], palette("e0c890")[0], palette("3a1c14")[0])
    scene = np.where(neck[..., None], frets, scene)
    strings = (np.abs((u * 95) % 1 - 0.5) < 0.13) & (np.abs(u) < 0.022) & (v > -0.62) & (v < 0.17)
    bridge = (np.abs(u) < 0.075) & (np.abs(v - 0.17) < 0.012)
    scene = np.where(strings[..., None], palette("f8ecd0")[0], scene)
    return np.where(bridge[..., None], palette("2a140c")[0], scene)


def _split(shape: Field, turn: float, rng: Rng) -> tuple[Field, Field]:
    """Cut a convex polygon (N x 2) in two by a line near its middle."""
    normal = np.array([-np.sin(turn), np.cos(turn)])
    middle = shape.mean(0) + rng.normal(0, 0.12, 2) * np.ptp(shape, axis=0)
    side = (shape - middle) @ normal
    parts: tuple[list[Field], list[Field]] = ([], [])
    for k in range(len(shape)):
        following = (k + 1) % len(shape)
        parts[int(side[k] > 0)].append(shape[k])
        if (side[k] > 0) != (side[following] > 0):
            t = side[k] / (side[k] - side[following])
            crossing = shape[k] + t * (shape[following] - shape[k])
            parts[0].append(crossing)
            parts[1].append(crossing)
    return np.array(parts[0]), np.array(parts[1])


def _shatter(rng: Rng, smallest: float) -> list[Field]:
    """Unit square -> convex facets of area around `smallest`, cut in a few ruling directions."""
    rulings = np.array([0.42, 0.42 + np.pi / 2, -0.55, 1.15, -1.2])
    waiting, facets = [np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])], []
    while waiting:
        shape = waiting.pop()
        area = cv2.contourArea(shape.astype(np.float32))
        if area < smallest * rng.uniform(0.5, 3.0):
            facets.append(shape)
            continue
        long = shape[np.argmax(np.linalg.norm(shape - shape.mean(0), axis=1))] - shape.mean(0)
        cross = np.arctan2(long[1], long[0]) + np.pi / 2
        away = np.abs(np.sin(rulings - cross)) + rng.uniform(0, 0.7, len(rulings))
        pieces = _split(shape, rulings[away.argmin()] + rng.normal(0, 0.10), rng)
        whole = [piece for piece in pieces if len(piece) > 2]
        (waiting if len(whole) == 2 else facets).extend(whole)
    return facets


def _facet(scene: Field, image: Field, angle: Field, shape: Field, rng: Rng) -> None:
    """Fill one facet with a displaced, turned, half-shaded view of the scene."""
    size = len(image)
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, np.round(shape * size).astype(np.int32), 1)
    left, top, wide, high = cv2.boundingRect(mask)
    box = (slice(top, top + high), slice(left, left + wide))
    x, y = (axis[box] for axis in grid(size))
    cx, cy = shape.mean(0)
    turn, zoom = rng.normal(0, 0.22), rng.uniform(0.8, 1.1)
    dx, dy = (x - cx) * zoom, (y - cy) * zoom
    seen = sample(scene, cx + dx * np.cos(turn) - dy * np.sin(turn) + rng.normal(0, 0.018),
                  cy + dx * np.sin(turn) + dy * np.cos(turn) + rng.normal(0, 0.018))  # fmt: skip
    edge = shape[1] - shape[0]
    run = (x - shape[0][0]) * -edge[1] + (y - shape[0][1]) * edge[0]
    inside = mask[box].astype(bool)
    low, high_ = run[inside].min(), run[inside].max()
    shade = (run - low) / (high_ - low + 1e-9)
    pale, dark = palette("f6e7c4")[0], palette("1c2430")[0]
    view = mix(seen, dark, 0.80 * np.clip(1 - shade * 1.7, 0, 1))
    view = mix(view, pale, 0.62 * smoothstep(0.5, 1.0, shade))
    image[box][inside] = view[inside]
    angle[box][inside] = np.arctan2(edge[1], edge[0]) + rng.choice([0, np.pi / 2])


def _contours(image: Field, facets: list[Field], rng: Rng) -> None:
    """Charcoal lines of uneven weight along most facet sides, on uint8 RGB."""
    size = len(image)
    ink = tuple(int(v * 255) for v in _LINE)
    for shape in facets:
        for start, end in zip(shape, np.roll(shape, -1, 0), strict=True):
            if rng.random() < 0.55:
                thick = max(1, int(rng.integers(2, 8)) * size // 1280)
                ends = [tuple((point * size).astype(int).tolist()) for point in (start, end)]
                cv2.line(image, ends[0], ends[1], ink, thick, cv2.LINE_AA)


def _brushwork(angle: Field, rng: Rng) -> Field:
    """Multiplier about 1 of short oil strokes along the angle field, H x W x 3."""
    grey = np.full((*angle.shape, 3), 0.5, np.float32)
    canvas = Canvas.primed(grey)
    for brush, count in (
        (Brush(0.036, 0.014, 8, light=0.050, tint=0.022, streak=0.030), 4500),
        (Brush(0.024, 0.010, 6, light=0.055, tint=0.022, streak=0.034), 6500),
    ):
        paint(canvas, grey, angle, brush, scatter(count, rng), rng)
    return canvas.lit(1.1, gloss=0.05) / 0.5


def draw(size: int, seed: int) -> Picture:
    """Faceted still life, uint8 RGB size x size."""
    rng = np.random.default_rng(seed)
    side = size * 2
    scene = np.asarray(_still_life(*grid(side), rng), np.float32)
    image, angle = np.zeros((side, side, 3), np.float32), np.zeros((side, side), np.float32)
    facets = _shatter(rng, 0.0058)
    for shape in facets:
        _facet(scene, image, angle, shape, rng)
    inked = np.ascontiguousarray((saturate(image, 1.25) * 255).astype(np.uint8))
    _contours(inked, facets, rng)
    return to_picture(inked.astype(np.float32) / 255 * _brushwork(angle, rng), size)
