"""Cameras at this machine: `webcam:0`, or `webcam:/dev/v4l/by-id/...`, which stays the same.

Linux by Video4Linux2, macOS by AVFoundation, Windows by DirectShow; there also by how the name
begins, `webcam:FaceTime`. The modes are asked for and one is chosen: many cameras give 5 frames a
second of raw video where they give 30 of JPEG. `webcam:0,format=yuyv422` has it all the same,
`webcam:0,rate=60` asks for another rate.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from av.container import InputContainer

from pipeline.cameras import LISTED, SYSTEM, cameras, devices
from pipeline.errors import SourceError, SourceInvalid, SourceMissing
from pipeline.opening import open_camera, open_pipe, video_of
from pipeline.patience import Patience
from pipeline.sources import Source, SourceOptions
from pipeline.sources._camera import FORM, held
from pipeline.sources._feed import FIRST_FRAME_S
from pipeline.sources._live import LiveSource
from pipeline.sources._mode import RATE, mode, unchosen
from pipeline.sources.live import EVERY

SIDE_PX = 720
"""The short side that is wanted where nobody says one."""
BY_ID = Path("/dev/v4l/by-id")


def create(text: str, options: SourceOptions) -> Source:
    """The camera `text`. SourceMissing names those that there are."""
    camera = Camera(text, options.size or SIDE_PX)
    return LiveSource(
        text, options, lambda _: camera.connect(), noisy=True, patience=camera.patience
    )


class Camera:
    """One that is opened again and again, also when it was unplugged meanwhile."""

    def __init__(self, text: str, side: int) -> None:
        self._text, self._side = text, side
        self.patience = Patience(FIRST_FRAME_S)
        self._name = text.partition(":")[2] or "0"
        self._asked = {"format": "", "rate": str(RATE)}
        while wish := re.fullmatch(r"(.+),(\w+)=(\w*)", self._name):
            self._name = wish[1]
            self._asked[wish[2]] = wish[3]
        if self._asked.keys() - {"format", "rate"} or not self._asked["rate"].isdecimal():
            raise SourceInvalid(f"{text}: a camera can be asked for format=mjpeg or rate=60 only")
        which = self._name
        self._path = f"/dev/video{which}" if which.isdigit() else which

    @contextmanager
    def connect(self) -> Iterator[InputContainer]:
        """Open it, each time in a fresh process. SourceMissing: it is not plugged in."""
        about: dict[str, Any] = {"text": self._text, "which": self._which(), "system": SYSTEM}
        about |= {"side": self._side, "asked": self._asked}
        if SYSTEM == "dshow":  # Windows cannot wait for a pipe: there it is this process
            with opened(**about) as container:
                yield container
            return
        with (
            held(about, self.patience) as pipe,
            open_pipe(pipe, self._text, EVERY, FORM) as container,
        ):
            yield container

    def _which(self) -> str:
        if SYSTEM in LISTED:
            return self._name
        path = self._path
        if not Path(path).exists():
            found = ", ".join(camera.path for camera, _ in cameras()) or "none"
            raise SourceMissing(f"there is no camera {path}; found: {found}")
        self._path = lasting(path)
        return path


def lasting(device: str) -> str:
    """The name that a camera keeps when it is plugged in again and gets another number; `device`
    where there is none."""
    at = Path(device).resolve()
    names = sorted(str(name) for name in BY_ID.glob("*") if name.resolve() == at)
    return names[0] if names else device


def opened(text: str, which: str, system: str, side: int, asked: dict[str, str]) -> InputContainer:
    """The camera `which`, in the mode that is chosen. SourceInvalid: it has none that was asked
    for, or gives another form. SourceMissing: it is not there."""
    device = located(which, system) if system in LISTED else which
    found = mode(system, device, side, **asked)
    wanted, rate = asked["format"], asked["rate"]
    try:
        camera = open_camera(text, device, system, found)
    except SourceError:
        # A list may promise what the driver then refuses, by a ten millionth of a second.
        if system not in LISTED or wanted or rate != str(RATE) or "video_size" not in found:
            raise
        camera = open_camera(text, device, system, unchosen(system, rate))
    given = video_of(camera, text).codec_context
    if wanted and wanted not in (given.name, given.pix_fmt):  # AVFoundation takes another silently
        camera.close()
        form = f"{given.name} ({given.pix_fmt})"
        raise SourceInvalid(f"{text}: the camera does not give {wanted} but {form}")
    return camera


def located(which: str, system: str) -> str:
    """The device of the camera with that number, or whose name begins so. SourceMissing names those
    that there are."""
    found = devices(system)
    exact = [camera for camera in found if which in (camera.path, camera.device[len("video=") :])]
    fitting = exact or sorted(
        (camera for camera in found if camera.name.startswith(which)), key=lambda c: len(c.name)
    )
    if not fitting:
        there = ", ".join(f"{camera.path} {camera.name}" for camera in found) or "none"
        raise SourceMissing(f"there is no camera {which}; found: {there}")
    return fitting[0].device
