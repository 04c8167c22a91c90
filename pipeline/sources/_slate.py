"""The picture that stands for a live source until it is there."""

import cv2
import numpy as np

from pipeline.frame import Pixels

LIGHT, DARK, INK = (222, 196, 150), (60, 84, 120), (250, 246, 235)
"""RGB: from the upper left to the lower right, and of the words."""
WIDE, HIGH = 0.86, 0.12
"""Shares of the picture that a line of words may take."""
FONT = cv2.FONT_HERSHEY_DUPLEX


def slate(width: int, height: int, *lines: str) -> Pixels:
    """A slope of colours, which a painter can do something with, and large words on it."""
    across, down = np.linspace(0, 1, width), np.linspace(0, 1, height)[:, None]
    mixed = ((across + down) / 2)[..., None]
    pixels: Pixels = (np.array(LIGHT) * (1 - mixed) + np.array(DARK) * mixed).astype(np.uint8)
    for place, line in enumerate(lines, 1):
        (wide, high), _ = cv2.getTextSize(line, FONT, 1.0, 2)
        scale = min(WIDE * width / wide, HIGH * height / high)
        middle = height * place / (len(lines) + 1)
        at = round((width - wide * scale) / 2), round(middle + high * scale / 2)
        cv2.putText(pixels, line, at, FONT, scale, INK, max(2, round(2 * scale)), cv2.LINE_AA)
    return pixels
