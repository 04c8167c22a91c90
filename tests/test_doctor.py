"""The doctor says what is there and proves it; cameras and their modes."""

import re
import subprocess
import sys

import pytest
from conftest import ROOT

from pipeline import doctor
from pipeline.cameras import Mode, listed, told
from pipeline.errors import SourceInvalid, SourceMissing
from pipeline.frame import Sample
from pipeline.sources import open_source
from pipeline.sources._mode import chosen
from pipeline.sources._trial import decoded, difference


def test_it_names_what_is_here_and_what_works() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "run_stream.py", "doctor"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = {line[:16].strip(): line[16:] for line in done.stdout.splitlines()}
    assert said["engine torch"].startswith("torch ")
    assert re.fullmatch(r"onnxruntime(-gpu)? \S+ for .*\bCPU\b.*", said["engine onnx"])
    if "cuda:0" not in done.stdout:
        assert said["engine cuda"] == said["engine tensorrt"] == "not here: torch finds no CUDA GPU"
    assert {"h264", "vp9", "ffv1", "gif"} <= set(said["encoders"].split())
    pattern = r"software; in hardware here: [a-z0-9 ]+ \(FFmpeg knows [a-z0-9 ]+\)"
    assert re.fullmatch(pattern, said["decoders"])
    assert "engine" in said["fastest"]
    assert "--size" in said["advice"]
    assert done.stderr == ""


def one_of_two(film: Sample, kind: str) -> str:
    """As `refusal` where both devices can be made, and one of them decodes."""
    pictures = decoded(film) or []
    given = pictures if kind == "vaapi" else []
    return difference(given, pictures)


def test_a_device_is_named_once_it_has_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "known", lambda: ["cuda", "vaapi"])
    monkeypatch.setattr("pipeline.sources._trial.refusal", one_of_two)
    assert doctor.decoders() == "software; in hardware here: vaapi (FFmpeg knows cuda vaapi)"
    pictures = decoded(doctor.film()) or []
    assert len(pictures) == doctor.FRAMES
    assert difference(pictures[:1], pictures)


def test_modes_of_a_camera_are_read_from_what_ffmpeg_logs() -> None:
    together = ["Raw       :     yuyv422 :           YUYV 4:2:2 : 640x480 320x240"]
    apart = ["Compressed:       mjpeg :          Motion-JPEG :", "1280x720", "640x480"]
    said = listed(told("v4l2", together + apart))
    assert said == "yuyv422: 640x480 320x240; mjpeg: 1280x720 640x480"
    assert told("v4l2", ["Cannot open video device /dev/video7: No such file or directory"]) == []
    steps = ["Raw       :     yuyv422 :           YUYV 4:2:2 :", " {32-2592, 2}x{32-1944, 2}", "\n"]
    assert listed(told("v4l2", steps)) == "yuyv422: any size"
    assert chosen(told("v4l2", steps), 720) is None


CAMERA = told(
    "v4l2",
    [
        "Raw       :     yuyv422 :           YUYV 4:2:2 : 640x480 1280x720 1920x1080 320x180",
        "Compressed:       mjpeg :          Motion-JPEG : 640x480 1280x720 1920x1080 320x180",
    ],
)


@pytest.mark.parametrize(
    ("able", "side", "form", "size"),
    [
        (CAMERA, 720, "mjpeg", "1280x720"),
        (CAMERA, 1080, "mjpeg", "1920x1080"),
        (CAMERA, 300, "mjpeg", "640x480"),
        (CAMERA, 4000, "mjpeg", "1920x1080"),
        (CAMERA[:4], 720, "yuyv422", "1280x720"),
        ([Mode("mjpeg", 640, 480), Mode("yuyv422", 1280, 720)], 720, "yuyv422", "1280x720"),
        ([Mode("bayer", 800, 600)], 720, "bayer", "800x600"),
    ],
)
def test_the_mode_that_is_fast_and_large_enough_is_taken(
    able: list[Mode], side: int, form: str, size: str
) -> None:
    mode = chosen(able, side)
    assert mode
    assert (mode.form, mode.size) == (form, size)


def test_a_form_that_is_wanted_is_taken_or_refused() -> None:
    mode = chosen(CAMERA, 720, "yuyv422")
    assert mode
    assert mode.form == "yuyv422"
    with pytest.raises(SourceInvalid, match=r"no mode of nv12; it has yuyv422, mjpeg$"):
        chosen(CAMERA, 720, "nv12")


@pytest.mark.parametrize("wish", ["size=3", "rate=fast", "rate=", "rate=30,mode=2"])
def test_a_camera_cannot_be_asked_for_everything(wish: str) -> None:
    with pytest.raises(SourceInvalid, match="can be asked for format=mjpeg or rate=60 only"):
        open_source(f"webcam:0,{wish}")


def test_a_camera_that_is_not_there() -> None:
    with pytest.raises(SourceMissing, match="no camera /dev/video97; found: "):
        open_source("webcam:97,format=mjpeg,rate=60")
    with pytest.raises(SourceMissing, match="no camera /dev/video97; found: "):
        open_source("webcam:97")
