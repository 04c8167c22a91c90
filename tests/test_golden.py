"""Golden frames: what comes out of a dozen kinds of video is what came out before, bit by bit."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Run

from pipeline import color
from pipeline.sources import file, open_source
from tests import golden

STORED = json.loads(golden.STORED.read_text())


@pytest.mark.parametrize("name", golden.CLIPS)
def test_frames_are_what_they_were(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one thread and with eight."""
    path = golden.make(name, tmp_path)
    for threads in (1, 8):
        monkeypatch.setattr(file, "THREADS", threads)
        monkeypatch.setattr(color, "_THREADS", threads)
        color._reader.cache_clear()
        assert list(golden.seen(path)) == STORED[name], threads
    color._reader.cache_clear()


def test_stored_frames_are_of_all_clips_and_differ() -> None:
    assert list(STORED) == list(golden.CLIPS)
    hashes = [line.split()[-1] for lines in STORED.values() for line in lines]
    # The same pictures, coded in another way, or with sound that comes late.
    assert len(set(hashes)) > 60
    assert STORED["no_frame"] == ["SourceInvalid"]
    assert [line.split()[1] for line in STORED["b_frames"]] == [
        line.split()[1] for line in STORED["late_sound"]
    ]


def test_colours_are_those_of_the_standard(tmp_path: Path) -> None:
    """By own arithmetic, of BT.709 in 4:4:4, within one level."""
    path = golden.make("odd", tmp_path)
    with open_source(str(path)) as source:
        for read in source.frames():
            assert read is not None
            made = golden.planes(read.index, "yuv444p", golden.CLIPS["odd"].size)
            y, u, v = (plane.astype(float) for plane in made)
            y, u, v = (y - 16) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224
            red, blue = y + 1.5748 * v, y + 1.8556 * u
            green = y - (0.2126 * 1.5748 * v + 0.0722 * 1.8556 * u) / 0.7152
            wanted = np.stack([red, green, blue], 2).clip(0, 255)
            assert np.abs(read.pixels - wanted).max() < 1.6


@pytest.mark.parametrize(("name", "stylizers"), [("b_frames", 3), ("variable_rate", 1)])
def test_the_whole_command_gives_the_same_frames(
    name: str, stylizers: int, paint: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out.mkv"
    words = ("--model", "identity", "--codec", "ffv1", "--stylizers", stylizers, "-o", out)
    done = paint(golden.make(name, tmp_path), *words)
    assert done.returncode == 0, done.stderr
    assert list(golden.seen(out)) == STORED[name]


@pytest.mark.slow
@pytest.mark.parametrize("stylizers", [1, 2, 5])
@pytest.mark.parametrize("name", [name for name in golden.CLIPS if name != "no_frame"])
def test_any_number_of_stylizers_gives_the_same_pictures(
    name: str, stylizers: int, paint: Run, tmp_path: Path
) -> None:
    out = f"{tmp_path}/out/"
    words = ("--model", "identity", "--stylizers", stylizers, "-o", out)
    done = paint(golden.make(name, tmp_path), *words)
    assert done.returncode == 0, done.stderr
    made, stored = list(golden.seen(Path(out))), STORED[name]
    assert [line.split()[1] for line in made] == [line.split()[1] for line in stored]
