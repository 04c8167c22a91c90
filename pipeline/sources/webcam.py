"""Cameras at this machine: `webcam:0`, or `webcam:/dev/v4l/by-id/...`, which stays the same.

Linux by Video4Linux2, macOS by AVFoundation, Windows by DirectShow (`webcam:NAME`). On Linux the
modes are asked for and one is chosen: many cameras give 5 frames a second of raw video where they
give 30 of JPEG.
"""

import re
import sys
from functools import partial
from pathlib import Path

from pipeline.cameras import cameras, modes
from pipeline.errors import SourceMissing
from pipeline.opening import camera_log, open_camera
from pipeline.sources import Source, SourceOptions
from pipeline.sources._live import LiveSource

FORMS = ("mjpeg", "h264", "yuyv422", "nv12", "yuv420p")
"""Of a camera, best first."""
SIDE_PX = 720
"""The short side that is wanted where nobody says one."""
RATE = 30


def create(text: str, options: SourceOptions) -> Source:
    """The camera `text`. SourceMissing names those that there are."""
    which = text.partition(":")[2] or "0"
    if sys.platform == "darwin":
        connect = partial(open_camera, text, which, "avfoundation", {"framerate": str(RATE)})
    elif sys.platform == "win32":
        connect = partial(open_camera, text, f"video={which}", "dshow", {})
    else:
        path = f"/dev/video{which}" if which.isdigit() else which
        if not Path(path).exists():
            found = ", ".join(camera.path for camera in cameras()) or "none"
            raise SourceMissing(f"there is no camera {path}; found: {found}")
        mode = chosen(modes(camera_log(path)), options.size or SIDE_PX)
        connect = partial(open_camera, text, path, "v4l2", mode)
    return LiveSource(text, options, connect, noisy=True)


def chosen(able: list[str], side: int) -> dict[str, str]:
    """FFmpeg's options for the best of the modes of a camera (`mjpeg: 1280x720 640x480`): the best
    form that has a size with a short side of at least `side`, the smallest of them; else the
    largest size that there is."""
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
