"""Outputs at this machine: a window, and a virtual camera."""

import os
import sys
import types
from pathlib import Path

import av
import cv2
import pytest
from conftest import Run

from pipeline.errors import SinkError
from pipeline.sinks import prepare

HEADLESS = any("GUI:" in x and "NONE" in x for x in cv2.getBuildInformation().splitlines())


def test_a_window_that_cannot_be_is_one_clear_line() -> None:
    if not HEADLESS and os.environ.get("DISPLAY"):
        pytest.skip("a window could be opened here")
    with pytest.raises(SinkError, match=r"^window: (this OpenCV was built without|there is no)"):
        prepare("window:")


def test_no_screen_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:  QT5")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if sys.platform.startswith("linux"):
        with pytest.raises(SinkError, match="DISPLAY is not set"):
            prepare("window:")


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An OpenCV with windows, in all processes of a run; a user closes one at its fifth picture."""
    (tmp_path / "sitecustomize.py").write_text(
        "import cv2\n"
        "keys = iter([-1] * 4)\n"
        "cv2.getBuildInformation = lambda: '  GUI:  QT5'\n"
        "cv2.namedWindow = cv2.resizeWindow = cv2.imshow = lambda *_: None\n"
        "cv2.destroyAllWindows = lambda: None\n"
        "cv2.waitKey = lambda _: next(keys, ord('q'))\n"
        "cv2.getWindowProperty = lambda *_: 1.0\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":0")


@pytest.mark.usefixtures("screen")
def test_closing_the_only_window_is_an_end_like_any_other(paint: Run) -> None:
    done = paint("test:live,size=64x48,rate=25", "--model", "identity", "-o", "window:")
    assert done.returncode == 0, done.stderr
    assert "note: window: was closed" in done.stderr
    assert " frames in, " in done.stderr
    assert done.stderr.splitlines()[-1] == "written: window:"


@pytest.mark.usefixtures("screen")
def test_beside_a_window_that_is_closed_others_go_on(paint: Run, tmp_path: Path) -> None:
    film = tmp_path / "a.mkv"
    words = ("test:size=64x48,rate=25,frames=60", "--model", "identity")
    done = paint(*words, "-o", "window:", "-o", film)
    assert done.returncode == 0, done.stderr
    assert "note: window: was closed" in done.stderr
    assert done.stderr.splitlines()[-1] == f"written: window:, {film}"
    with av.open(str(film)) as media:
        assert len(list(media.decode(video=0))) == 60


def test_no_virtual_camera_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    monkeypatch.setattr("pipeline.sinks.camera.find_spec", lambda _: None)
    with pytest.raises(SinkError, match="pip install pyvirtualcam"):
        prepare("camera:")

    def none(*_: object, **__: object) -> None:
        raise RuntimeError("'v4l2loopback' backend: No device found\nmore")

    monkeypatch.setattr("pipeline.sinks.camera.find_spec", lambda _: object())
    found = types.ModuleType("pyvirtualcam")
    found.Camera = none  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyvirtualcam", found)
    with pytest.raises(SinkError, match=r"no virtual camera to write to: .*No device found$"):
        prepare("camera:/dev/video9")
