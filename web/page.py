"""The state of the live page: looks and regions, what is asked of the stream, what is recorded."""

import asyncio
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.control import MOST_FADE_S, MOST_STRENGTH
from pipeline.frame import Heard
from pipeline.mask import Mask
from pipeline.options import nearest
from pipeline.sinks.web import Head
from web.recording import Recording
from web.screen import Ask, Pixels, Screen
from web.shelf import GREY, Handed, Shelf, thumbnail

MOST_REGIONS = 6
KEYS = ("region", "shares", "fade_s", "strength", "keep_color", "frozen")


@dataclass
class Region:
    """A part of the picture and the shares of the looks that are seen there, by name."""

    name: str
    mask: str | None
    shares: dict[str, float]
    thumb: bytes = b""


class Page:
    """What one page serves to all who watch. Every change ends in `tell`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ask: Ask, about: dict[str, Any]) -> None:
        """`about`: what the output says of the stream."""
        self._ask = ask
        self.screen = Screen(loop, ask)
        self.shelf = Shelf()
        self.figures: dict[str, float] = {}
        self.token: str | None = about["token"]
        self.size: tuple[int, int] = (about["width"], about["height"])
        self._aspect = Fraction(about["aspect"])
        self._rate, self._sounds = about["rate"], about["sounds"]
        self._folder = about["recordings"]
        self._paints: bool = about["paints"]
        self._input: str = about["input"]
        self._recording: Recording | None = None
        wanted = about["wanted"]
        self.strength: float = wanted["strength"]
        self.keep_color: bool = wanted["keep_color"]
        # Until someone chooses a look, what was planned over time goes on.
        self._chosen = False
        self.shelf.fill([Path(path) for r in wanted["regions"] for path in r["shares"]])
        self.regions = [self._region(r) for r in wanted["regions"]]
        self.changed = asyncio.Event()

    def _region(self, words: dict[str, Any]) -> Region:
        named = {self.shelf.name_of(path): share for path, share in words["shares"].items()}
        shares = {name: share for name, share in named.items() if name and share and self._paints}
        return Region(words["name"], words["mask"], shares, thumbnail(first_of(words["mask"])))

    def close(self) -> None:
        """Complete what is recorded, forget what was handed in."""
        self.stop_recording(hurry=True)
        self.shelf.close()

    def show(
        self,
        head: Head,
        pictures: list[Pixels],
        figures: dict[str, float],
        heard: list[Heard],
    ) -> None:
        """The newest frame, and the sound since the one before; called by the thread that takes
        them."""
        self.figures = figures
        if recording := self._recording:
            recording.add(head.pts, pictures[0], heard)
        self.screen.show(head, pictures)

    # -- changes -------------------------------------------------------------------------------

    def change(self, words: dict[str, Any]) -> None:
        """Ask the stream for it. ValueError: it makes no sense, and nothing is changed."""
        if not isinstance(words, dict):
            raise ValueError("a change is a JSON object")
        for key in words:
            if key not in KEYS:
                raise ValueError(f"unknown: {key}{nearest(key, KEYS)}; known: {', '.join(KEYS)}")
        if words.keys() - {"frozen", "fade_s"}:
            self._check_painting()
        fade_s = number(words, "fade_s", 0, MOST_FADE_S, 1.0)
        strength = number(words, "strength", 0, MOST_STRENGTH, self.strength)
        keep_color = truth(words, "keep_color", self.keep_color)
        frozen = truth(words, "frozen", self.screen.frozen)
        if "shares" in words:
            region = self.region(words.get("region", self.regions[0].name))
            region.shares = self._mixed(words["shares"])
            self._chosen = True
        self.strength, self.keep_color = strength, keep_color
        self.screen.freeze(frozen)
        if words.keys() - {"frozen", "fade_s"}:
            self._say(fade_s)
        self.tell()

    def _check_painting(self) -> None:
        if not self._paints:
            raise ValueError(
                "nothing is painted here: the stream was started with --model identity"
            )

    def _mixed(self, wanted: Any) -> dict[str, float]:
        if not isinstance(wanted, dict) or not set(wanted) <= set(self.shelf.looks):
            raise ValueError("shares are {look: number}, of looks that there are")
        shares = {name: number(wanted, name, 0, 1e6, 0.0) for name in wanted}
        total = sum(shares.values())
        if not total:
            raise ValueError("the shares are all zero")
        return {name: share / total for name, share in shares.items() if share}

    def _say(self, fade_s: float) -> None:
        """All that is wanted now, to the stream."""
        looks = self.shelf.looks
        regions = [
            {
                "name": r.name,
                "mask": r.mask,
                "shares": {str(looks[name].path): share for name, share in r.shares.items()},
            }
            for r in self.regions
        ]
        self._ask(
            {
                "regions": regions if self._chosen else None,
                "strength": self.strength,
                "keep_color": self.keep_color,
                "fade_s": fade_s,
                "offers": [str(look.path) for look in looks.values()],
            }
        )

    def tell(self) -> None:
        """Those who watch."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    # -- looks and regions ---------------------------------------------------------------------

    def add_look(self, name: str, picture: Handed) -> str:
        """A picture as a look -> its name. ValueError: it cannot be one."""
        self._check_painting()
        added = self.shelf.add(name, picture)
        self.tell()
        return added.name

    def remove_look(self, name: str) -> None:
        """Take away one that was handed in. ValueError: it was not, or it is seen."""
        if any(name in region.shares for region in self.regions):
            raise ValueError("this look is being seen: choose another one first")
        self.shelf.remove(name)
        self.tell()

    def region(self, name: object) -> Region:
        """The region of that name. ValueError: there is none."""
        for region in self.regions:
            if region.name == name:
                return region
        raise ValueError("there is no such region")

    def set_region(self, name: str | None, mask: Handed) -> str:
        """Where a region lies (white); None: a new one over all others, with the looks that lie
        beneath. ValueError: there are too many, or it is the lowest, which lies everywhere."""
        self._check_painting()
        if name == self.regions[0].name:
            raise ValueError("the lowest region lies everywhere: it has no mask")
        if not mask.pixels.any():
            raise ValueError("the mask is black everywhere: nothing would be seen")
        region = self.region(name) if name else self._new_region()
        self._sweep()
        region.mask, region.thumb = str(self.shelf.keep(mask)), mask.thumb
        if not name:
            self.regions.append(region)
        self._chosen = True
        self._say(0.0)
        self.tell()
        return region.name

    def _new_region(self) -> Region:
        if len(self.regions) >= MOST_REGIONS:
            raise ValueError(f"{MOST_REGIONS} regions are the most")
        taken = {region.name for region in self.regions}
        name = next(str(i) for i in range(len(taken) + 1) if str(i) not in taken)
        return Region(name, None, dict(self.regions[0].shares))

    def remove_region(self, name: str) -> None:
        """What lies beneath it is seen again. ValueError: the lowest one stays."""
        region = self.region(name)
        if region is self.regions[0]:
            raise ValueError("the lowest region stays")
        self._sweep()
        self.regions.remove(region)
        self._chosen = True
        self._say(0.0)
        self.tell()

    def _sweep(self) -> None:
        """Masks that no region has. Before one is replaced: the one that it had may be read yet."""
        self.shelf.sweep({Path(region.mask) for region in self.regions if region.mask})

    # -- recording -----------------------------------------------------------------------------

    def start_recording(self) -> None:
        """ValueError: it may not, or does already. SinkError: the folder cannot be written to."""
        if self._folder is None:
            raise ValueError("recording needs a folder: start the stream with --recordings FOLDER")
        if self._recording:
            raise ValueError("it is being recorded already")
        self._recording = Recording(
            Path(self._folder), self.size, self._aspect, self._rate, self._sounds
        )
        self.tell()

    def stop_recording(self, hurry: bool = False) -> dict[str, Any] | None:
        """Completes the file -> what it is; None: nothing was being recorded. `hurry`: see
        Recording."""
        recording, self._recording = self._recording, None
        if recording is None:
            return None
        recording.stop(hurry)
        return recording.state()

    # -- what is shown -------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """All that the page shows."""
        beneath = self.regions[0].shares
        return {
            "input": self._input,
            "looks": [
                {"name": k.name, "share": beneath.get(k.name, 0.0), "own": k.own}
                for k in self.shelf.looks.values()
            ],
            "regions": [{"name": r.name, "shares": r.shares} for r in self.regions],
            "strength": self.strength,
            "keep_color": self.keep_color,
            "width": self.size[0],
            "height": self.size[1],
            "aspect": float(self._aspect),
            "may_record": self._folder is not None,
            "recording": self._recording.state() if self._recording else None,
            "figures": self.figures,
            **self.screen.state(),
        }


def first_of(mask: str | None) -> Pixels:
    """The picture of a mask, the first one of a video."""
    if not mask or not Path(mask).exists():
        return GREY
    return Mask(mask).picture(0.0)


def number(words: dict[str, Any], key: str, low: float, high: float, usual: float) -> float:
    """A number within bounds. ValueError: it is none."""
    value = words.get(key, usual)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{key} is a number from {low:g} to {high:g}")
    return float(value)


def truth(words: dict[str, Any], key: str, usual: bool) -> bool:
    """True or false. ValueError: it is neither."""
    value = words.get(key, usual)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is true or false")
    return value
