"""What can be changed about a stream while it runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines import Frames
from models import codes, pictures

MOST_FADE_S = 60.0
MOST_STRENGTH = 1.5

Figures = dict[str, float]
"""How a run goes, by name, for those who watch."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the picture and the styles that are seen there."""

    name: str
    """Stays the same while its mask or its styles are changed."""
    mask: str | None
    """A picture or a video that is white where it lies; None: everywhere, beneath all others."""
    shares: dict[str, float]
    """Share of each style, by its path."""


@dataclass(frozen=True, slots=True)
class Change:
    """All that is wanted from a time on, so that the latest one alone says how to paint."""

    regions: tuple[Region, ...] | None
    """The lowest first; None: styles go by what was planned at the start."""
    strength: float
    keep_color: bool
    fade_s: float = 0.0
    """How long other styles take to appear."""
    at_s: float = 0.0
    """From which time of the output on; the driver says it."""
    pictures: dict[str, Frames] = field(default_factory=dict, repr=False)
    """By path, those that were not handed over before."""
    forget: frozenset[str] = frozenset()
    """Paths of styles that came with a change before and that nobody can ask for any more."""

    def words(self) -> dict[str, Any]:
        """As plain values, which `change_of` understands."""
        regions = self.regions and [
            {"name": r.name, "mask": r.mask, "shares": r.shares} for r in self.regions
        ]
        return {"regions": regions, "strength": self.strength, "keep_color": self.keep_color}


def change_of(words: dict[str, Any], known: set[str]) -> Change:
    """What a page sends. `known`: paths of the styles that need not be read, and now of those that
    were. ValueError, TypeError, KeyError or OSError: it makes no sense, or a picture cannot be
    read."""
    regions = words["regions"] and tuple(
        Region(r["name"], r["mask"], {p: float(s) for p, s in r["shares"].items()})
        for r in words["regions"]
    )
    paths = {path for r in regions or () for path in r.shares} - known
    read = {path: _picture(Path(path)) for path in paths}
    known |= paths
    return Change(
        regions,
        min(max(float(words["strength"]), 0.0), MOST_STRENGTH),
        bool(words["keep_color"]),
        min(max(float(words.get("fade_s") or 0), 0.0), MOST_FADE_S),
        pictures={path: picture for path, picture in read.items() if picture is not None},
    )


def _picture(path: Path) -> Frames | None:
    """At the size at which it is encoded; None for a style code, which must be there already."""
    if path.suffix == codes.SUFFIX:
        return None
    return pictures.style_sized(pictures.read(path)[0])
