"""The looks there are: pictures that ship, that the stream began with, that are handed in."""

import tempfile
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from models import codes, pictures
from web.screen import Pixels, encoded

SHIPPED = Path(__file__).parent.parent / "styles"
MOST_LOOKS = 64
MOST_PX = 40_000_000
LEAST_SIDE_PX = 32
THUMB_PX = 192
FORMATS = ("PNG", "JPEG", "WEBP")
GREY = np.full((THUMB_PX, THUMB_PX, 3), 128, np.uint8)
"""Stands for a style code, which does not hold its picture."""


@dataclass(frozen=True)
class Look:
    """A picture whose look can be had."""

    name: str
    path: Path
    own: bool
    """Handed in on the page, so that it can be taken away again."""

    @cached_property
    def thumb(self) -> bytes:
        """Its picture, small."""
        is_code = self.path.suffix == codes.SUFFIX
        return thumbnail(GREY if is_code else pictures.decode(self.path.read_bytes())[0])


@dataclass(frozen=True)
class Handed:
    """A picture that came from outside, as it is kept: nothing else of what came is read again."""

    pixels: Pixels
    png: bytes
    thumb: bytes


class Shelf:
    """Looks by name. Pictures that are handed in lie in a folder of its own until `close`."""

    def __init__(self) -> None:
        self.looks: dict[str, Look] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="stylestream-looks-")
        self._count = 0

    def close(self) -> None:
        """Forget the pictures that were handed in."""
        self._folder.cleanup()

    def fill(self, paths: list[Path]) -> None:
        """What the stream began with, then what ships."""
        known = set()
        for path in [*paths, *sorted(SHIPPED.glob("*.jpg"))]:
            if path.resolve() in known or not path.exists():
                continue
            known.add(path.resolve())
            self._put(path.stem, path, False)

    def name_of(self, path: str) -> str | None:
        """The look whose picture lies there."""
        return next((k.name for k in self.looks.values() if str(k.path) == path), None)

    def add(self, name: str, picture: Handed) -> Look:
        """A picture as a look. ValueError: there are too many, it is too small, or the disk is
        full."""
        if len(self.looks) >= MOST_LOOKS:
            raise ValueError(f"{MOST_LOOKS} looks are the most: take one of yours away")
        if min(picture.pixels.shape[:2]) < LEAST_SIDE_PX:
            raise ValueError(f"the picture is too small: at least {LEAST_SIDE_PX} px a side")
        return self._put(name, self.keep(picture), True)

    def keep(self, picture: Handed) -> Path:
        """As a file. ValueError: it cannot be written."""
        self._count += 1
        path = Path(self._folder.name) / f"{self._count}.png"
        try:
            path.write_bytes(picture.png)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise ValueError(f"the picture cannot be kept here ({error.strerror})") from None
        return path

    def sweep(self, masks: set[Path]) -> None:
        """Unlink what was handed in and is neither a look nor one of these `masks`."""
        used = {look.path for look in self.looks.values()} | masks
        for path in set(Path(self._folder.name).iterdir()) - used:
            path.unlink()

    def remove(self, name: str) -> None:
        """Take a look away that was handed in. ValueError: it was not."""
        if name not in self.looks or not self.looks[name].own:
            raise ValueError("only looks that were handed in here can be taken away")
        self.looks.pop(name).path.unlink(missing_ok=True)

    def _put(self, name: str, path: Path, own: bool) -> Look:
        plain = "".join(c for c in name if c.isalnum() or c in "-_ ")[:40].strip() or "picture"
        name, number = plain, 2
        while name in self.looks:
            name, number = f"{plain} {number}", number + 1
        self.looks[name] = Look(name, path, own)
        return self.looks[name]


def checked(data: bytes, beneath: str) -> Handed:
    """A picture that comes from outside, its transparent parts of the colour `beneath`. Takes a
    moment. ValueError: none of FORMATS, or too large."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
    except Image.DecompressionBombError:
        width = height = MOST_PX
    except (OSError, ValueError, SyntaxError):
        raise ValueError(f"this is not a picture that can be read ({', '.join(FORMATS)})") from None
    if width * height > MOST_PX:
        raise ValueError(f"the picture has more than {MOST_PX // 1_000_000} million pixels")
    pixels = pictures.decode(data, beneath)[0]
    return Handed(pixels, encoded(pixels, ".png", []), thumbnail(pixels))


def thumbnail(pixels: Pixels) -> bytes:
    """Small, as JPEG."""
    scale = THUMB_PX / min(pixels.shape[:2])
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return encoded(np.asarray(small, np.uint8), ".jpg", [])
