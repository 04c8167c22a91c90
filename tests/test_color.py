"""YUV and RGB: matrix, range, tags, and agreement with FFmpeg."""

import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import ROOT

from pipeline import color
from pipeline.frame import ColorTags
from pipeline.sources import open_source
from tests import media

TAGS = [
    ColorTags("bt709", "tv", "bt709", "bt709"),
    ColorTags("bt709", "pc", "bt709", "bt709"),
    ColorTags("smpte170m", "tv", "smpte170m", "smpte170m"),
    ColorTags("smpte170m", "pc", "smpte170m", "smpte170m"),
    ColorTags("bt2020nc", "tv", "bt2020", "bt709"),
]


@pytest.mark.parametrize("tags", TAGS, ids=lambda t: f"{t.matrix}-{t.range}")
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_round_trip_keeps_smooth_colours(tags: ColorTags, pix_fmt: str) -> None:
    pixels = np.full((64, 64, 3), (200, 60, 30), np.uint8)
    frame = color.to_yuv(pixels, pix_fmt, tags)
    assert color.tags_of(frame) == tags
    assert np.abs(color.to_rgb(frame, tags).astype(int) - pixels).max() <= 2


def test_known_value_of_bt709_red() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    frame = color.to_yuv(red, "yuv444p", TAGS[0])
    assert [bytes(plane)[0] for plane in frame.planes] == [63, 102, 240]


@pytest.mark.parametrize(
    ("height", "matrix"), [(480, "smpte170m"), (576, "smpte170m"), (720, "bt709")]
)
def test_untagged_is_guessed_from_the_lines(height: int, matrix: str) -> None:
    tags = color.tags_of(av.VideoFrame(1280, height, "yuv420p"))
    assert (tags.matrix, tags.range) == (matrix, "tv")
    assert color.tags_of(av.VideoFrame(64, 64, "yuvj420p")).range == "pc"


def test_reading_does_not_darken() -> None:
    pixels = media.picture(3, 320, 192)
    once = color.to_rgb(color.to_yuv(pixels, "yuv420p", TAGS[0]), TAGS[0])
    assert abs((once.astype(float) - pixels).mean()) < 0.1


def test_hdr_and_rgb_are_tagged_as_sdr() -> None:
    hdr = ColorTags("bt2020nc", "tv", "bt2020", "smpte2084")
    assert color.output_tags(hdr).transfer == "bt709"
    assert color.output_tags(ColorTags("rgb", "pc")).matrix == "bt709"


def test_hdr_is_mapped_without_clipping() -> None:
    tags = ColorTags("bt2020nc", "tv", "bt2020", "smpte2084")
    ramp = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    mapped = color.to_rgb(color.to_yuv(ramp, "yuv420p10le", tags), tags)[32, :, 1].astype(int)
    assert (np.diff(mapped) >= 0).all()
    assert len(np.unique(mapped)) > 40
    assert mapped[0] < 10


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("tags", TAGS[:4], ids=lambda t: f"{t.matrix}-{t.range}")
@pytest.mark.parametrize(
    ("size", "pix_fmt"),
    [((160, 96), "yuv420p"), ((853, 481), "yuv444p"), ((160, 96), "yuv420p10le")],
)
def test_same_as_ffmpeg(
    tmp_path: Path, tags: ColorTags, size: tuple[int, int], pix_fmt: str
) -> None:
    clip = media.video(tmp_path / "a.mkv", 2, size, pix_fmt=pix_fmt, tags=tags, codec="ffv1")
    flags = "bicubic+accurate_rnd+full_chroma_int"
    command = ["ffmpeg", "-v", "error", "-i", clip, "-sws_flags", flags, "-f", "rawvideo"]
    raw = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    theirs = np.frombuffer(raw.stdout, np.uint8).reshape(2, size[1], size[0], 3)
    with open_source(str(clip)) as source:
        ours = np.stack([frame.pixels for frame in source.frames()])
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_threads_may_convert_at_the_same_time() -> None:
    # In a process of its own: it would be killed, not fail.
    script = """
import numpy as np
from concurrent.futures import ThreadPoolExecutor
from pipeline import color
tags = color.ColorTags("bt709", "tv")
pixels = [np.full((h, 320, 3), 99, np.uint8) for h in (240, 480, 160, 360)]
def convert(k):
    for _ in range(150):
        picture = color.to_yuv(pixels[k], "yuv420p", tags)
        assert picture.height == len(pixels[k])
with ThreadPoolExecutor(4) as pool:
    list(pool.map(convert, range(4)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
