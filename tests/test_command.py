"""The command as users meet it: jobs that work, and one clear line for everything that cannot."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import ROOT, Run
from PIL import Image

WAVE = ROOT / "styles" / "wave.jpg"


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def test_a_video_becomes_a_painting_with_its_sound(paint: Run, tmp_path: Path) -> None:
    out, report = tmp_path / "out.mp4", tmp_path / "report.json"
    done = paint(
        "test:size=160x96,rate=30,frames=45", "--style", WAVE, "-o", out, "--report", report
    )
    assert done.returncode == 0, done.stderr
    with av.open(str(out)) as container:
        assert container.streams.audio[0].duration
        times = [f.pts * f.time_base for f in container.decode(video=0)]
    assert times == [Fraction(i, 30) for i in range(45)]
    told = json.loads(report.read_text())
    assert (told["frames_in"], told["frames_out"], told["dropped"]) == (45, 45, 0)
    assert told["stages"]["Stylizer"]["p95_ms"] >= told["stages"]["Stylizer"]["p50_ms"] > 0
    assert "45 frames in, 45 out" in done.stderr


def test_size_fps_cut_mix_and_colour_work_together(paint: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    done = paint(
        "test:size=192x128,rate=30,frames=90", "--start", "1", "--end", "2", "--fps", "15",
        "--size", "64", "--style", f"{WAVE}:0.7", "--style", f"{ROOT / 'styles/ink.jpg'}:0.3",
        "--preserve-color", "--strength", "0.8", "--no-audio", "-o", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    frames = frames_of(out)
    assert len(frames) == 15
    assert (frames[0].width, frames[0].height) == (96, 64)
    with av.open(str(out)) as container:
        assert not container.streams.audio


def test_pictures_in_pictures_out(paint: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((40, 50, 3), 80 * i, np.uint8)).save(folder / f"p{i}.png")
    out = tmp_path / "out"
    done = paint(folder, "--model", "identity", "-o", f"{out}/")
    assert done.returncode == 0, done.stderr
    painted = sorted(out.iterdir())
    assert [int(np.asarray(Image.open(p)).mean()) for p in painted] == [0, 80, 160]


def test_output_is_named_after_input_and_style(paint: Run, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    assert paint("test:size=64x64,frames=5", "--model", "identity", "-o", clip).returncode == 0
    done = paint(clip, "--style", WAVE)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "clip_wave.mp4").exists()
    again = paint(clip, "--style", WAVE)
    assert again.returncode != 0
    assert "exists" in again.stderr
    assert paint(clip, "--style", WAVE, "--overwrite").returncode == 0


BAD = {
    "missing.mp4": "does not exist",
    "empty.mp4": "empty",
    "words.mp4": "not a video",
    "folder": "no picture",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_inputs_get_one_line(paint: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "words.mp4").write_text("These are only words. " * 500)
    (tmp_path / "folder").mkdir()
    done = paint(tmp_path / name, "--style", WAVE, "-o", tmp_path / "out.mp4")
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1
    assert len(lines) == 1
    assert BAD[name] in lines[0]
    assert name in lines[0]
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--style", "words.txt"], "not a picture"),
        (["--style", "tiny.png"], "too small"),
        (["--style", "gone.jpg"], "does not exist"),
        (["--style", "."], "is a folder"),
        ([], "no style"),
        (["--style", str(WAVE), "--model", "compakt"], "did you mean compact"),
        (["--style", str(WAVE), "--device", "cuda:99"], "not on this machine"),
        (["--style", f"{WAVE}:0"], "all zero"),
        (["--style", str(WAVE), "--start", "3", "--end", "2"], "after --start"),
        (["--style", str(WAVE), "--codec", "h246"], "h264"),
        (["--style", str(WAVE), "-o", "out.xyz"], "xyz"),
    ],
)
def test_bad_options_get_one_line(
    paint: Run, tmp_path: Path, words: list[str], message: str
) -> None:
    (tmp_path / "words.txt").write_text("words")
    Image.new("RGB", (8, 8)).save(tmp_path / "tiny.png")
    given = words if "-o" in words else [*words, "-o", "out.mp4"]
    done = paint("test:size=64x64,frames=5", *given, cwd=tmp_path)
    lines = done.stderr.strip().splitlines()
    assert done.returncode in (1, 2)
    assert lines[-1].startswith("error: ")
    assert message in lines[-1]
    assert not list(tmp_path.glob("out*"))


def test_help_teaches(paint: Run) -> None:
    done = paint("--help")
    assert done.returncode == 0
    for word in ("--style", "--preserve-color", "examples:", "exit codes:"):
        assert word in done.stdout
