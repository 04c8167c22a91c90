"""A video file: encoded in restartable chunks, with the sound of the source, under a .part name
until it is complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import numpy as np
from av.packet import Packet

from pipeline.control import Change, Figures
from pipeline.errors import SinkError, SourceError
from pipeline.frame import Frame, StreamInfo
from pipeline.opening import open_media, video_of
from pipeline.outlet import Outlet
from pipeline.sinks import Sink, SinkOptions, check_folder, check_order
from pipeline.sinks._chunks import Recipe, recipe_for
from pipeline.sinks._codecs import SIDE_PX, Coding, Container, coding_of, container_of
from pipeline.sinks._front import index_first
from pipeline.sinks._heard import JoinedTrack
from pipeline.sinks._journal import Journal, Piece, boot_id
from pipeline.sinks._muxing import FAILURES, Muxer, PartWriter, failures
from pipeline.sinks._parts import (
    Output,
    forced,
    front_path,
    join_path,
    part_path,
    parts_of,
    readable_packets,
    remove_parts,
    video_packets,
)
from pipeline.sinks._proof import FRAMES, TAGS
from pipeline.sound import Sound, has_text

_LIKE = StreamInfo(SIDE_PX, SIDE_PX, Fraction(1, 25), Fraction(25), TAGS)
"""What is written to prove that it can be, where nothing is known of what will be."""


def prepare(text: str, options: SinkOptions) -> None:
    """Refuses what cannot work; takes up or clears what an earlier run has left."""
    path, journal = Path(text), journal_of(text)
    coding = coding_of(path, options.codec, options.hdr)
    coding.check(options.quality)
    _prove(path, coding, options)
    if options.resume and options.job and journal:
        journal.check(options.job)
        journal.take_up()
        return
    if journal and not options.overwrite:
        raise SinkError(
            f"{path} was begun and not completed: --resume goes on, --overwrite begins anew"
        )
    if path.exists() and not options.overwrite:
        raise SinkError(f"{path} exists already: --overwrite replaces it, or give another name")
    if (left := left_of(text)) and not options.overwrite:
        raise SinkError(
            f"{left[0]} is what an interrupted run has written: rename it to keep it, or "
            "--overwrite begins anew"
        )
    check_folder(path.parent)
    remove_parts(path)
    journal.remove()


def _prove(path: Path, coding: Coding, options: SinkOptions) -> None:
    """SinkError unless a few small frames can be written like those to come, and read again:
    FFmpeg names codecs for containers that refuse them once they are begun."""
    like, container = options.like or _LIKE, container_of(path)
    width, height = (min(side, SIDE_PX + side % 2) for side in (like.width, like.height))
    like = replace(like, width=width, height=height, media=None, sounds=False)
    recipe = recipe_for(like, coding, options.quality, container)
    step = max(1, round(1 / recipe.rate / like.time_base))
    with TemporaryDirectory() as folder:
        proof = Path(folder, f"proof{path.suffix}")
        try:
            writer = _begun(proof, container, recipe, like, True, False, [])
            for index in range(FRAMES):
                pixels = np.full((height, width, 3), 60 * index, np.uint8)
                writer.write(Frame(index, index * step, like.time_base, pixels))
            writer.finish()
            with open_media(str(proof)) as media:
                found = sum(1 for _ in media.decode(video_of(media, str(proof))))
            why = "" if found == FRAMES else "not all of its frames can be read"
        except SourceError:
            why = "what is written cannot be read"
        except FAILURES as error:
            why = getattr(error, "strerror", None) or str(error)
    if why:
        raise SinkError(
            f"{path.suffix} files cannot hold {options.codec or coding.encoder} like this ({why}); "
            "give another --codec, or none"
        )


def _begun(
    path: Path,
    container: Container,
    recipe: Recipe,
    info: StreamInfo,
    first: bool,
    sound: bool,
    notices: list[str],
    told: bool = True,
) -> PartWriter:
    """A writer of the part file `path`; where it cannot be begun nothing stays of it."""
    out = Output(path, container)
    try:
        return PartWriter(out, recipe, info, first, sound, notices, told)
    except FAILURES:
        with suppress(*FAILURES):
            out.close()
        path.unlink(missing_ok=True)
        raise


def left_of(text: str) -> list[Path]:
    """The part files of earlier runs, and what was made of them, which a new one replaces."""
    made = join_path(Path(text)), front_path(Path(text))
    return [*parts_of(Path(text)).values(), *(path for path in made if path.exists())]


def journal_of(text: str) -> Journal:
    """What is noted about the file `text`."""
    return Journal(Path(text))


def create(text: str, info: StreamInfo, options: SinkOptions) -> Sink:
    """A sink for the file `text`, going on after the parts of this run that exist."""
    return FileSink(Path(text), info, options)


class FileSink:
    """Writes one part; `finish` makes the file of all parts."""

    keeps = True

    def __init__(self, final: Path, info: StreamInfo, options: SinkOptions) -> None:
        self.notices: list[str] = []
        self._final = final
        self._info = info
        self._options = options
        self._container = container_of(final)
        coding = coding_of(final, options.codec, info.tags.kept)
        self._recipe = recipe_for(info, coding, options.quality, self._container)
        if self._recipe.pix_fmt != coding.pix_fmt:
            size = f"{info.width}x{info.height}"
            self.notices.append(f"{size} is odd: written as {self._recipe.pix_fmt}, size untouched")
        # FFmpeg aborts the process over subtitles in pieces: they are added to the whole.
        movie, heard = self._container.form in ("mp4", "mov"), options.sound and info.media
        self._texts = bool(movie and heard and has_text(heard))
        self._parts = self._whole_parts()
        self.next_index = sum(self._parts.values())
        self._first = self.next_index
        self._writer: PartWriter | None = None
        self._journal = journal_of(str(final)) if options.job and self._recipe.restarts else None
        self._piece_pts: int | None = None
        self._last_pts: int | None = None

    @property
    def piece(self) -> int:
        """A chunk: it is encoded whole or not at all."""
        return self._recipe.chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abandon()

    def _whole_parts(self) -> dict[Path, int]:
        """Part file of a killed sink -> the frames in it that count: whole chunks only, because the
        rest comes again; of a live source, which sends nothing again, every frame."""
        unit = 1 if self._info.live else self._recipe.chunk
        found = list(parts_of(self._final).items()) if self._container.restarts else []
        owned: dict[Path, int] = {}
        due = 0
        for number, (first, path) in enumerate(found):
            if first != due:
                break
            last = number + 1 == len(found)
            count = readable_packets(path) if last else found[number + 1][0] - first
            owned[path] = count // unit * unit
            due += owned[path]
        return {path: count for path, count in owned.items() if count}

    def write(self, frame: Frame) -> None:
        """Encodes `frame` unless it was taken before."""
        if not check_order(frame, self.next_index):
            return
        with self._guarded():
            if self._writer is None:
                self._writer = self._start(part_path(self._final, self._first))
            self._writer.write(frame)
        place = self.next_index % self._recipe.chunk
        self._piece_pts = self._piece_pts if place else frame.pts
        self._last_pts = frame.pts
        self.next_index += 1
        if place + 1 == self._recipe.chunk:
            with self._guarded():
                self._note(self._first)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Maps failures; after one the part is closed as it is."""
        try:
            with failures(self._final, self._journal is not None):
                yield
        except SinkError:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.drop()
            raise

    def _note(self, part: int, path: Path | None = None) -> None:
        """What there is of the part file that begins with frame `part` is on the disk."""
        if self._journal is not None:
            size = forced(path or part_path(self._final, part))
            times = (self._piece_pts, self._last_pts)
            self._journal.note(Piece(part, self.next_index, *times, size, boot_id()))

    def _start(self, path: Path) -> PartWriter:
        # Before the part, so that a kill leaves no part that nothing is known of.
        begins = self._journal is not None and not self._journal and self._options.job
        if self._journal is not None and begins:
            self._journal.begin(begins)
        first, sound = self._first == 0, self._options.sound
        beside = self._info, first, sound, self.notices, not self._texts
        try:
            return _begun(path, self._container, self._recipe, *beside)
        except FAILURES:
            if self._journal is not None and begins:
                self._journal.remove()
            raise

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
        """Completes the file: joins the parts, moves the index to the front, renames."""
        if self.next_index == 0:
            raise SinkError(f"{self._final}: there was not one frame to write")
        with self._guarded():
            if self._writer is not None:
                self._writer.finish(cut=cut)
                self._writer = None
                self._parts[part_path(self._final, self._first)] = self.next_index - self._first
            done = next(iter(self._parts))
            if len(self._parts) > 1 or self._first or self._texts:
                done = self._join(cut)
            done = self._with_index_first(done, hurry=cut)
            self._note(0, done)
            os.replace(done, self._final)
            remove_parts(self._final)
        self._parts = {}

    def _join(self, cut: bool) -> Path:
        """All parts as one file, not encoded again, with sound and subtitles copied afresh."""
        path = join_path(self._final)
        with open_media(str(next(iter(self._parts)))) as first:
            container = self._container.unbroken if self._texts else self._container
            out = Output(path, container)
            stream = out.container.add_stream_from_template(video_of(first, str(path)), opaque=True)
            stream.time_base = self._recipe.time_base
            stream.codec_context.framerate = self._recipe.rate
            muxer = Muxer(out, stream, self._recipe, self._sound_of_all(out))
            for chunk in self._chunks():
                muxer.copy(chunk)
            muxer.close(cut=cut)
        return path

    def _with_index_first(self, done: Path, hurry: bool) -> Path:
        """The file to keep: `done` itself where its index has no place of its own, or cannot be
        moved in time."""
        if self._container.form not in ("mp4", "mov"):
            return done
        front = front_path(self._final)
        try:
            index_first(done, front, hurry)
        except (OSError, ValueError) as error:
            front.unlink(missing_ok=True)
            why = getattr(error, "strerror", None) or error
            self.notices.append(
                f"{self._final}: its index stays at its end ({why}); it is whole, but a player "
                "that loads it over a network needs all of it before it begins"
            )
            return done
        return front

    def _sound_of_all(self, out: Output) -> Sound | JoinedTrack:
        if self._info.sounds:
            return JoinedTrack(out.container, self._parts)
        return Sound(out.container, self._info, self.notices, self._options.sound)

    def _chunks(self) -> Iterator[list[Packet[Any]]]:
        """The packets of one chunk at a time, in decoding order."""
        for path, count in self._parts.items():
            with open_media(str(path)) as media:
                packets = islice(video_packets(media, str(path)), count)
                while chunk := list(islice(packets, self._recipe.chunk)):
                    yield chunk

    def abandon(self) -> None:
        """Closes the part, so that it stays as it is."""
        with self._guarded():
            if self._writer is not None:
                self._writer.finish(whole=False)
                self._writer = None
                self._note(self._first)
