"""Palettes and colour arithmetic; RGB float in [0, 1] unless a name says otherwise."""

import cv2
import numpy as np

from demo.painters.noise import Field, Picture, Rng


def palette(text: str) -> Field:
    """Space-separated hex colours -> N x 3 float RGB."""
    return np.array([[int(h[i : i + 2], 16) / 255 for i in (0, 2, 4)] for h in text.split()])


def ramp(t: Field, stops: Field) -> Field:
    """Colour at t in [0, 1] along evenly spaced stops; adds a last axis of 3."""
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(t, at, stops[:, c]) for c in range(3)], -1).astype(np.float32)


def mix(under: Field, over: Field, amount: Field) -> Field:
    """Under -> over by an H x W amount in [0, 1]."""
    weight = np.asarray(amount)[..., None]
    return np.asarray(under * (1 - weight) + over * weight)


def jitter(colours: Field, rng: Rng, light: float, tint: float) -> Field:
    """Colours (... x 3) with random lightness and random tint, clipped to [0, 1]."""
    shape = colours.shape[:-1]
    shift = rng.normal(0, light, (*shape, 1)) + rng.normal(0, tint, (*shape, 3))
    return np.asarray(np.clip(colours + shift, 0, 1))


def nearest(colours: Field, choices: Field) -> Field:
    """Index of the choice closest to each colour (N x 3), in plain RGB distance."""
    gaps = ((colours[:, None, :] - choices[None]) ** 2).sum(-1)
    return np.asarray(gaps.argmin(1))


def saturate(image: Field, gain: float) -> Field:
    """Push colours away from (gain > 1) or towards (gain < 1) their own grey."""
    grey = image @ np.array([0.299, 0.587, 0.114])
    return np.asarray(np.clip(grey[..., None] + (image - grey[..., None]) * gain, 0, 1))


def to_picture(image: Field, size: int) -> Picture:
    """Float RGB of any size -> uint8 RGB size x size, area-averaged."""
    small = cv2.resize(np.asarray(image, np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(small * 255 + 0.5, 0, 255).astype(np.uint8))
