"""Where frames go. A sink is one file here; its name is its scheme or its kind."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from time import localtime, strftime
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, cast

from filelock import FileLock, Timeout

from engines import cache
from pipeline.address import shown
from pipeline.control import Change, Figures
from pipeline.errors import SinkError, SourceInvalid
from pipeline.frame import Frame, StreamInfo
from pipeline.job import Job
from pipeline.outlet import Outlet

if TYPE_CHECKING:
    from pipeline.sinks._journal import Journal

_TIME_FIELD = re.compile("%[YmdHMS]")
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """What the user asked of the output."""

    codec: str | None = None
    """Short name or FFmpeg encoder, settled; None takes the usual one of the container."""
    quality: int | None = None
    """Constant quality, lower is better (H.264 0 to 51); pictures: 1 to 100, higher is better."""
    sound: bool = True
    overwrite: bool = False
    web_token: str | None = None
    """File with the token that the live page asks for."""
    web_names: tuple[str, ...] = ()
    """By which a proxy before the live page is called."""
    recordings: str | None = None
    """Folder in which the live page may record."""
    source: str = ""
    """What is painted, as it may be shown."""
    wanted: Change | None = field(default=None, repr=False)
    """How the stream is to be painted when the output opens, for one that shows it."""
    paints: bool = True
    """False: the model is one that leaves frames as they are."""
    resume: bool = False
    """Go on with what an earlier run of the same job has left."""
    job: Job | None = None
    """What an output writes down so that a later run can go on with it; None: nobody will."""
    hdr: bool = False
    """The frames are HDR that is kept."""
    single: bool = False
    """One frame is all there will be."""
    like: StreamInfo | None = None
    """What will be written, for the proof that it can be."""


class Sink(Protocol):
    """Takes frames in order; `next_index` is the first that must still be handed over."""

    next_index: int

    @property
    def keeps(self) -> bool:
        """False when nothing is kept: a new sink may then go on at any frame."""
        ...

    @property
    def piece(self) -> int:
        """A new sink goes on at a multiple of so many frames, where anything is kept."""
        ...

    @property
    def notices(self) -> list[str]:
        """What the user should know, one line each."""
        ...

    @property
    def outlets(self) -> list[Outlet]:
        """How each output that it is made of is, in the order in which they were named."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def take_asked(self) -> list[Change]:
        """What those who watch asked to be changed, since the last call."""
        ...

    def tell(self, figures: Figures) -> None:
        """How the run goes, for those who watch."""
        ...

    def write(self, frame: Frame) -> None:
        """Takes `frame`; ignores an index below `next_index`, raises SinkError on a gap."""
        ...

    def finish(self, cut: bool = False) -> None:
        """Completes the output and gives it its name, all or nothing. `cut`: more frames would have
        come; so sound that belongs to them is left out."""
        ...

    def abandon(self) -> None:
        """Closes without finishing; what was written stays readable under its .part name."""
        ...


class _Kind(Protocol):
    def prepare(self, text: str, options: SinkOptions) -> None: ...
    def create(self, text: str, info: StreamInfo, options: SinkOptions) -> Sink: ...


def kinds() -> list[str]:
    """The names of the sinks that exist."""
    return sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py"))


def is_dated(text: str) -> bool:
    """Whether `text` is a video file named by the time: two fields of a date or more, and no other
    `%`, so that 100%done.mp4 is a name like any other."""
    fields = _TIME_FIELD.findall(text)
    return _kind_of(text) == "file" and len(fields) == text.count("%") > 1


def dated(text: str) -> str:
    """`wall-%Y%m%d-%H%M%S.mp4` -> wall-20260504-181500.mp4, by the clock of this machine: a run
    that is started again writes another file. Other names as they are."""
    return strftime(text, localtime()) if is_dated(text) else text


def shows_input(text: str) -> bool:
    """Whether the output wants to have what each frame was painted from."""
    return _kind_of(text) == "web"


def paces(text: str) -> bool:
    """Whether the output shows the frames of a film each at its time, and waits for that."""
    return _kind_of(text) not in ("file", "images", "null")


