"""Small soft-edged cut-outs that fly through the clip: balloon, paper plane, leaf."""

import cv2
import numpy as np
import numpy.typing as npt

SPRITE_PX = 256

Sprite = npt.NDArray[np.float32]
Points = tuple[tuple[float, float], ...]


def _axes() -> tuple[Sprite, Sprite]:
    """x right and y down over the sprite, each in (-1, 1)."""
    axis = (np.arange(SPRITE_PX, dtype=np.float32) + 0.5) / SPRITE_PX * 2 - 1
    return np.tile(axis, (SPRITE_PX, 1)), np.tile(axis[:, None], (1, SPRITE_PX))


def _soft(distance: Sprite, edge: float = 0.02) -> Sprite:
    """Opacity of a shape from its inward distance, feathered over `edge`."""
    return np.asarray(np.clip(distance / edge + 0.5, 0, 1), np.float32)


def _polygon(points: Points) -> Sprite:
    mask = np.zeros((SPRITE_PX, SPRITE_PX), np.uint8)
    corners = np.round((np.array(points) + 1) / 2 * SPRITE_PX * 16).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, 4)
    blurred = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 0.8)
    return np.asarray(blurred, np.float32)


def _over(sprite: Sprite, opacity: Sprite, colour: Sprite) -> Sprite:
    """Lay a colour (RGB [0, 1], plain or per pixel) on a premultiplied RGBA sprite."""
    layer = np.concatenate(
        [np.broadcast_to(colour, (*opacity.shape, 3)), np.ones((*opacity.shape, 1))], -1
    )
    weight = opacity[..., None]
    return np.asarray(sprite * (1 - weight) + layer * weight, np.float32)


def _rgb(text: str) -> Sprite:
    return np.array([int(text[i : i + 2], 16) / 255 for i in (0, 2, 4)], np.float32)


def _blank() -> Sprite:
    return np.zeros((SPRITE_PX, SPRITE_PX, 4), np.float32)


def balloon() -> Sprite:
    """A striped hot-air balloon, premultiplied float RGBA."""
    x, y = _axes()
    taper = np.where(y > -0.25, 1 - 0.42 * np.clip((y + 0.25) / 0.75, 0, 1) ** 1.6, 1)
    reach = np.hypot(x / (0.70 * taper), (y + 0.25) / 0.68)
    body = _soft(((1 - reach) * 0.6).astype(np.float32))
    girth = 0.72 * taper * np.sqrt(np.clip(1 - ((y + 0.25) / 0.7) ** 2, 0.02, 1))
    gore = np.arcsin(np.clip(x / girth, -1, 1))
    striped = np.sin(gore * 5.5)[..., None] > 0
    colour = np.where(striped, _rgb("e4412c"), _rgb("f9d65c"))
    light = 0.72 + 0.42 * np.clip(0.5 - 0.55 * x - 0.35 * (y + 0.25), 0, 1)
    sprite = _blank()
    for left in (-1.0, 1.0):
        rope = ((left * 0.30, 0.32), (left * 0.33, 0.32), (left * 0.13, 0.76), (left * 0.10, 0.76))
        sprite = _over(sprite, _polygon(rope), _rgb("3a2a22"))
    sprite = _over(sprite, body, np.clip(colour * light[..., None], 0, 1))
    return _over(sprite, _polygon(((-0.15, 0.72), (0.15, 0.72), (0.12, 0.94), (-0.12, 0.94))),
                 _rgb("7a4a24"))  # fmt: skip


def paper_plane() -> Sprite:
    """A folded paper dart pointing right, premultiplied float RGBA."""
    nose, sprite = (0.92, -0.08), _blank()
    for first, second, hue in (
        ((-0.80, -0.62), (-0.42, 0.02), "f8fbff"),
        ((-0.42, 0.02), (-0.36, 0.50), "8fa6c4"),
        ((-0.36, 0.50), (-0.12, 0.12), "5f7aa0"),
        ((-0.12, 0.10), (0.20, 0.46), "dfe9f5"),
    ):
        sprite = _over(sprite, _polygon((nose, first, second)), _rgb(hue))
    return sprite


def leaf() -> Sprite:
    """A green leaf with veins, premultiplied float RGBA."""
    x, y = _axes()
    bend = y + 0.16 * x**2 - 0.06
    half = 0.46 * np.clip(1 - np.abs(x / 0.86) ** 1.9, 0, 1)
    body = _soft((half - np.abs(bend)).astype(np.float32), 0.035)
    vein = np.abs(((np.abs(bend) * 1.1 - x) * 5.2) % 1 - 0.5) < 0.06
    dark = (np.abs(bend) < 0.022) | (vein & (np.abs(bend) < half - 0.05))
    tone = 0.75 + 0.5 * np.clip(0.5 - bend, 0, 1)
    green = np.where(dark[..., None], _rgb("cfe08a"), _rgb("4f9a34")) * tone[..., None]
    stem = _polygon(((0.80, -0.09), (0.98, -0.20), (0.99, -0.15), (0.82, -0.03)))
    return _over(_over(_blank(), stem, _rgb("6f7a34")), body, np.clip(green, 0, 1))
