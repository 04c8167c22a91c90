"""Part files: what a sink writes before it has finished, and how parts become one file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from pipeline.errors import SourceError
from pipeline.opening import open_media, video_of
from pipeline.sinks._codecs import Container


class PartFile(FileIO):
    """An output file that stops at the first failed write, so that a full disk leaves what was
    written readable: nothing half-written stays, and no trailer is tried."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), "wb")

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """All of `data`, or OSError with the file as it was before."""
        begin, done = self.tell(), 0
        try:
            while done < len(data):
                done += super().write(data[done:])
        except OSError:
            if begin + done >= os.fstat(self.fileno()).st_size:
                self.truncate(begin)
            self.close()
            raise
        return done


def part_path(final: Path, first: int) -> Path:
    """The part that begins with frame `first`."""
    mark = f".part-{first:06d}" if first else ".part"
    return final.with_name(f"{final.stem}{mark}{final.suffix}")


def join_path(final: Path) -> Path:
    """Where parts are joined."""
    return final.with_name(f"{final.stem}.part-join{final.suffix}")


def front_path(final: Path) -> Path:
    """Where the index comes first, before this is the output."""
    return final.with_name(f"{final.stem}.part-front{final.suffix}")


def parts_of(final: Path) -> dict[int, Path]:
    """First frame index -> part file, in order."""
    stem, suffix = re.escape(final.stem), re.escape(final.suffix)
    pattern = re.compile(rf"{stem}\.part(?:-(\d{{6,}}))?{suffix}")
    folder = final.parent.iterdir() if final.parent.is_dir() else ()
    found = ((pattern.fullmatch(path.name), path) for path in folder)
    return dict(sorted((int(match[1] or 0), path) for match, path in found if match))


def is_part(path: Path) -> bool:
    """Whether a file has the name of a part, or of what is made of parts, of whatever output."""
    return re.search(r"\.part(-\d{6,}|-join|-front)?\.[^.]+$", path.name) is not None


def forced(path: Path) -> int:
    """Forces what was written to a file to the disk -> its size in bytes."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size


def forced_folder(folder: Path) -> None:
    """Forces to the disk which files a folder holds, where its file system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_parts(final: Path) -> None:
    """Deletes the part files of `final`."""
    # In this order what a kill leaves over still fits behind a finished file.
    for path in (*parts_of(final).values(), join_path(final), front_path(final)):
        path.unlink(missing_ok=True)


class Output:
    """A container at `path` that survives a kill and a full disk."""

    def __init__(self, path: Path, container: Container) -> None:
        options = container.options | {"max_interleave_delta": "1000000"}
        self._file = PartFile(path)
        form = container.form
        self.container = av.open(self._file, "w", format=form, container_options=options)

    def close(self) -> None:
        """Writes the trailer, unless writing has failed before, and closes the file."""
        try:
            self.container.close()
        finally:
            self._file.close()


def readable_packets(path: Path) -> int:
    """How many whole video packets a part holds; 0 when it cannot be read."""
    try:
        with open_media(str(path)) as media:
            return sum(1 for _ in video_packets(media, str(path)))
    except SourceError:
        return 0


def video_packets(media: InputContainer, name: str) -> Iterator[Packet[Any]]:
    """The video packets that are whole, up to the first that is not."""
    try:
        for packet in media.demux(video_of(media, name)):
            if packet.size == 0:
                continue
            if packet.is_corrupt or packet.pts is None:
                return
            yield packet
    except (FFmpegError, ValueError):
        return
