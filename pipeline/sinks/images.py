"""Pictures: a folder OUT/ or OUT/%06d.jpg, or OUT.jpg of an input that is one picture. Each
appears whole or not at all."""

import os
import re
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2

from pipeline.control import Change, Figures
from pipeline.errors import SinkError
from pipeline.frame import Frame, Pixels, StreamInfo
from pipeline.outlet import Outlet
from pipeline.sinks import PICTURE_SUFFIXES, Sink, SinkOptions, check_folder, check_order
from pipeline.sinks._journal import Journal

_PATTERN = re.compile(r"%(0?\d{0,2})d")
_JPEG_QUALITY = 95
MOST_QUALITY = 100
_PNG_LEVEL = 3


def pattern_of(text: str) -> str:
    """The path of each picture, with one %d in its name, or of the only one."""
    path = Path(text)
    if text.endswith(("/", "\\")) or path.is_dir():
        return str(path / "%06d.png")
    if path.name.count("%") != len(_PATTERN.findall(path.name)[:1]):
        raise SinkError(
            f"{text}: one % is allowed in the name, as %06d, for the number of the frame"
        )
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise SinkError(f"{text}: pictures are written as {' '.join(sorted(PICTURE_SUFFIXES))}")
    return text


def _existing(pattern: str) -> list[Path]:
    """Pictures of an earlier run, and its unfinished ones."""
    folder, name = Path(pattern).parent, Path(pattern).name
    counted = _PATTERN.sub(r"\\d+", re.escape(name).replace(r"\%", "%"))
    form = re.compile(rf"(?:\.part-)?{counted}")
    return [p for p in folder.iterdir() if form.fullmatch(p.name)] if folder.is_dir() else []


def left_of(text: str) -> list[Path]:
    """The pictures of earlier runs, which new ones replace."""
    return _existing(pattern_of(text))


def prepare(text: str, options: SinkOptions) -> None:
    """Refuses what cannot work; clears the pictures of an earlier run if that is allowed."""
    pattern, path = pattern_of(text), Path(text)
    if not _PATTERN.search(Path(pattern).name) and not options.single:
        raise SinkError(f"{text} is one picture; write {path.stem}_%06d{path.suffix} or a folder/")
    if options.codec is not None:
        raise SinkError(f"a codec ({options.codec}) makes no sense for pictures; leave it out")
    asked = None if Path(pattern).suffix.lower() == ".png" else options.quality
    if asked is not None and not 1 <= asked <= MOST_QUALITY:
        raise SinkError(f"--quality {asked}: pictures take 1 to {MOST_QUALITY}")
    found, journal = _existing(pattern), journal_of(text)
    if options.resume and options.job and journal:
        journal.check(options.job)
        _drop_torn(pattern)
        return
    if journal and not options.overwrite:
        raise SinkError(
            f"{text} was begun and not completed: --resume goes on, --overwrite begins anew"
        )
    if any(not p.name.startswith(".part-") for p in found) and not options.overwrite:
        raise SinkError(
            f"{text} holds pictures already: --overwrite replaces them, or give another folder"
        )
    check_folder(Path(pattern).parent)
    for path in found:
        path.unlink()
    journal.remove()


def journal_of(text: str) -> Journal:
    """What is noted about the pictures `text`."""
    return Journal(Path(pattern_of(text)))


def _count(pattern: str) -> int:
    """Pictures from the first on that are there and not empty."""
    path, count = Path(pattern), 0
    while (made := _made(path, count)).exists() and made.stat().st_size:
        count += 1
        if made == path:  # the only one
            break
    return count


def _made(path: Path, index: int) -> Path:
    return path.with_name(path.name % index) if _PATTERN.search(path.name) else path


def _drop_torn(pattern: str) -> None:
    """Removes the last picture if a power cut has torn it."""
    last = _made(Path(pattern), max(0, _count(pattern) - 1))
    if last.exists() and cv2.imread(str(last)) is None:
        last.unlink()


def create(text: str, info: StreamInfo, options: SinkOptions) -> Sink:
    """A sink for the pictures `text`, going on after those that this run has written."""
    return ImagesSink(pattern_of(text), options)


class ImagesSink:
    """Writes each frame under a hidden name, then renames it."""

    keeps = True
    piece = 1

    def __init__(self, pattern: str, options: SinkOptions) -> None:
        self.notices: list[str] = []
        self._pattern = pattern
        self._quality = options.quality
        self._job = options.job
        self.next_index = _count(pattern)

    def _path(self, index: int) -> Path:
        return _made(Path(self._pattern), index)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def write(self, frame: Frame) -> None:
        """Writes `frame` unless it was written before."""
        if not check_order(frame, self.next_index):
            return
        if self._job and not (journal := Journal(Path(self._pattern))):
            journal.begin(self._job)
        path = self._path(frame.index)
        hidden = path.with_name(f".part-{path.name}")
        try:
            hidden.write_bytes(self._encoded(frame.pixels, path.suffix.lower()))
            os.replace(hidden, path)
        except OSError as error:
            hidden.unlink(missing_ok=True)
            raise SinkError(f"{path} cannot be written ({error.strerror})") from None
        self.next_index += 1

    def _encoded(self, pixels: Pixels, suffix: str) -> bytes:
        quality = _JPEG_QUALITY if self._quality is None else self._quality
        settings = {
            ".png": [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL],
            ".webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
        }.get(suffix, [cv2.IMWRITE_JPEG_QUALITY, quality])
        done, data = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), settings)
        if not done:
            raise SinkError(f"a picture cannot be encoded as {suffix}")
        return data.tobytes()

    @property
    def outlets(self) -> list[Outlet]:
        """Nothing to tell: when it fails the run hears of it."""
        return [Outlet()]

    def take_asked(self) -> list[Change]:
        """Nobody can ask here."""
        return []

    def tell(self, figures: Figures) -> None:
        """Nobody watches here."""

    def finish(self, cut: bool = False) -> None:
        """Every picture is complete already."""
        if self.next_index == 0:
            raise SinkError(f"{self._pattern}: there was not one frame to write")

    def abandon(self) -> None:
        """Nothing to close."""
