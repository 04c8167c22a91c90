"""Cameras at this machine: `webcam:0`, or `webcam:/dev/v4l/by-id/...`, which stays the same.

Linux by Video4Linux2, macOS by AVFoundation, Windows by DirectShow (`webcam:NAME`). On Linux the
modes are asked for and one is chosen: many cameras give 5 frames a second of raw video where they
give 30 of JPEG. `webcam:0,format=yuyv422` has it all the same.
"""

import re
import sys
from pathlib import Path

from av.container import InputContainer

from pipeline.cameras import cameras, modes
from pipeline.errors import SourceInvalid, SourceMissing
from pipeline.opening import camera_log, open_camera
from pipeline.sources import Source, SourceOptions
from pipeline.sources._live import LiveSource

FORMS = ("mjpeg", "h264", "yuyv422", "nv12", "yuv420p")
"""Of a camera, best first."""
SIDE_PX = 720
"""The short side that is wanted where nobody says one."""
RATE = 30
BY_ID = Path("/dev/v4l/by-id")


def create(text: str, options: SourceOptions) -> Source:
    """The camera `text`. SourceMissing names those that there are."""
    camera = Camera(text, options.size or SIDE_PX)
    return LiveSource(text, options, camera.connect, noisy=True)


class Camera:
    """One that is opened again and again, also when it was unplugged meanwhile."""

    def __init__(self, text: str, side: int) -> None:
        self._text, self._side = text, side
        self._name = text.partition(":")[2] or "0"
        which, _, self._form = self._name.partition(",format=")
        self._path = f"/dev/video{which}" if which.isdigit() else which

    def connect(self) -> InputContainer:
        """Open it. SourceMissing: it is not plugged in."""
        if sys.platform == "darwin":
            return open_camera(self._text, self._name, "avfoundation", {"framerate": str(RATE)})
        if sys.platform == "win32":
            return open_camera(self._text, f"video={self._name}", "dshow", {})
        path = self._path
        if not Path(path).exists():
            found = ", ".join(camera.path for camera in cameras()) or "none"
            raise SourceMissing(f"there is no camera {path}; found: {found}")
        self._path = lasting(path)
        mode = chosen(modes(camera_log(path)), self._side, self._form)
        return open_camera(self._text, path, "v4l2", mode)


def lasting(device: str) -> str:
    """The name that a camera keeps when it is plugged in again and gets another number; `device`
    where there is none."""
    at = Path(device).resolve()
    names = sorted(str(name) for name in BY_ID.glob("*") if name.resolve() == at)
    return names[0] if names else device


def chosen(able: list[str], side: int, wanted: str = "") -> dict[str, str]:
    """FFmpeg's options for the best of the modes of a camera (`mjpeg: 1280x720 640x480`): the best
    form that has a size with a short side of at least `side`, the smallest of them; else the
    largest size that there is. `wanted`: of this form. SourceInvalid: it has none of that."""
    forms = [mode.partition(":")[0] for mode in able]
    if wanted and wanted not in forms:
        raise SourceInvalid(f"the camera has no mode of {wanted}; it has {', '.join(forms)}")
    able = [mode for mode, form in zip(able, forms, strict=True) if wanted in ("", form)]
    sizes = {
        form: [(int(w), int(h)) for w, h in re.findall(r"(\d+)x(\d+)", rest)]
        for form, _, rest in (mode.partition(":") for mode in able)
    }
    known = [form for form in FORMS if sizes.get(form)] or [form for form in sizes if sizes[form]]
    if not known:
        return {}
    enough = [(form, [s for s in sizes[form] if min(s) >= side]) for form in known]
    form, fitting = next(((f, s) for f, s in enough if s), (known[0], []))
    width, height = min(fitting, key=area) if fitting else max(sizes[form], key=area)
    return {"input_format": form, "video_size": f"{width}x{height}", "framerate": str(RATE)}


def area(size: tuple[int, int]) -> int:
    """Pixels."""
    return size[0] * size[1]
