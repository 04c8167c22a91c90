"""Cameras of this machine and the modes that they say they have, which FFmpeg tells only through
its log: Linux by Video4Linux2, macOS by AVFoundation, Windows by DirectShow."""

import math
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.opening import camera_log

DEVICES = Path("/sys/class/video4linux")
SYSTEM = {"darwin": "avfoundation", "win32": "dshow"}.get(sys.platform, "v4l2")
LISTED = {"avfoundation": "", "dshow": "dummy"}
"""Systems that number their cameras and name them in a list, and what to open for that list."""
ASKED = {
    "v4l2": {"list_formats": "all"},
    "avfoundation": {"video_size": "1x1"},  # which no camera has: it says what it has instead
    "dshow": {"list_options": "true"},
}


@dataclass(frozen=True, slots=True)
class Mode:
    """A form and a size; width 0: any. `rates`: least and most frames a second, None where the
    system does not tell; so is the form "" (AVFoundation converts to any)."""

    form: str
    width: int
    height: int
    rates: tuple[float, float] | None = None

    @property
    def most(self) -> float:
        """Frames a second."""
        return self.rates[1] if self.rates else math.inf

    @property
    def size(self) -> str:
        """As FFmpeg writes it."""
        return f"{self.width}x{self.height}" if self.width else "any size"

    def __str__(self) -> str:
        return f"{self.size}@{self.most:g}" if self.rates else self.size


@dataclass(frozen=True, slots=True)
class Camera:
    """What the user calls a camera (`webcam:PATH`), what it calls itself, and how it is opened."""

    path: str
    name: str
    device: str


def cameras(system: str = SYSTEM) -> list[tuple[Camera, list[Mode]]]:
    """All that can be opened; on Linux devices without a mode (such as metadata) are left out."""
    found = [(camera, modes(system, camera.device)) for camera in devices(system)]
    return [(camera, able) for camera, able in found if able or system in LISTED]


def devices(system: str) -> list[Camera]:
    """Those that there are, none of which is opened for that."""
    if system in LISTED:
        log = " ".join(camera_log(system, LISTED[system], {"list_devices": "true"}))
        names = _named_by_avfoundation if system == "avfoundation" else _named_by_dshow
        return [Camera(str(i), name, at) for i, (name, at) in enumerate(names(log))]
    return [
        Camera(f"/dev/{entry.name}", (entry / "name").read_text().strip(), f"/dev/{entry.name}")
        for entry in sorted(DEVICES.glob("video*"))
    ]


def modes(system: str, device: str) -> list[Mode]:
    """What the camera says it has; none where it does not say."""
    return told(system, camera_log(system, device, ASKED[system])) if system in ASKED else []


def told(system: str, messages: list[str]) -> list[Mode]:
    """The modes in what was logged. A line of it comes as one message or as several."""
    return list(dict.fromkeys(PARSERS[system](" ".join(messages))))


def listed(able: list[Mode]) -> str:
    """`mjpeg: 1280x720@30 640x480@30; yuyv422: 640x480@30`."""
    sizes: dict[str, dict[str, None]] = {}
    for mode in able:
        sizes.setdefault(mode.form, {})[str(mode)] = None
    return "; ".join((f"{form}: " if form else "") + " ".join(sizes[form]) for form in sizes)


def _named_by_avfoundation(log: str) -> list[tuple[str, str]]:
    """`[0] FaceTime HD Camera`; behind the cameras come the screens, then what hears."""
    seen = log.partition("audio devices:")[0]
    return [(name, i) for i, name in re.findall(r"\[(\d+)\] (?!Capture screen)(.+)", seen)]


def _named_by_dshow(log: str) -> list[tuple[str, str]]:
    """`"Integrated Camera" (video)`, `Alternative name "@device_pnp_..."`, which two of one name
    do not share."""
    found = re.findall(r'"(.+?)"\s+\([^)]*video[^)]*\)\s+Alternative name "(.+?)"', log)
    return [(name, f"video={at}") for name, at in found]


def _told_by_v4l2(log: str) -> Iterator[Mode]:
    """`Compressed: mjpeg : Motion-JPEG : 1280x720 640x480`; `{32-2592, 2}x{32-1944, 2}` is any."""
    for line in re.split(r"(?=\b(?:Raw|Compressed)\s*:)", log):
        if form := re.match(r"\w+\s*:\s*(\S+)\s*:", line):
            for w, h in re.findall(r"([1-9]\d*)x(\d+)|}x{", line.rpartition(" :")[2]):
                yield Mode(form[1], int(w or 0), int(h or 0))


def _told_by_avfoundation(log: str) -> Iterator[Mode]:
    """`1280x720@[1.000000 30.000000]fps`."""
    for w, h, least, most in re.findall(r"(\d+)x(\d+)@\[([\d.]+) ([\d.]+)\]fps", log):
        yield Mode("", int(w), int(h), (float(least), float(most)))


def _told_by_dshow(log: str) -> Iterator[Mode]:
    """`vcodec=mjpeg  min s=640x480 fps=5 max s=1280x720 fps=30`: both ends are modes."""
    end = r"s=(\d+)x(\d+) fps=([\d.e+]+)"
    for found in re.findall(rf"(?:vcodec|pixel_format)=(\S+)\s+min {end} max {end}", log):
        form, w, h, least, widest, highest, most = found
        for width, height in ((w, h), (widest, highest)):
            yield Mode(form, int(width), int(height), (float(least), float(most)))


PARSERS: dict[str, Callable[[str], Iterator[Mode]]] = {
    "v4l2": _told_by_v4l2,
    "avfoundation": _told_by_avfoundation,
    "dshow": _told_by_dshow,
}
