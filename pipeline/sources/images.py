"""A folder of pictures, or a pattern such as img_%04d.png or shots/*.jpg, as a video."""

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.color import tags_of, to_rgb
from pipeline.errors import SourceInvalid
from pipeline.frame import ColorTags, Frame, Pixels, StreamInfo
from pipeline.opening import PICTURE_FORMATS, check_size, mapped, open_media, video_of
from pipeline.sources import Source, SourceOptions, scaled
from pipeline.sources._upright import turn_of, upright

_DEFAULT_RATE = Fraction(25)
_ALIKE = 0.02
"""Share by which pictures may differ in shape and still count as of one."""


def create(text: str, options: SourceOptions) -> Source:
    """The pictures that `text` names."""
    return ImagesSource(text, options)


def natural(path: Path) -> list[tuple[int, str]]:
    """Sorts 2.png before 10.png."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in parts]


def pictures_of(text: str) -> list[Path]:
    """The picture files of a folder, a pattern or one name, in natural order."""
    path = Path(text)
    if path.is_dir():
        found = list(path.iterdir())
    elif path.exists():
        found = [path]
    elif "%" in path.name:
        found = [p for p in _siblings(path) if _counted(path).fullmatch(p.name)]
    else:
        found = list(path.parent.glob(path.name)) if path.parent.is_dir() else []
    pictures = [p for p in found if p.suffix.lower() in PICTURE_FORMATS]
    shown = [p for p in pictures if p.is_file() and not p.name.startswith(".")]
    if not shown:
        raise SourceInvalid(f"{text}: no pictures there; known are {' '.join(PICTURE_FORMATS)}")
    return sorted(shown, key=natural)


def _counted(path: Path) -> re.Pattern[str]:
    """What a name such as img_%04d.png stands for; its groups are the numbers."""
    return re.compile(re.sub(r"%0?(\d*)d", r"(\\d+)", re.escape(path.name).replace(r"\%", "%")))


def _gaps(text: str, paths: list[Path]) -> list[str]:
    """What the user should know of numbers that a counted name leaves out."""
    path = Path(text)
    if path.name.count("%") != 1 or path.exists():
        return []
    found = [_counted(path).fullmatch(p.name) for p in paths]
    numbers = sorted(int(match[1]) for match in found if match)
    before = next((a for a, b in pairwise(numbers) if b > a + 1), None)
    if before is None:
        return []
    lacking = numbers[-1] - numbers[0] + 1 - len(set(numbers))
    return [f"{text}: {lacking} numbers have no picture, first {before + 1}; what follows moves up"]


def _siblings(path: Path) -> Iterator[Path]:
    return path.parent.iterdir() if path.parent.is_dir() else iter(())


def read_picture(
    path: Path, size: tuple[int, int] | None
) -> tuple[Pixels, ColorTags, tuple[int, int]]:
    """An upright picture, scaled to (width, height) px, and the (width, height) that it has; or
    SourceInvalid."""
    form = PICTURE_FORMATS.get(path.suffix.lower())
    if form is None:
        raise SourceInvalid(f"{path} is no picture; known are {' '.join(PICTURE_FORMATS)}")
    with open_media(str(path), form) as container, mapped(str(path)):
        stream = video_of(container, str(path))
        frame = next(container.decode(stream), None)
        if frame is None:
            raise SourceInvalid(f"{path} cannot be decoded; is it damaged?")
        check_size(frame.width, frame.height, str(path))
        turn = turn_of(frame, path)
        own = frame.width, frame.height
        if turn[0] % 2:
            own = own[::-1]
            size = None if size is None else size[::-1]
        tags = tags_of(frame)
        return upright(to_rgb(frame, tags, size), turn), tags, own


class ImagesSource:
    """One picture is one frame; all are scaled to the size of the first."""

    def __init__(self, text: str, options: SourceOptions) -> None:
        self.notices: list[str] = []
        self.damage: str | None = None
        self.dropped: dict[str, int] = {}
        self.away = ""
        self._text = text
        rate = options.fps or _DEFAULT_RATE
        paths = pictures_of(text)
        self.notices += _gaps(text, paths)
        self._paths = _within(paths, options, rate)
        if not self._paths:
            raise SourceInvalid(f"{text} has no frames in the part asked for")
        self._own, tags = self._first_readable()
        width, height = scaled(*self._own, options.size, text)
        self.info = StreamInfo(
            width=width,
            height=height,
            time_base=1 / rate,
            rate=rate,
            tags=tags,
            frames=len(self._paths),
            counted=True,
        )

    def _first_readable(self) -> tuple[tuple[int, int], ColorTags]:
        problem: SourceInvalid | None = None
        for path in self._paths:
            try:
                _, tags, own = read_picture(path, None)
                return own, tags
            except SourceInvalid as error:
                problem = problem or error
        raise problem or SourceInvalid(f"{self._text}: not one picture can be read")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def frames(self, start: int = 0, after: int | None = None) -> Iterator[Frame]:
        """The frames from index `start` on; a picture that cannot be read repeats the one before
        it (the next one, at the beginning), so that every index keeps its time."""
        bad: list[Path] = []
        stretched: list[Path] = []
        for index in range(start, len(self._paths)):
            pixels = self._picture(index, bad, stretched)
            yield Frame(index, index, self.info.time_base, pixels)
        if stretched:
            width, height = self._own
            self.notices.append(
                f"{len(stretched)} pictures are stretched to the shape of the first "
                f"({width}x{height}): {stretched[0].name} is the first of them"
            )
        if bad:
            self.damage = (
                f"{len(bad)} pictures cannot be read, first {bad[0]}; shown as their neighbour"
            )

    def _picture(self, index: int, bad: list[Path], stretched: list[Path]) -> Pixels:
        size = (self.info.width, self.info.height)
        for near in (*range(index, -1, -1), *range(index + 1, len(self._paths))):
            try:
                pixels, _, (width, height) = read_picture(self._paths[near], size)
                across, down = width * self._own[1], height * self._own[0]
                if near == index and abs(across - down) > _ALIKE * max(across, down):
                    stretched.append(self._paths[near])
                return pixels
            except SourceInvalid:
                if self._paths[near] not in bad:
                    bad.append(self._paths[near])
        raise SourceInvalid(f"{self._text}: not one picture can be read")


def _within(paths: list[Path], options: SourceOptions, rate: Fraction) -> list[Path]:
    """The pictures between start_s and end_s."""
    begin = 0 if options.start_s is None else round(Fraction(options.start_s) * rate)
    end = None if options.end_s is None else round(Fraction(options.end_s) * rate)
    return paths[begin:end]