def prepare(text: str, options: SinkOptions | None = None, input_text: str = "") -> None:
    """Called once before anything starts: refuses what cannot work, clears old part files."""
    kind = _module(text)
    left = kind.left_of(text) if hasattr(kind, "left_of") else []
    if input_text and _inodes([Path(text), *left]) & _inodes(_files_of(input_text)):
        raise SinkError(f"{text} would replace the input itself; give the output another name")
    kind.prepare(text, options or SinkOptions())


@contextmanager
def claimed(texts: list[str]) -> Iterator[None]:
    """Holds the files and folders that are written, on this machine. SinkError: another run does.
    The system lets go of them with the process, however it ends."""
    with ExitStack() as held:
        for text in texts:
            if _kind_of(text) in ("file", "images", "hls"):
                name = sha256(str(Path(text).resolve()).encode()).hexdigest()[:32]
                try:
                    held.enter_context(FileLock(cache.folder() / "outputs" / name, timeout=0))
                except Timeout:
                    raise SinkError(f"{text} is being written by another run") from None
                except OSError:  # no place of our own to keep locks
                    continue
        yield


def open_sink(text: str, info: StreamInfo, options: SinkOptions | None = None) -> Sink:
    """The sink that `text` names; goes on where a killed sink of the same run stopped."""
    return _module(text).create(text, info, options or SinkOptions())


def open_sinks(texts: list[str], info: StreamInfo, options: SinkOptions, taken: int = 0) -> Sink:
    """One sink for all that `texts` name. `taken`: where those go on that keep nothing, and all of
    several outputs of a live stream."""
    sinks = [open_sink(text, info, options) for text in texts]
    if info.live and len(sinks) > 1:
        from pipeline.sinks._queued import Queued

        named = zip(sinks, texts, strict=True)
        sinks = [Queued(sink, text) if sink.keeps else sink for sink, text in named]
    for sink in sinks:
        if not sink.keeps:
            sink.next_index = taken
    if len(sinks) == 1:
        return sinks[0]
    from pipeline.sinks._tee import Tee

    return Tee(sinks)


def journals(texts: list[str]) -> "list[Journal]":
    """The journals of those outputs that keep one."""
    kinds = [(text, _module(text)) for text in texts]
    return [kind.journal_of(text) for text, kind in kinds if hasattr(kind, "journal_of")]


def _module(text: str) -> _Kind:
    kind = _kind_of(text)
    if kind not in kinds():
        raise SinkError(f"{shown(text)}: no such kind of output; known are {', '.join(kinds())}")
    return cast(_Kind, import_module(f"pipeline.sinks.{kind}"))


def _kind_of(text: str) -> str:
    scheme, colon, _ = text.partition(":")
    if "://" in text:
        return "live"
    if colon and len(scheme) > 1 and scheme.isalnum() and not os.path.exists(text):
        return scheme.lower()
    path = Path(text)
    if path.suffix.lower() == ".m3u8":
        return "hls"
    is_folder = text.endswith(("/", "\\")) or path.is_dir()
    return "images" if is_folder or path.suffix.lower() in PICTURE_SUFFIXES else "file"


def _files_of(input_text: str) -> list[Path]:
    """An input, where it is a path, and the pictures that it stands for."""
    from pipeline.sources.images import pictures_of

    path = Path(input_text.removeprefix("file:"))
    try:
        return [path] if path.is_file() else [path, *pictures_of(str(path))]
    except SourceInvalid:
        return [path]


def _inodes(paths: list[Path]) -> set[tuple[int, int]]:
    """What tells those apart that exist, by whatever names."""
    found = [path.stat() for path in paths if os.path.exists(path)]
    return {(it.st_dev, it.st_ino) for it in found}


def check_order(frame: Frame, next_index: int) -> bool:
    """True when `frame` is the one to write now, False when it was written before."""
    if frame.index > next_index:
        raise SinkError(f"frame {frame.index} came where {next_index} was due; frames are missing")
    return frame.index == next_index


def check_folder(folder: Path) -> None:
    """Makes `folder` and sees that it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".stylestream-probe"
        probe.touch()
        probe.unlink(missing_ok=True)  # another run may try the same
    except OSError as error:
        raise SinkError(f"{folder} cannot be written to ({error.strerror})") from None
