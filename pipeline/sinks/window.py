"""`window:` a window on this machine's screen; Escape or Q closes it and ends the stream."""

import os
import sys
from typing import Any

import cv2

from pipeline.errors import SinkError
from pipeline.frame import Frame, StreamInfo
from pipeline.sinks import Sink, SinkOptions
from pipeline.sinks._relay import Relay


def prepare(text: str, options: SinkOptions) -> None:
    """Refuses where no window can be opened."""
    if any("GUI:" in line and "NONE" in line for line in cv2.getBuildInformation().splitlines()):
        raise SinkError(
            f"{text} this OpenCV was built without windows: pip uninstall opencv-python-headless, "
            "then pip install opencv-python"
        )
    on_x = sys.platform.startswith("linux")
    if on_x and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise SinkError(f"{text} there is no screen here (DISPLAY is not set); web: shows a page")


def create(text: str, info: StreamInfo, options: SinkOptions) -> Sink:
    """A sink that shows frames."""
    return WindowSink(text, info)


class WindowSink(Relay):
    """Shown by _window.py: a window that hangs holds up nothing."""

    module = "pipeline.sinks._window"
    _closed = False

    def _about(self) -> dict[str, Any]:
        return {"width": self._info.width, "height": self._info.height}

    def _heard(self, line: str) -> None:
        self._closed = self._closed or line == "closed"

    def write(self, frame: Frame) -> None:
        """Shows `frame`. SinkError once the window was closed."""
        if self._closed:
            raise SinkError(f"{self._name} was closed")
        super().write(frame)
