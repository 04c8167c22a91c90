"""The journal of an output: what the job is, and how much of it is safe on the disk.

One JSON object a line, only ever appended to, each line forced to the disk before work goes on.
A last line that was torn by a power cut counts as not written.
"""

import glob
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from pipeline.errors import ConfigError, SinkError
from pipeline.job import Job, differences
from pipeline.sinks._parts import forced_folder, part_path, parts_of

STATES = 3
"""So many restart points back a writer that died may have to go."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part file as far as it was on the disk when the line was written."""

    part: int
    """Frame that the part file begins with."""
    frames: int
    """Frames of the output that are done, all parts counted."""
    first_pts: int | None
    last_pts: int | None
    """Of the frames of this piece, in ticks of the source; `last_pts` is that of frame
    `frames` - 1."""
    size: int
    """Bytes of the part file that were forced to the disk."""
    boot: str
    """Which start of the machine: within one nothing that was written is lost."""


def is_piece(line: dict[str, Any]) -> bool:
    """Whether a line holds a whole piece."""
    return line.keys() == Piece.__dataclass_fields__.keys() and all(
        isinstance(line[name], int) for name in ("part", "frames", "size")
    )


def boot_id() -> str:
    """Another one after each start of the machine; "" where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class Journal:
    """The journal beside the output `final`; there may be none yet, which counts as false."""

    def __init__(self, final: Path) -> None:
        self._final = final
        self.path = final.with_name(f"{final.name}.journal")

    def __bool__(self) -> bool:
        return bool(self._lines())

    def begin(self, job: Job) -> None:
        """A fresh journal of `job`."""
        self.remove()
        self._append({"job": job})
        forced_folder(self.path.parent)  # so that the file itself is found after a power cut

    def check(self, job: Job) -> None:
        """ConfigError naming what has changed when the journal is not of `job`."""
        if changed := differences(self._lines()[0].get("job", {}), job):
            raise ConfigError(
                f"--resume: {self.path.name} is of another job: {'; '.join(changed)}. "
                "Ask for the same again, or --overwrite to begin anew"
            )

    def take_up(self) -> None:
        """Makes the part files of the output what is sure to be whole: all that was written, or
        after another start of the machine only what had been forced to the disk."""
        first = part_path(self._final, 0)
        if not first.exists() and self._final.exists():  # an interrupted run completes its file
            os.replace(self._final, first)
        pieces = self.pieces()
        if pieces and pieces[-1].boot and pieces[-1].boot == boot_id():
            return
        safe = {piece.part: piece.size for piece in pieces}
        for begin, path in parts_of(self._final).items():
            if begin in safe:
                os.truncate(path, min(safe[begin], path.stat().st_size))
            else:
                path.unlink()

    def note(self, piece: Piece) -> None:
        """Append `piece`."""
        self._append(asdict(piece))

    def pieces(self) -> list[Piece]:
        """All pieces, oldest first."""
        return [Piece(**line) for line in self._lines() if is_piece(line)]

    def keep(self, index: int, state: dict[str, Any]) -> None:
        """What a filter needs to go on at frame `index`; that of the last few is kept."""
        place = self._state_path(index)
        torn = place.with_name(f"{place.name}.torn")
        try:
            with torn.open("wb") as file:
                np.savez(file, allow_pickle=False, **state)
                file.flush()
                os.fsync(file.fileno())
            os.replace(torn, place)
        except OSError as error:
            torn.unlink(missing_ok=True)
            raise SinkError(f"{place} cannot be written ({error.strerror})") from None
        for old in self._states()[:-STATES]:
            old.unlink(missing_ok=True)

    def kept(self, index: int) -> dict[str, Any] | None:
        """What was kept for frame `index`; None: nothing that can be read."""
        try:
            with np.load(self._state_path(index), allow_pickle=False) as state:
                return dict(state)
        except (OSError, ValueError, EOFError, KeyError, BadZipFile):
            return None

    def _state_path(self, index: int) -> Path:
        return self.path.with_name(f"{self.path.name}-{index:09d}")

    def _states(self) -> list[Path]:
        """Oldest first."""
        name = glob.escape(self.path.name)
        return sorted(self.path.parent.glob(f"{name}-*"))

    def remove(self) -> None:
        """The job is done."""
        self.path.unlink(missing_ok=True)
        for path in self._states():
            path.unlink(missing_ok=True)

    def _lines(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                read = json.loads(line)
            except (ValueError, RecursionError):
                continue
            found += [read] if isinstance(read, dict) else []
        return found if found and isinstance(found[0].get("job"), dict) else []

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with self.path.open("ab+") as file:
                if file.tell():  # what a torn line left behind ends here
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        file.write(b"\n")
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SinkError(f"{self.path} cannot be written ({error.strerror})") from None
