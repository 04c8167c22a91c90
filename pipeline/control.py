"""What can be changed about a stream while it runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines import Arrays, Frames
from models import pictures


@dataclass(frozen=True, slots=True)
class Change:
    """What someone asks for; None leaves a thing as it is."""

    styles: list[Frames | Arrays] = field(default_factory=list, repr=False)
    """New ones, which come after those that there are."""
    shares: tuple[float, ...] | None = None
    """Of all styles, the new ones included; not negative, not all zero."""
    fade_s: float = 0.0
    """How long the shares take to become so."""
    strength: float | None = None
    keep_color: bool | None = None
    at_s: float = 0.0
    """From which time of the output on; the driver says it."""


def change_of(words: dict[str, Any]) -> Change:
    """What a page sends: `add` (paths of pictures), `shares`, `fade_s`, `strength`, `keep_color`.
    ValueError or OSError: it makes no sense, or a picture cannot be read."""
    shares = words.get("shares")
    if shares is not None:
        shares = tuple(float(share) for share in shares)
        if min(shares, default=-1) < 0 or not sum(shares):
            raise ValueError("shares must not be negative, nor all zero")
    strength = words.get("strength")
    return Change(
        [pictures.decode(Path(path).read_bytes())[0] for path in words.get("add", [])],
        shares,
        min(max(float(words.get("fade_s") or 0), 0.0), 60.0),
        None if strength is None else min(max(float(strength), 0.0), 1.5),
        None if words.get("keep_color") is None else bool(words["keep_color"]),
    )
