"""What a film has beside its pictures stays, and stays where it belongs when a part is painted."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition
from media import video
from test_front import STYLES
from test_sinks import copy, killed

from pipeline.sinks import SinkOptions, open_sink
from pipeline.sources import SourceOptions, open_source

MS = Fraction(1, 1000)
FONT = bytes(range(256))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Three seconds with sound, subtitles, a title, chapters, and a video track with a name."""
    plain = video(tmp_path / "plain.mp4", 75, sound_at_s=0.0)
    path = tmp_path / "film.mkv"
    with av.open(str(plain)) as source, av.open(str(path), "w") as out:
        out.metadata.update({"title": "A day", "creation_time": "2020-01-02T03:04:05.000000Z"})
        chapter = {"metadata": {"title": "dawn"}, "time_base": MS}
        out.set_chapters([{**chapter, "id": 1, "start": 0, "end": 2000}])
        streams = [out.add_stream_from_template(s, opaque=True) for s in source.streams]
        streams[0].metadata.update({"language": "jpn", "title": "Main"})
        cues = []
        out.add_attachment("a.ttf", "application/x-truetype-font", FONT)
        words = out.add_stream("subrip")
        words.time_base, words.codec_context.subtitle_header = MS, STYLES
        for n in range(2):  # from 0.5 s to 1.5 s, and from 1.6 s to 2.6 s
            cue = av.Packet(f"cue {n}".encode())
            cue.pts = cue.dts = 500 + 1100 * n
            cue.duration, cue.time_base, cue.stream = 1000, MS, words
            cues.append(cue)
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
        out.mux(cues)
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


def test_a_subtitle_under_way_at_the_start_of_a_part_is_shown(film: Path, tmp_path: Path) -> None:
    """And the last one goes with the picture."""
    part = {"start_s": 1.0, "end_s": 2.0}
    with (
        open_source(str(film), SourceOptions(**part)) as source,
        open_sink(str(tmp_path / "out.mkv"), source.info, SinkOptions()) as sink,
    ):
        for frame in source.frames():
            sink.write(frame)
        sink.finish()
    with av.open(str(tmp_path / "out.mkv")) as out:
        cues = [p for p in out.demux(subtitles=0) if p.size]
        early = 21  # ms by which an encoder of AAC begins before 0, which an .mkv begins at
        assert [(bytes(p), p.pts, p.duration) for p in cues] == [
            (b"cue 0", 0, 500 + early),
            (b"cue 1", 600 + early, 400 - early),
        ]


def told(path: Path) -> list[tuple[str, float, float]]:
    """Words, begin and duration in s of each cue."""
    with av.open(str(path)) as media:
        (words,) = media.streams.subtitles
        found = []
        for packet in media.demux(words):
            cue = words.decode2(packet) if packet.size > 2 else None  # else a pause
            if cue:
                base = packet.time_base
                said = cue[0].dialogue.decode()
                found.append((said, float(packet.pts * base), float(packet.duration * base)))
    return found


