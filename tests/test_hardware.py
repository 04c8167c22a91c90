"""Encoders in hardware: each is tried, and what does not work here is passed over, in words."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from conftest import Run

from pipeline import hardware
from pipeline.errors import SinkError
from pipeline.frame import StreamInfo
from pipeline.pool import FramePool
from pipeline.sinks import SinkOptions, prepare
from pipeline.sinks._codecs import CODINGS, HARDWARE, settled
from pipeline.sinks._proof import MEANINGS, refusal
from pipeline.stages import Writer
from tests import media

KINDS = "nvenc", "qsv", "amf", "videotoolbox"


def info(width: int, height: int, live: bool = False) -> StreamInfo:
    return StreamInfo(width, height, Fraction(1, 25), Fraction(25), media.BT709, live=live)


def test_a_run_goes_on_in_software_and_says_why(paint: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    words = "test:size=160x96,rate=20,frames=20", "--model", "identity", "--codec"
    done = paint(*words, "h264-hw", "-o", out)
    assert done.returncode == 0, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if "encoded " in line and "h264_" in line]
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec.canonical_name == "h264"
        assert len(list(container.decode(video=0))) == 20
    if "in software" in said:
        assert "by libx264" in said
        assert all(f"not by h264_{kind}: " in said for kind in KINDS)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("name", ["h264", "hevc", "av1"])
def test_the_ladder_ends_at_software(name: str, live: bool) -> None:
    codec, (said,) = settled(f"{name}-hw", info(320, 180, live))
    assert codec in (name, *(f"{name}_{kind}" for kind in KINDS))
    passed = [kind for kind in KINDS if f"not by {name}_{kind}: " in said]
    assert passed == list(KINDS[: len(passed)])
    assert f"by {CODINGS[name].encoder if codec == name else codec}" in said


def test_odd_sizes_are_for_software() -> None:
    codec, (said,) = settled("h264-hw", info(853, 481))
    assert codec == "h264"
    assert said.count("it takes no odd sizes") == len(KINDS)
    with pytest.raises(SinkError, match=r"h264_qsv cannot be used here \(it takes no odd sizes"):
        settled("h264_qsv", info(853, 481))


@pytest.mark.parametrize("codec", [None, "h264", "vp9-hw", "ffv1"])
def test_what_is_named_is_left_as_it_is(codec: str | None) -> None:
    assert settled(codec, info(64, 48)) == (codec, [])


@pytest.mark.parametrize("codec", [None, "h264", "h264_nvenc", "av1_qsv"])
def test_a_writer_with_an_encoder_in_hardware_has_no_limit_of_addresses(
    codec: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[dict[str, Any]] = []
    monkeypatch.setattr("pipeline.stages.confine", lambda **given: limits.append(given))
    pool = FramePool.create(1, 48, 64)
    Writer(pool.handle, ["null:"], info(64, 48), SinkOptions(codec), 0, False).open()
    pool.close()
    assert [given["bounded"] for given in limits] == [codec not in HARDWARE]


@pytest.mark.parametrize("encoder", ["h264_nvenc", "hevc_qsv", "h264_amf"])
def test_an_encoder_that_is_named_and_fails_is_refused_in_words(
    tmp_path: Path, encoder: str
) -> None:
    if not (why := refusal(HARDWARE[encoder], 256, 256)):
        pytest.skip("this machine has it")
    assert why.startswith(tuple(MEANINGS.values()))
    with pytest.raises(SinkError, match=f"{encoder} cannot be used here \\({re.escape(why)}"):
        prepare(str(tmp_path / "out.mkv"), SinkOptions(codec=encoder))


@pytest.mark.parametrize(
    ("log", "meaning"),
    [
        (
            [
                "OpenEncodeSessionEx failed: out of memory (10): (no details)",
                "No capable devices found",
            ],
            "all encoding sessions of the GPU are taken",
        ),
        (
            ["OpenEncodeSessionEx failed: incompatible client key (21): (no details)"],
            "all encoding sessions of the GPU are taken",
        ),
        (
            [
                "OpenEncodeSessionEx failed: unsupported device (2): (no details)",
                "No capable devices found",
            ],
            "this GPU has no encoder for it",
        ),
        (
            ["Driver does not support the required nvenc API version. Required: 13.0 Found: 12.0"],
            "the driver is too old",
        ),
        (["Cannot load libnvidia-encode.so.1"], "no driver for it"),
        (["10 bit encode not supported"], "10 bit encode not supported"),
        ([], "Invalid argument"),
    ],
)
def test_what_ffmpeg_says_is_told_in_words(log: list[str], meaning: str) -> None:
    assert meaning in hardware.meaning(log, "Invalid argument", MEANINGS)
