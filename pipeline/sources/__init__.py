"""Where frames come from. A source is one file here; its name is its scheme or its kind."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, cast, runtime_checkable

from pipeline.address import shown
from pipeline.errors import SourceInvalid
from pipeline.frame import Frame, Pixels, StreamInfo
from pipeline.limits import MAX_PIXELS, MAX_SIDE_PX, MIN_SIDE_PX, fits

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}
_NETWORK = {"rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp"}
_NETWORK |= {"rtspu", "hls+http", "hls+https"}


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What the user asked of the input."""

    size: int | None = None
    """Short side of the frames in px; None keeps the source's own size."""
    start_s: float | None = None
    end_s: float | None = None
    fps: Fraction | None = None
    """Constant rate to resample to, by time stamps; None keeps the source's own times."""
    wait: bool = False
    """Try again when a live source is not there at first."""
    attempts: int | None = None
    """Failures in a row to connect to a live source, after which it is lost; None: never."""
    known: StreamInfo | None = None
    """What a live source was found to be: it is then not opened only to be looked at."""
    slate: tuple[int, int] | None = None
    """Width and height, in px, of a picture that stands for a live source until it is there, and of
    the frames from then on. Nothing is waited for."""
    keep_hdr: bool = False
    """HDR films are handed out so that they can be written as HDR again."""
    sampled: bool = False
    """The info of a film or a network stream has a sample of it."""
    hardware: str | None = None
    """The kind of device that decodes films and network streams; None: software."""


class Source(Protocol):
    """Hands out frames; owns decoding. `notices` and `damage` are one-line texts for the user."""

    info: StreamInfo
    notices: list[str]
    damage: str | None

    @property
    def away(self) -> str:
        """Why a live source is not there just now; "" while it is, and for all others."""
        ...

    @property
    def dropped(self) -> dict[str, int]:
        """Frames of a live source so far that were left out, by cause."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def frames(self, start: int = 0, after: int | None = None) -> Iterator[Frame | None]:
        """The frames of a calm run from index `start` on, identical every time; the time stamp
        `after` of the frame before them, where it is known, may spare the way there. Of a live
        source the newest, counted from `start`; None when there is none just now."""
        ...


Room = Callable[[], Pixels]
"""Gives the array (H,W,3) that the next picture is wanted in."""


@runtime_checkable
class Drawn(Protocol):
    """A source that makes its pictures: where they are wanted, so that nothing is copied. What the
    stream is measured with should not cost it more than it must."""

    room: Room | None


class _Kind(Protocol):
    def create(self, text: str, options: SourceOptions) -> Source: ...


def kinds() -> list[str]:
    """The names of the sources that exist."""
    return sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py"))


def open_source(text: str, options: SourceOptions | None = None) -> Source:
    """The source that `text` names, opened. Raises SourceInvalid or SourceLost."""
    kind = _kind_of(text)
    if kind not in kinds():
        raise SourceInvalid(f"{shown(text)}: no such kind of input; known are {', '.join(kinds())}")
    module = cast(_Kind, import_module(f"pipeline.sources.{kind}"))
    return module.create(text, options or SourceOptions())


def frames_of(text: str, options: SourceOptions | None = None) -> Iterator[Frame]:
    """The frames of a film, opened and closed."""
    with open_source(text, options) as source:
        yield from (frame for frame in source.frames() if frame is not None)


def _kind_of(text: str) -> str:
    scheme, colon, _ = text.partition(":")
    if colon and len(scheme) > 1 and scheme.replace("+", "").isalnum() and not Path(text).exists():
        return "live" if scheme.lower() in _NETWORK else scheme.lower()
    path = Path(text)
    is_pattern = any(c in path.name for c in "%*?") and not path.exists()
    is_picture = path.suffix.lower() in PICTURE_SUFFIXES
    return "images" if path.is_dir() or is_pattern or is_picture else "file"


def scaled(width: int, height: int, size: int | None, text: str) -> tuple[int, int]:
    """(width, height) with the short side `size`, both even; untouched when `size` is None."""
    if size is not None:
        factor = Fraction(size, min(width, height))
        width, height = (2 * round(side * factor / 2) for side in (width, height))
    if min(width, height) < MIN_SIDE_PX:
        raise SourceInvalid(f"{text} is {width}x{height} px; at least {MIN_SIDE_PX} px are needed")
    if not fits(width, height):
        raise SourceInvalid(
            f"{text} would be {width}x{height} px; at most {MAX_PIXELS / 1e6:.1f} megapixels and "
            f"{MAX_SIDE_PX} px a side are painted: give a smaller --size"
        )
    return width, height
