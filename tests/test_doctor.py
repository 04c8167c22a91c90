"""The doctor: says what is there, and proves it."""

import subprocess
import sys

from conftest import ROOT

from pipeline.cameras import modes


def test_it_names_what_is_here_and_what_works() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "run_stream.py", "doctor"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = {line[:16].strip(): line[16:] for line in done.stdout.splitlines()}
    assert said["engine torch"].startswith("torch ")
    assert {"h264", "vp9", "ffv1", "gif"} <= set(said["encoders"].split())
    assert "engine" in said["fastest"]
    assert "--size" in said["advice"]
    assert done.stderr == ""


def test_modes_of_a_camera_are_read_from_what_ffmpeg_logs() -> None:
    together = ["Raw       :     yuyv422 :           YUYV 4:2:2 : 640x480 320x240"]
    apart = ["Compressed:       mjpeg :          Motion-JPEG :", "1280x720", "640x480"]
    assert modes(together + apart) == ["yuyv422: 640x480 320x240", "mjpeg: 1280x720 640x480"]
    assert modes(["Cannot open video device /dev/video7: No such file or directory"]) == []
