"""The index of MP4 and MOV files comes first, and nothing else of them changes."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from test_sinks import copy, packets

from pipeline.frame import ColorTags
from pipeline.sinks import _front
from tests import media

TAGS = ColorTags("smpte170m", "pc", "smpte170m", "smpte170m")

STYLES = b"""[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour
Style: Default,Arial,16,&Hffffff
[Events]
Format: Layer, Start, End, Style, Text
"""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Sound that starts late, chapters, subtitles, a title, colours of its own."""
    plain = media.video(tmp_path / "plain.mp4", 75, sound_at_s=0.5, tags=TAGS)
    whole = tmp_path / "whole.mp4"
    with av.open(str(plain)) as first, av.open(str(whole), "w") as out:
        out.metadata["title"] = "A day"
        base = Fraction(1, 1000)
        chapter = {"metadata": {"title": "dawn"}, "time_base": base}
        out.set_chapters(
            [{**chapter, "id": n, "start": n * 1000, "end": n * 1000 + 1000} for n in range(2)]
        )
        streams = [out.add_stream_from_template(s, opaque=True) for s in first.streams]
        words = out.add_stream("mov_text")
        words.time_base, words.codec_context.subtitle_header = base, STYLES
        said = b"a word"
        line = av.Packet(len(said).to_bytes(2) + said)
        line.pts = line.dts = line.duration = 900
        line.time_base, line.stream = base, words
        for packet in first.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
        out.mux(line)
    return whole


def boxes(path: Path) -> list[str]:
    """The kinds of the outermost boxes, in order."""
    data, found = path.read_bytes(), []
    while data:
        found.append(data[4:8].decode())
        data = data[int.from_bytes(data[:4]) :]
    return found


def facts(path: Path) -> object:
    """All that a player is told of it besides its packets."""
    with av.open(str(path)) as container:
        streams = [
            (s.type, s.start_time, s.duration, s.time_base, s.frames) for s in container.streams
        ]
        video = container.streams.video[0]
        tags = video.colorspace, video.color_range, video.color_primaries, video.color_trc
        return streams, tags, container.chapters(), container.metadata, container.duration


@pytest.mark.parametrize("suffix", ["mp4", "m4v", "mov"])
@pytest.mark.parametrize("beyond", [1 << 32, 1], ids=["small", "large"])
def test_the_index_comes_first_and_all_else_stays(
    clip: Path, tmp_path: Path, suffix: str, beyond: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_written, out = tmp_path / f"written.{suffix}", tmp_path / f"out.{suffix}"
    monkeypatch.setattr(_front, "_4_GIB", beyond)
    assert copy(str(clip), out) == []
    monkeypatch.setattr(_front, "LONGEST_S", -1)
    (said,) = copy(str(clip), as_written)
    assert "its index stays at its end (to copy it takes more than -1 s)" in said
    assert boxes(as_written)[-1] == "moov"
    assert boxes(out)[:2] == ["ftyp", "moov"]
    assert (b"co64" in out.read_bytes()) == (beyond == 1)
    assert packets(out) == packets(as_written)
    assert facts(out) == facts(as_written)
    streams, _, chapters, metadata, _ = facts(out)
    assert [kind for kind, *_ in streams] == ["video", "audio", "subtitle", "data"]
    assert len(chapters) == 2
    assert metadata["title"] == "A day"
