"""Style pictures: the bytes of a picture file -> upright RGB, of any kind and size."""

import warnings
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
LARGE_PX = 4096
"""A picture with a longer side is scaled down to it while it is read."""
STYLE_SIDE = 384
"""px, the short side at which larger pictures are encoded: it sets the scale of the strokes."""
MULTIPLE = 16
"""px, of both sides: the models reduce a picture to a sixteenth, and what they would add to the
edges would count as style."""


def decode(data: bytes) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """File contents -> RGB (H,W,3), at most LARGE_PX a side, and its (width, height) in the file.

    Turned as its EXIF says; transparent parts on white; grey and 16 bits become RGB of 8.
    ValueError when it is no picture, or one of more than 178 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=FORMATS) as picture:
                size = picture.size
                picture.draft("RGB", (LARGE_PX, LARGE_PX))
                upright = ImageOps.exif_transpose(_eight_bits(picture))
        upright.thumbnail((LARGE_PX, LARGE_PX))
        clear = upright.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return np.asarray(Image.alpha_composite(white, clear).convert("RGB")), size
    except Image.DecompressionBombError as error:
        raise ValueError("has more than 178 million pixels") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError("is not a picture that can be read (JPEG, PNG, WebP, ...)") from error


def style_sized(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A style picture (H,W,3) as it is encoded: STYLE_SIDE px at the short side at most, and both
    sides the nearest whole multiples of MULTIPLE, two of them at least."""
    h, w = picture.shape[:2]
    scale = min(1.0, STYLE_SIDE / min(h, w))
    size = [max(2, round(side * scale / MULTIPLE)) * MULTIPLE for side in (w, h)]
    if size == [w, h]:
        return picture
    # Pillow's averages over all that a pixel covers.
    smaller = Image.fromarray(picture).resize((size[0], size[1]), Image.Resampling.BILINEAR)
    return np.asarray(smaller)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits as 8 bits: Pillow would cut it off at 255."""
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture).astype(np.float64)
    return Image.fromarray((values / 257).clip(0, 255).round().astype(np.uint8))
