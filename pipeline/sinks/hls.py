"""`FOLDER/live.m3u8`: a stream for any web server and player (HLS), kept as a window of the last
seconds; the playlist is replaced whole, and what no player needs any more is deleted."""

import re
from pathlib import Path
from typing import Any

from pipeline.errors import SinkError
from pipeline.frame import StreamInfo
from pipeline.sinks import Sink, SinkOptions, check_folder
from pipeline.sinks._relay import Relay
from pipeline.sinks._sender import CODECS, KEY_S, coding_of, stream_of

SEGMENTS = 6
"""Of KEY_S each in the playlist; as many are kept for players that are behind."""


def prepare(text: str, options: SinkOptions) -> None:
    """Refuses what cannot work; clears an earlier stream."""
    path = Path(text)
    if "%" in text:
        raise SinkError(f"{path}: % has a meaning of its own in HLS; give another name")
    if options.codec not in (None, *CODECS):
        raise SinkError(f"{path}: HLS is h264 here, not {options.codec}")
    coding_of(options)
    check_folder(path.parent)
    segment = re.compile(re.escape(path.stem) + r"-\d{6,}\.ts(\.tmp)?")
    there = [old for old in path.parent.iterdir() if old == path or segment.fullmatch(old.name)]
    if there and not options.overwrite:
        raise SinkError(f"{there[0]} exists already: --overwrite replaces it, or give another name")
    for old in there:
        old.unlink()


def create(text: str, info: StreamInfo, options: SinkOptions) -> Sink:
    """A sink for the playlist `text`."""
    return PlaylistSink(text, info, options)


class PlaylistSink(Relay):
    """Written by _sender.py; one that was started again goes on in the same playlist."""

    module = "pipeline.sinks._sender"
    hears = True

    def __init__(self, text: str, info: StreamInfo, options: SinkOptions) -> None:
        super().__init__(text, info)
        self._path, self._options = Path(text), options

    def _about(self) -> dict[str, Any]:
        flags = "delete_segments+temp_file+independent_segments"
        options = {
            "hls_time": str(KEY_S),
            "hls_list_size": str(SEGMENTS),
            "hls_delete_threshold": str(SEGMENTS),
            "hls_flags": flags + ("+append_list" if self._path.exists() else ""),
            "hls_segment_filename": str(self._path.with_name(f"{self._path.stem}-%06d.ts")),
        }
        return stream_of(str(self._path), "hls", options, self._info, self._options)