@pytest.mark.parametrize("suffix", ["mp4", "mov", "webm"])
def test_subtitles_that_are_text_are_converted(film: Path, tmp_path: Path, suffix: str) -> None:
    """And go from there into any other file, also back."""
    early = 0.021  # by which an encoder of AAC begins before 0, which an .mkv begins at
    said = [("cue 0", 0.5 + early, 1.0), ("cue 1", 1.6 + early, 1.0)]
    out = tmp_path / f"out.{suffix}"
    notices = copy(str(film), out)
    assert any(text.startswith("subtitles are written as ") for text in notices)
    assert told(out) == [pytest.approx(cue, abs=1e-3) for cue in said]
    for further in ("mkv", "mp4", "mov"):
        copy(str(out), tmp_path / f"again.{further}", overwrite=True)
        assert told(tmp_path / f"again.{further}") == [pytest.approx(c, abs=0.03) for c in said]


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_subtitles_that_overlap_or_leave_gaps_stop_no_film(tmp_path: Path, suffix: str) -> None:
    """FFmpeg ends the process where it writes such cues in fragments."""
    plain = video(tmp_path / "plain.mp4", 150)
    with av.open(str(plain)) as source, av.open(str(tmp_path / "film.mkv"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        words = out.add_stream("subrip")
        words.time_base, words.codec_context.subtitle_header = MS, STYLES
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                out.mux(packet)
        for begin, duration in [(480, 2), (961, 1200), (2163, 2), (2189, 900), (2910, 240)]:
            cue = av.Packet(b"cue")
            cue.pts = cue.dts = begin
            cue.duration, cue.time_base, cue.stream = duration, MS, words
            out.mux(cue)
    killed(str(tmp_path / "film.mkv"), tmp_path / f"out.{suffix}", 60)
    copy(str(tmp_path / "film.mkv"), tmp_path / f"out.{suffix}")
    cues = [(0.48, 0.002), (0.961, 1.2), (2.163, 0.002), (2.189, 0.721), (2.91, 0.24)]
    assert told(tmp_path / f"out.{suffix}") == [
        ("cue", pytest.approx(begin), pytest.approx(duration)) for begin, duration in cues
    ]


@pytest.mark.parametrize(
    ("cover", "code", "said"),
    [
        (True, False, ["cover pictures of the film are left out"]),
        (False, True, ["time codes of the film are left out"]),
        (False, False, []),
    ],
)
def test_what_does_not_stay_is_told(
    tmp_path: Path, cover: bool, code: bool, said: list[str]
) -> None:
    plain = video(tmp_path / "plain.mp4")
    with av.open(str(plain)) as source, av.open(str(tmp_path / "film.mp4"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        if code:
            stream.metadata["timecode"] = "01:00:00:00"
        if cover:
            front = out.add_stream("mjpeg", rate=1)
            front.width, front.height, front.pix_fmt = 64, 64, "yuvj420p"
            front.disposition = Disposition.attached_pic
            out.mux([*front.encode(av.VideoFrame(64, 64, "yuvj420p")), *front.encode(None)])
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    assert copy(str(tmp_path / "film.mp4"), tmp_path / "out.mkv") == said


def test_fonts_go_with_subtitles(film: Path, tmp_path: Path) -> None:
    copy(str(film), tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as out:
        (font,) = out.streams.attachments
        assert (font.name, font.mimetype, font.data) == (
            "a.ttf",
            "application/x-truetype-font",
            FONT,
        )


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_the_sound_of_broadcasts_goes_into_films(tmp_path: Path, suffix: str) -> None:
    """Each of its packets has a header there, which an .mp4 has no place for."""
    film = video(tmp_path / "film.ts", 75, sound_at_s=0.0)
    out = tmp_path / f"out.{suffix}"
    assert copy(str(film), out) == []
    with av.open(str(film)) as first, av.open(str(out)) as second:
        kept = [[p for p in media.demux(audio=0) if p.size] for media in (first, second)]
        heard = [bytes(p)[7:] for p in kept[0]]  # the header has 7 bytes
        assert [bytes(p) for p in kept[1]] == heard
    assert len(heard) == 94 + 1
    with av.open(str(out)) as written:
        assert sum(frame.samples for frame in written.decode(audio=0)) >= 94 * 1024


@pytest.mark.parametrize("codec", ["flac", "libopus"])
def test_sound_that_a_mov_does_not_take_is_encoded_again(tmp_path: Path, codec: str) -> None:
    plain = video(tmp_path / "plain.mp4", 75, sound_at_s=0.0)
    film = tmp_path / "film.mkv"
    with av.open(str(plain)) as source, av.open(str(film), "w") as out:
        pictures = out.add_stream_from_template(source.streams.video[0])
        sound = out.add_stream(codec, rate=48_000)
        for packet in source.demux():
            if packet.stream.type == "audio":
                out.mux([p for frame in packet.decode() for p in sound.encode(frame)])
            elif packet.size:
                packet.stream = pictures
                out.mux(packet)
        out.mux(sound.encode(None))
    (said,) = copy(str(film), tmp_path / "out.mov")
    assert said.startswith("sound is encoded again")
    with av.open(str(tmp_path / "out.mov")) as written:
        assert written.streams.audio[0].codec_context.name == "aac"
        heard = sum(frame.samples for frame in written.decode(audio=0))
    assert heard >= 1.9 * 48_000
