"""What an output tells about itself while a run goes on."""

from dataclasses import dataclass

CLOSED, FAILED, COMPLETE = "closed", "failed", "complete"


@dataclass(frozen=True, slots=True)
class Outlet:
    """One output, as it is now."""

    up: bool = True
    """Whether it takes frames: a network output is connected, a disk can be written to."""
    lost: int = 0
    """Times that it went away, each of which it is called again after."""
    dropped: int = 0
    """Frames that it left out, because they came too fast for it."""
    waiting: int = 0
    """Frames in its own queue, which holds `room` of them."""
    room: int = 0
    ended: str = ""
    """How it ended before the others: CLOSED by who watched (which is no
    failure), FAILED for good, or COMPLETE."""
