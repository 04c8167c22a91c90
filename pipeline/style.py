"""What the user chose as a style: pictures or style codes, their shares and when they are seen."""

import re
from dataclasses import dataclass
from pathlib import Path

import models
from models import codes, pictures
from pipeline.errors import ConfigError
from pipeline.frame import Pixels
from pipeline.timeline import Span, span

_WEIGHT = r":(-?\d*\.?\d+)$"


@dataclass(frozen=True, slots=True)
class Style:
    """A style picture, decoded, or the code of one; its share in a mix; when it is seen."""

    path: Path
    weight: float
    span: Span
    look: Pixels | codes.Arrays
    notice: str | None = None


def read_style(text: str, model: str = "compact") -> Style:
    """`PICTURE[:WEIGHT][@TIME[..TIME]]` -> the style; ConfigError says what is wrong with it.

    Instead of a picture: a `.style` file, which must have been made by `model`.
    """
    path, weight, when = split(text)
    if path.is_dir() or not path.exists():
        what = "is a folder, not a picture" if path.is_dir() else "does not exist"
        raise ConfigError(f"style {path} {what}")
    if path.suffix == codes.SUFFIX:
        return Style(path, weight, when, _read_code(path, model))
    try:
        pixels, told = pictures.read_style(path)
    except OSError as error:
        raise ConfigError(f"style {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"style {path} {error}") from error
    return Style(path, weight, when, pixels, f"style {path} {told}" if told else None)


def _read_code(path: Path, model: str) -> codes.Arrays:
    if model not in models.names() and not Path(model).suffix:
        return {}  # identity: nothing depends on a style
    try:
        return codes.read(path, model)
    except ValueError as error:
        raise ConfigError(f"style {error}") from error


def split(text: str) -> tuple[Path, float, Span]:
    """`a.jpg:0.7@10s..12s` -> path, weight (1 when not given) and span (all the time).

    A file of that very name wins, also when a weight alone follows it.
    """
    rest, weight, when = text, 1.0, Span()
    timed = re.fullmatch(r"(.+)@([^@/]+)", rest)
    if timed and not Path(rest).exists() and not Path(re.sub(_WEIGHT, "", rest)).exists():
        rest = timed[1]
        try:
            when = span(timed[2])
        except ValueError as error:
            raise ConfigError(f"style {text}: {error}") from error
    weighted = re.fullmatch(rf"(.+){_WEIGHT}", rest)
    if weighted and not Path(rest).exists():
        rest, weight = weighted[1], float(weighted[2])
        if weight < 0:
            raise ConfigError(f"style {rest}: a weight cannot be negative ({weighted[2]})")
    return Path(rest), weight, when
