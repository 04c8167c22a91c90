"""Which styles are seen when: cues with cross-fades between them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.errors import ConfigError

MOST_S = 100 * 86_400


def seconds(text: str) -> float:
    """`12.5`, `10s`, `1:30` or `1:02:03.5` -> seconds."""
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)s?", text.strip())
    if not match:
        raise ValueError("a time is seconds or [hours:]minutes:seconds")
    hours, minutes, rest = match.groups()
    value = int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(rest)
    if value > MOST_S:
        raise ValueError("that is more than a hundred days")
    return value


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From when on a style is fading in, and when it is fully there; seconds of the output."""

    start_s: float = 0.0
    end_s: float = 0.0


def span(text: str) -> Span:
    """`10s` (a cut) or `10s..12s` (a cross-fade)."""
    start, dots, end = text.partition("..")
    begins = seconds(start)
    ends = seconds(end) if dots else begins
    if ends < begins:
        raise ValueError("a cross-fade ends after it begins")
    return Span(begins, ends)


class Timeline:
    """Shares of all styles at any time of the output.

    Styles of one span are mixed by their weights: a cue. The first cue is seen from the start.
    """

    def __init__(self, styles: Iterable[tuple[Span, float]]) -> None:
        """Span and weight of each style. ConfigError when fades overlap, or weights are all 0."""
        listed = list(styles)
        self._cues = [(s, self._shares(listed, s)) for s in sorted({s for s, _ in listed})]
        for (before, _), (after, _) in zip(self._cues, self._cues[1:], strict=False):
            if after.start_s < before.end_s:
                raise ConfigError(
                    f"cross-fades overlap: one begins at {after.start_s:g} s, "
                    f"before the last has ended at {before.end_s:g} s"
                )

    def turned(self, at_s: float, fade_s: float, wanted: list[float]) -> "Timeline":
        """From `at_s` on, faded in over `fade_s`, the shares `wanted` instead of what was planned.
        There may be more of them than before."""
        before = self.at(at_s)
        padded = [*before, *[0.0] * (len(wanted) - len(before))]
        other = Timeline([])
        total = sum(wanted)
        cue = Span(at_s, at_s + fade_s)
        other._cues = [(Span(), padded), (cue, [share / total for share in wanted])]
        return other

    def since(self, now_s: float) -> "Timeline":
        """Without what is over then: earlier times show what is seen after it."""
        other = Timeline([])
        other._cues = self._cues[sum(cue.end_s <= now_s for cue, _ in self._cues[1:]) :]
        return other

    @property
    def places(self) -> set[int]:
        """Of the styles that are seen at some time."""
        return {place for _, shares in self._cues for place, share in enumerate(shares) if share}

    @property
    def final(self) -> tuple[float, ...]:
        """The shares that stay in the end."""
        return tuple(self._cues[-1][1]) if self._cues else ()

    @staticmethod
    def _shares(styles: list[tuple[Span, float]], cue: Span) -> list[float]:
        weights = [weight if span == cue else 0.0 for span, weight in styles]
        if not sum(weights):
            raise ConfigError("the weights of the styles are all zero")
        return [w / sum(weights) for w in weights]

    def at(self, time_s: float) -> tuple[float, ...]:
        """The share of each style, in the order given; they sum to 1."""
        shown = self._cues[0][1] if self._cues else []
        for cue, wanted in self._cues[1:]:
            if time_s < cue.start_s:
                break
            length = cue.end_s - cue.start_s
            done = min(1.0, (time_s - cue.start_s) / length) if length else 1.0
            shown = [a + done * (b - a) for a, b in zip(shown, wanted, strict=True)]
        return tuple(shown)
