"""Outputs at this machine: a window, and a virtual camera."""

import os
import sys
import types

import cv2
import pytest

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
