"""What the user chose as a style: pictures and their shares."""

import re
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipeline.errors import ConfigError
from pipeline.frame import Pixels

MIN_SIDE_PX = 32
MAX_PIXELS = 40_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")


@dataclass(frozen=True, slots=True)
class StylePicture:
    """A decoded style picture and its share in the mix."""

    path: Path
    weight: float
    pixels: Pixels


def read_style(text: str) -> StylePicture:
    """`PICTURE` or `PICTURE:WEIGHT` -> the picture; ConfigError says what is wrong with it."""
    path, weight = split_weight(text)
    if path.is_dir() or not path.exists():
        what = "is a folder, not a picture" if path.is_dir() else "does not exist"
        raise ConfigError(f"style {path} {what}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"style {path} cannot be read: {error.strerror}") from error
    pixels = decode(data)
    if pixels is None:
        raise ConfigError(f"style {path} is not a picture that can be read (JPEG, PNG, WebP, ...)")
    h, w = pixels.shape[:2]
    if min(h, w) < MIN_SIDE_PX:
        raise ConfigError(f"style {path} is too small: {w}x{h}, at least {MIN_SIDE_PX} px a side")
    return StylePicture(path, weight, pixels)


def split_weight(text: str) -> tuple[Path, float]:
    """`a.jpg:0.7` -> (a.jpg, 0.7); without a weight it is 1. A file of that very name wins."""
    match = re.fullmatch(r"(.+):(-?\d*\.?\d+)", text)
    if match is None or Path(text).exists():
        return Path(text), 1.0
    weight = float(match[2])
    if weight < 0:
        raise ConfigError(f"style {match[1]}: a weight cannot be negative ({match[2]})")
    return Path(match[1]), weight


def decode(data: bytes) -> Pixels | None:
    """Bytes of a picture file -> upright RGB; transparent parts on white. None: no picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    return None
                upright = ImageOps.exif_transpose(picture).convert("RGBA")
        white = Image.new("RGBA", upright.size, "white")
        return np.asarray(Image.alpha_composite(white, upright).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning):
        return None
