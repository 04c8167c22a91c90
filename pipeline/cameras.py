"""Cameras of this machine and the modes that they say they have (Linux: Video4Linux2)."""

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.opening import camera_log

DEVICES = Path("/sys/class/video4linux")


@dataclass(frozen=True, slots=True)
class Camera:
    """A device, what it calls itself, and lines such as `mjpeg: 1280x720 640x480`."""

    path: str
    name: str
    modes: list[str]


def cameras() -> list[Camera]:
    """All that can be opened; devices without a mode (such as metadata) are left out."""
    found = []
    for entry in sorted(DEVICES.glob("video*")):
        path = f"/dev/{entry.name}"
        if able := modes(camera_log(path)):
            found.append(Camera(path, (entry / "name").read_text().strip(), able))
    return found


def modes(messages: list[str]) -> list[str]:
    """`Compressed: mjpeg : Motion-JPEG :`, `1280x720`, `640x480` -> `mjpeg: 1280x720 640x480`.

    A format and its sizes come as one message or as several.
    """
    found: list[str] = []
    for message in messages:
        if form := re.match(r"(?:Raw|Compressed)\s*:\s*(\S+)\s*:", message):
            found.append(f"{form[1]}:")
            message = message.rpartition(" :")[2]
        if found and re.search(r"\dx|}x", message):
            found[-1] += f" {message.strip()}"
    return [mode for mode in found if not mode.endswith(":")]
