"""How large media may be. What is within these bounds is read within the memory of a child process
(confined.py); what is beyond them is refused from its header, before it is decoded."""

from fractions import Fraction

MAX_PIXELS = 33_200_000
"""Of a frame, 8K: checked from the header, set in the decoder, and checked again at every frame."""
MAX_SIDE_PX = 16_384
MIN_SIDE_PX = 16
MAX_STREAMS = 64
"""Tracks of a file: films have a few dozen with their subtitles."""
MAX_RATE = 1000
"""Frames a second."""
MIN_SOUND_HZ, MAX_SOUND_HZ = 2_000, 192_000
"""Slower sound grows without end when it is brought to a usual rate."""
MAX_CHANNELS = 64
MAX_GAP_S = 3600
"""Between two frames, where it would be filled with repeated ones."""


def fits(width: int, height: int) -> bool:
    """Whether a picture of this size may be read, or be made of one."""
    return width * height <= MAX_PIXELS and max(width, height) <= MAX_SIDE_PX


def hears(rate_hz: int, channels: int) -> bool:
    """Whether sound of this kind may be decoded and copied."""
    return MIN_SOUND_HZ <= rate_hz <= MAX_SOUND_HZ and 1 <= channels <= MAX_CHANNELS


def believed(*rates: Fraction | None) -> Fraction | None:
    """The first rate that can be true; headers of short or damaged files state others."""
    return next((rate for rate in rates if rate and 0 < rate <= MAX_RATE), None)
