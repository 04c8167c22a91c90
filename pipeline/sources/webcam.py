"""Cameras at this machine: `webcam:0`, or `webcam:/dev/v4l/by-id/...`, which stays the same.

Linux by Video4Linux2, macOS by AVFoundation, Windows by DirectShow (`webcam:NAME`). On Linux the
modes are asked for and one is chosen: many cameras give 5 frames a second of raw video where they
give 30 of JPEG. `webcam:0,format=yuyv422` has it all the same, `webcam:0,rate=60` asks for another
rate; elsewhere the system's own choice of size and form is taken.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from av.container import InputContainer

from pipeline.cameras import cameras, modes
from pipeline.errors import SourceInvalid, SourceMissing
from pipeline.opening import camera_log, open_camera, open_pipe
from pipeline.patience import Patience
from pipeline.sources import Source, SourceOptions
from pipeline.sources._camera import FORM, held
from pipeline.sources._feed import FIRST_FRAME_S
from pipeline.sources._live import LiveSource
from pipeline.sources.live import EVERY

FORMS = ("mjpeg", "h264", "yuyv422", "nv12", "yuv420p")
"""Of a camera, best first."""
SIDE_PX = 720
"""The short side that is wanted where nobody says one."""
RATE = 30
SYSTEM = {"darwin": "avfoundation", "win32": "dshow"}.get(sys.platform, "v4l2")
NAMED = {"avfoundation": "", "dshow": "video="}
"""Systems whose cameras have names, not paths, and what FFmpeg wants before such a name."""
BY_ID = Path("/dev/v4l/by-id")


def create(text: str, options: SourceOptions) -> Source:
    """The camera `text`. SourceMissing names those that there are."""
    camera = Camera(text, options.size or SIDE_PX)
    link = lambda _: camera.connect()  # noqa: E731
    return LiveSource(text, options, link, noisy=True, patience=camera.patience)


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
        if SYSTEM == "dshow":  # Windows cannot wait for a pipe: there it is this process
            options = mode(SYSTEM, self._device(), self._side, **self._asked)
            with open_camera(self._text, self._device(), SYSTEM, options) as container:
                yield container
            return
        about = {"text": self._text, "device": self._device(), "system": SYSTEM, "side": self._side}
        with (
            held(about | {"asked": self._asked}, self.patience) as pipe,
            open_pipe(pipe, self._text, EVERY, FORM) as container,
        ):
            yield container

    def _device(self) -> str:
        if SYSTEM in NAMED:
            return NAMED[SYSTEM] + self._name
        path = self._path
        if not Path(path).exists():
            found = ", ".join(camera.path for camera in cameras()) or "none"
            raise SourceMissing(f"there is no camera {path}; found: {found}")
        self._path = lasting(path)
        return path


def lasting(device: str) -> str:
    """The name that a camera keeps when it is plugged in again and gets another number; `device`
    where there is none."""
    at = Path(device).resolve()
    names = sorted(str(name) for name in BY_ID.glob("*") if name.resolve() == at)
    return names[0] if names else device


def mode(system: str, device: str, side: int, format: str, rate: str) -> dict[str, str]:
    """FFmpeg's options for the camera: on Linux the mode that is chosen of those it has."""
    if system == "v4l2":
        found = chosen(modes(camera_log(device)), side, format)
        return found and found | {"framerate": rate}
    return {} if system == "dshow" and rate == str(RATE) else {"framerate": rate}


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
    return {"input_format": form, "video_size": f"{width}x{height}"}


def area(size: tuple[int, int]) -> int:
    """Pixels."""
    return size[0] * size[1]
