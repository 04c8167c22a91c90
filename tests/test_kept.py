"""What a film has beside its pictures stays, and stays where it belongs when a part is painted."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from media import video
from test_sinks import copy

MS = Fraction(1, 1000)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Three seconds with sound, a title, chapters, and a video track with a name."""
    plain = video(tmp_path / "plain.mp4", 75, sound_at_s=0.0)
    path = tmp_path / "film.mkv"
    with av.open(str(plain)) as source, av.open(str(path), "w") as out:
        out.metadata.update({"title": "A day", "creation_time": "2020-01-02T03:04:05.000000Z"})
        chapter = {"metadata": {"title": "dawn"}, "time_base": MS}
        out.set_chapters([{**chapter, "id": 1, "start": 0, "end": 2000}])
        streams = [out.add_stream_from_template(s, opaque=True) for s in source.streams]
        streams[0].metadata.update({"language": "jpn", "title": "Main"})
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    return path


@pytest.mark.parametrize("sound", [True, False])
def test_names_and_chapters_stay_with_and_without_sound(
    film: Path, tmp_path: Path, sound: bool
) -> None:
    copy(str(film), tmp_path / "out.mkv", sound=sound)
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert len(out.streams.audio) == sound
        assert out.metadata["title"] == "A day"
        assert out.metadata["creation_time"] == "2020-01-02T03:04:05.000000Z"
        assert [chapter["metadata"]["title"] for chapter in out.chapters()] == ["dawn"]
        named = out.streams.video[0].metadata
        assert (named["language"], named["title"]) == ("jpn", "Main")
