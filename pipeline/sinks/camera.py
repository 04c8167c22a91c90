"""`camera:` or `camera:/dev/video9`: a virtual camera, for programs that want one (calls, OBS).

By pyvirtualcam: v4l2loopback on Linux, OBS's camera on macOS and Windows.
"""

from importlib.util import find_spec
from typing import Any

from pipeline.errors import SinkError
from pipeline.frame import StreamInfo
from pipeline.sinks import Sink, SinkOptions
from pipeline.sinks._relay import Relay
from pipeline.sinks._sender import RATE


def prepare(text: str, options: SinkOptions) -> None:
    """Refuses where there is no virtual camera."""
    if find_spec("pyvirtualcam") is None:
        raise SinkError(f"{text} needs pyvirtualcam: pip install pyvirtualcam")
    import pyvirtualcam

    try:
        pyvirtualcam.Camera(640, 480, RATE, device=device_of(text)).close()
    except (RuntimeError, ValueError, OSError) as error:
        why = str(error).splitlines()[0]
        raise SinkError(f"{text} there is no virtual camera to write to: {why}") from None


def device_of(text: str) -> str | None:
    """The device asked for; None: the first that there is."""
    return text.partition(":")[2] or None


def create(text: str, info: StreamInfo, options: SinkOptions) -> Sink:
    """A sink that is a camera."""
    return CameraSink(text, info)


class CameraSink(Relay):
    """Fed by _camera.py."""

    module = "pipeline.sinks._camera"

    def _about(self) -> dict[str, Any]:
        return {
            "device": device_of(self._name),
            "width": self._info.width,
            "height": self._info.height,
            "rate": float(self._info.rate or RATE),
        }
