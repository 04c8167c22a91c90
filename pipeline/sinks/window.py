"""`window:` a window on this machine's screen. Escape or Q closes it, and ends the stream where
nothing else takes it."""

import os
import sys
from dataclasses import replace
from typing import Any

import cv2

from pipeline.errors import SinkError
from pipeline.frame import Frame, StreamInfo
from pipeline.outlet import CLOSED, Outlet
from pipeline.sinks import Sink, SinkOptions, check_order
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
        width, height = self._info.width, self._info.height
        return {"width": width, "height": height, "shown": round(width * self._info.aspect)}

    def _heard(self, line: str) -> None:
        self._closed = self._closed or line == "closed"

    @property
    def outlets(self) -> list[Outlet]:
        """Also whether somebody closed it, which is no failure."""
        (outlet,) = super().outlets
        return [replace(outlet, up=False, ended=CLOSED) if self._closed else outlet]

    @property
    def notices(self) -> list[str]:
        """Also that it was closed."""
        return [*super().notices, *([f"{self._name} was closed"] if self._closed else [])]

    def write(self, frame: Frame) -> None:
        """Shows `frame`, unless the window was closed."""
        if not self._closed:
            super().write(frame)
        elif check_order(frame, self.next_index):
            self.next_index += 1
