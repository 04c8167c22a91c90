"""Which of the modes of a camera is asked for, and how, of each of the capture systems."""

import math
from dataclasses import replace

from av.video.format import VideoFormat

from pipeline.cameras import Mode, modes
from pipeline.errors import SourceInvalid

FORMS = ("mjpeg", "h264", "yuyv422", "nv12", "yuv420p")
"""Of a camera, best first."""
RATE = 30
NEAR = 0.99
"""Of the rate that is wanted: 29.97 is 30."""


def mode(system: str, device: str, side: int, format: str, rate: str) -> dict[str, str]:
    """FFmpeg's options for the camera: the mode that is chosen of those it has. SourceInvalid: it
    has none that was asked for, or the system cannot be asked for it."""
    able = modes(system, device)
    if system == "avfoundation" and format:  # its list tells no forms: it converts to raw ones
        if not is_raw(format):
            raise SourceInvalid(f"AVFoundation gives raw pictures, as nv12, but no {format}")
        able = [replace(one, form=format) for one in able]
    if system == "dshow" and format and not is_raw(format):
        able = distinct(able, format, int(rate))
    found = chosen(able, side, format, int(rate))
    if not found:
        return unchosen(system, rate)
    if not found.rates:
        return {"input_format": found.form, "video_size": found.size, "framerate": rate}
    options = {"video_size": found.size, "framerate": pace(system, found.rates, int(rate))}
    return options | ({"pixel_format": found.form} if is_raw(found.form) else {})


def pace(system: str, rates: tuple[float, float], rate: int) -> str:
    """The rate to ask for: AVFoundation has nothing but the most of a mode."""
    least, most = rates
    return f"{most if system == 'avfoundation' else min(max(rate, least), most):g}"


def distinct(able: list[Mode], form: str, rate: int) -> list[Mode]:
    """The modes without those of this compressed form that share size and rate with another form,
    where DirectShow cannot be asked for either. SourceInvalid: then none of the form is left."""

    def shared(mode: Mode) -> bool:
        asked = float(pace("dshow", mode.rates or (0, 0), rate))
        others = [one.rates for one in able if one.form != form and one.size == mode.size]
        return any(rates and rates[0] <= asked <= rates[1] for rates in others)

    found = [mode for mode in able if mode.form != form or not shared(mode)]
    if form in {mode.form for mode in able} - {mode.form for mode in found}:
        raise SourceInvalid(
            f"DirectShow cannot be asked for {form} at {rate} frames a second: the camera has each "
            "size in another form too"
        )
    return found


def is_raw(form: str) -> bool:
    """Whether it is a pixel format, not a codec."""
    try:
        VideoFormat(form)
    except ValueError:
        return False
    return True


def unchosen(system: str, rate: str) -> dict[str, str]:
    """Where no modes are known: what the system itself takes, but at this rate."""
    return {} if rate == str(RATE) and system != "avfoundation" else {"framerate": rate}


def chosen(able: list[Mode], side: int, wanted: str = "", rate: int = RATE) -> Mode | None:
    """The best of the modes of a camera that reach `rate`, or come nearest: the best form that has
    a size with a short side of at least `side`, the smallest of them; else the largest size that
    there is. `wanted`: of this form. SourceInvalid: it has none of that, or not another rate."""
    forms = list(dict.fromkeys(mode.form for mode in able))
    if wanted and wanted not in forms:
        raise SourceInvalid(
            f"the camera has no mode of {wanted}; it has {', '.join(forms) or 'none'}"
        )
    sized = [mode for mode in able if wanted in ("", mode.form) and mode.width]
    most = max((mode.most for mode in sized), default=math.inf)
    if most < rate * NEAR and rate != RATE:
        raise SourceInvalid(f"the camera has no mode of {rate} frames a second; at most {most:g}")
    fast = [mode for mode in sized if mode.most >= min(rate * NEAR, most)]
    known = [form for form in FORMS if form in {mode.form for mode in fast}] or forms
    fast = [mode for mode in fast if mode.form in known]
    if enough := [mode for mode in fast if min(mode.width, mode.height) >= side]:
        return min(enough, key=lambda m: (known.index(m.form), area(m), m.height, m.most))
    return min(fast, key=lambda m: (known.index(m.form), -area(m), m.height, m.most), default=None)


def area(mode: Mode) -> int:
    """Pixels."""
    return mode.width * mode.height
