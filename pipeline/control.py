"""What can be changed about a stream while it runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines import Frames
from models import codes, pictures


@dataclass(frozen=True, slots=True)
class Change:
    """What someone asks for; None leaves a thing as it is."""

    looks: dict[str, tuple[float, Frames | None]] | None = field(default=None, repr=False)
    """By their paths, the styles that are to be seen: share, and picture (none for a style code,
    which must be there already)."""
    fade_s: float = 0.0
    """How long they take to appear."""
    strength: float | None = None
    keep_color: bool | None = None
    at_s: float = 0.0
    """From which time of the output on; the driver says it."""


def change_of(words: dict[str, Any]) -> Change:
    """What a page sends: `looks` ({path: share}), `fade_s`, `strength`, `keep_color`, each of them
    optional. ValueError, TypeError or OSError: it makes no sense, or a picture cannot be read."""
    looks, strength, keep = (words.get(key) for key in ("looks", "strength", "keep_color"))
    if looks is not None:
        looks = {path: (float(share), _picture(Path(path))) for path, share in looks.items()}
        if min(share for share, _ in looks.values()) <= 0:
            raise ValueError("shares are above zero")
    return Change(
        looks,
        min(max(float(words.get("fade_s") or 0), 0.0), 60.0),
        None if strength is None else min(max(float(strength), 0.0), 1.5),
        None if keep is None else bool(keep),
    )


def _picture(path: Path) -> Frames | None:
    if path.suffix == codes.SUFFIX:
        return None
    return pictures.decode(path.read_bytes())[0]
