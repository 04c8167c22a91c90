"""HDR films: SDR unless they are to be kept, and then HDR again."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import Run

from pipeline import hdr
from pipeline.errors import SinkError
from pipeline.frame import ColorTags
from pipeline.sinks import SinkOptions, open_sink, prepare
from pipeline.sources import SourceOptions, open_source
from tests import media

PQ = ColorTags("bt2020nc", "tv", "bt2020", "smpte2084", kept=True)
HLG = replace(PQ, transfer="arib-std-b67")
KINDS = pytest.mark.parametrize("tags", [PQ, HLG], ids=["PQ", "HLG"])


def clip(path: Path, tags: ColorTags) -> Path:
    """An HDR film without loss, whose pictures a painter sees as `media.picture`."""
    return media.video(path, 5, pix_fmt="yuv444p10le", tags=tags, codec="ffv1")


def copy(source_path: Path, out: Path, codec: str | None = None) -> list[str]:
    with open_source(str(source_path), SourceOptions(keep_hdr=True)) as source:
        asked = SinkOptions(codec, hdr=source.info.tags.kept)
        prepare(str(out), asked)
        with open_sink(str(out), source.info, asked) as sink:
            for frame in source.frames():
                sink.write(frame)
            sink.finish()
            return [*source.notices, *sink.notices]


def luma(path: Path) -> np.ndarray:
    """The 10-bit codes of each picture."""
    with av.open(str(path)) as container:
        planes = [(f.planes[0], f.width, f.height) for f in container.decode(video=0)]
        return np.stack([np.frombuffer(p, np.uint16).reshape(h, -1)[:, :w] for p, w, h in planes])


def test_light_is_where_the_standard_has_it() -> None:
    grey = np.full((2, 2, 3), 191, np.uint8)  # three quarters: white paper, 203 nits
    assert hdr.from_painter(grey, "smpte2084", None) / 65535 == pytest.approx(0.58, abs=0.002)
    assert hdr.from_painter(grey, "arib-std-b67", None) / 65535 == pytest.approx(0.75, abs=0.002)
    white = np.full((2, 2, 3), 255, np.uint8)
    assert hdr.from_painter(white, "smpte2084", None) / 65535 == pytest.approx(0.7518, abs=0.001)
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 0] = 255  # of BT.709: 627, 69 and 16 nits in the primaries of BT.2020
    codes = hdr.from_painter(red, "smpte2084", "bt2020")[0, 0] / 65535
    assert codes == pytest.approx([0.7011, 0.4715, 0.3401], abs=0.001)


@KINDS
def test_every_level_comes_back(tags: ColorTags) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    codes = hdr.from_painter(ramp, str(tags.transfer), "bt2020")
    assert (np.diff(codes[0, :, 1].astype(int)) > 0).all()
    assert np.array_equal(hdr.to_painter(codes, str(tags.transfer), "bt2020"), ramp)


@KINDS
@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", None), ("a.webm", None), ("a.mov", "prores"), ("a.mkv", "ffv1")]
)
def test_what_is_kept_has_its_light_and_its_tags(
    tmp_path: Path, tags: ColorTags, name: str, codec: str | None
) -> None:
    film, out = clip(tmp_path / "film.mkv", tags), tmp_path / name
    notices = copy(film, out, codec)
    assert any("files keep it HDR" in notice for notice in notices)
    with av.open(str(out)) as container:
        video = container.streams.video[0]
        assert "10le" in str(video.codec_context.pix_fmt)
        assert video.codec.canonical_name == (codec or {"a.mp4": "hevc", "a.webm": "av1"}[name])
    with open_source(str(out), SourceOptions(keep_hdr=True)) as source:
        assert source.info.tags == tags
        for frame in source.frames():
            seen = media.picture(frame.index).astype(int)
            assert np.abs(frame.pixels - seen).mean() < 4
    assert np.abs(luma(out).astype(int) - luma(film)).mean() < 8  # of 1023


def test_the_painter_sees_what_was_there(tmp_path: Path) -> None:
    with open_source(str(clip(tmp_path / "a.mkv", PQ)), SourceOptions(keep_hdr=True)) as source:
        for frame in source.frames():
            assert frame is not None
            assert np.abs(frame.pixels.astype(int) - media.picture(frame.index)).max() <= 3


def test_odd_sizes_are_kept_too(tmp_path: Path) -> None:
    film = media.video(tmp_path / "a.mkv", 2, (85, 49), pix_fmt="yuv444p10le", tags=PQ)
    notices = copy(film, tmp_path / "out.mp4")
    assert any("85x49 is odd: written as yuv444p10le" in notice for notice in notices)


@pytest.mark.parametrize("codec", ["h264", "vp9", "mpeg4"])
def test_eight_bits_are_refused(tmp_path: Path, codec: str) -> None:
    with pytest.raises(SinkError, match="8 bits, too few for --hdr keep: give --codec hevc, av1"):
        prepare(str(tmp_path / "a.mkv"), SinkOptions(codec=codec, hdr=True))


def test_a_run_maps_and_keeps(paint: Run, tmp_path: Path) -> None:
    film = clip(tmp_path / "film.mkv", HLG)
    mapped, kept = tmp_path / "mapped.mp4", tmp_path / "kept.mp4"
    done = paint(film, "--model", "identity", "-o", mapped)
    assert done.returncode == 0, done.stderr
    assert "its brightness is mapped to SDR" in done.stderr
    done = paint(film, "--model", "identity", "--hdr", "keep", "-o", kept)
    assert done.returncode == 0, done.stderr
    assert "files keep it HDR" in done.stderr
    for path, transfer in ((mapped, "bt709"), (kept, "arib-std-b67")):
        with open_source(str(path)) as source:
            assert source.info.tags.transfer == transfer
    refused = paint("test:live,frames=5", "--model", "identity", "--hdr", "keep", "-o", "null:")
    assert refused.returncode == 2
    assert "--hdr is for films" in refused.stderr
