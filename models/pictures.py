"""Style pictures: the bytes of a picture file -> upright RGB, of any kind and size."""

import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
MAX_PX = 40_000_000
MOST_PX = {"JPEG": 89_000_000, "WEBP": 16_800_000}
"""Of kinds of pictures that take less, or more, memory to decode than four bytes a pixel."""
MOST_BYTES = 128 << 20
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, struct.error, LookupError, TypeError)
"""What Pillow raises for files that are damaged."""
LEAST_PX = 32
"""A style picture needs as much a side: what is smaller has no strokes to learn from."""
LARGE_PX = 4096
"""A picture with a longer side is scaled down to it while it is read."""
STYLE_SIDE = 384
"""px, the short side at which larger pictures are encoded: it sets the scale of the strokes."""
SMALL_SIDE = 160
"""px, the short side below which a style picture is not cut."""
MULTIPLE = 16
"""px, of both sides: the models reduce a picture to a sixteenth, and what they would add to the
edges would count as style."""


class TooLarge(ValueError):
    """A picture that would take too much memory."""


def read(path: Path, beneath: str = "white") -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """`decode` of a file. ValueError: it is none, or too large; OSError: it cannot be read."""
    if not path.is_file():
        path.stat()
        raise ValueError("is no file but a folder, a device or a pipe")
    if path.stat().st_size > MOST_BYTES:
        raise TooLarge(f"has more than {MOST_BYTES >> 20} MiB; make it smaller first")
    return decode(path.read_bytes(), beneath)


def read_style(path: Path) -> tuple[NDArray[np.uint8], str]:
    """A picture that is meant as a style, and what its user should know ("" if nothing). As `read`;
    ValueError too where it is smaller than LEAST_PX."""
    pixels, (width, height) = read(path)
    h, w = pixels.shape[:2]
    if min(h, w) < LEAST_PX:
        raise ValueError(f"is too small: {w}x{h}, at least {LEAST_PX} px a side")
    told = f"is {width}x{height}: read at {w}x{h}" if h * w < height * width else ""
    return pixels, told


def decode(data: bytes, beneath: str = "white") -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """File contents -> RGB (H,W,3), at most LARGE_PX a side, and its (width, height) in the file.

    Turned as its EXIF says; transparent parts show the colour `beneath`; grey and 16 bits become
    RGB of 8. ValueError when it is no picture, or one of too many pixels (MAX_PX).
    """
    try:
        upright, size = _loaded(data)
        return _on(beneath, upright), size
    except TooLarge:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLarge("has too many pixels; make it smaller first") from error
    except _DAMAGE as error:
        raise ValueError("is not a picture that can be read (JPEG, PNG, WebP, ...)") from error


def orientation(path: Path) -> int:
    """What its EXIF says of which way up it is: 1, upright, to 8; 1 too where it cannot be read."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            _check(picture)
            return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except (Image.DecompressionBombError, *_DAMAGE):
        return 1


def _loaded(data: bytes) -> tuple[Image.Image, tuple[int, int]]:
    """The picture upright and at most LARGE_PX a side, and its size in the file."""
    with warnings.catch_warnings():
        # Our own limits are below the one that Pillow warns of.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(BytesIO(data), formats=FORMATS) as picture:
            size = picture.size
            _check(picture)
            picture.draft("RGB", (LARGE_PX // 2, LARGE_PX // 2))
            small = _eight_bits(_halved(picture))
            small.thumbnail((LARGE_PX, LARGE_PX))
            return ImageOps.exif_transpose(small), size


def _on(beneath: str, picture: Image.Image) -> NDArray[np.uint8]:
    if not picture.has_transparency_data:
        return np.asarray(picture.convert("RGB"))
    clear = picture.convert("RGBA")
    whole = Image.new("RGB", clear.size, beneath)
    whole.paste(clear, mask=clear.getchannel("A"))
    return np.asarray(whole)


def _check(picture: Image.Image) -> None:
    """Refuse by the header what would take more than 300 MiB to decode."""
    width, height = picture.size
    kind = picture.format or ""
    # Only a progressive JPEG is held as a whole before it is scaled down.
    if kind == "JPEG" and "progressive" in picture.info:
        kind = "progressive JPEG"
    most = MOST_PX.get(kind, MAX_PX)
    if width * height > most:
        raise TooLarge(
            f"has {width * height / 1e6:.0f} megapixels; of this kind at most {most / 1e6:.0f} are "
            "read: make it smaller first"
        )


def _halved(picture: Image.Image) -> Image.Image:
    """Half the size where the picture is so large that copies of it would count."""
    if picture.width * picture.height <= LARGE_PX**2 or picture.mode.startswith("I;"):
        return picture
    if picture.mode in ("1", "P", "PA"):
        picture = picture.convert("RGBA")
    # One channel at a time: Pillow would copy the whole picture to weigh colours by their alpha.
    names = picture.getbands()
    if len(names) == 1:
        return picture.reduce(2)
    return Image.merge(picture.mode, [picture.getchannel(name).reduce(2) for name in names])


def style_sized(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A style picture (H,W,3) as it is encoded: STYLE_SIDE px at the short side at most, as styles
    were scaled in training, and from the middle of it whole multiples of MULTIPLE, two at least.
    Scaled to these it would be softer, and so would be what is painted; only of a small one, much
    of which would be cut off, it is."""
    h, w = picture.shape[:2]
    scale = min(1.0, STYLE_SIDE / min(h, w))
    whole = 1 if min(h, w) >= SMALL_SIDE else MULTIPLE
    size = [max(2 * MULTIPLE, round(side * scale / whole) * whole) for side in (w, h)]
    if size != [w, h]:
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        picture = cast(NDArray[np.uint8], cv2.resize(picture, size, interpolation=how))
    h, w = (side // MULTIPLE * MULTIPLE for side in size[::-1])
    top, left = (size[1] - h) // 2, (size[0] - w) // 2
    return np.ascontiguousarray(picture[top : top + h, left : left + w])


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits as 8 bits: Pillow would cut it off at 255."""
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture)
    levels = np.empty(values.shape, np.uint8)
    for row, wide in zip(
        levels, values, strict=True
    ):  # as a whole it would be eight times as large
        row[:] = (wide.astype(np.float64) / 257).clip(0, 255).round()
    return Image.fromarray(levels)
