"""From options and styles to what the stylizers need: looks, times, masks and guides."""

import models
from pipeline.confined import confined
from pipeline.control import Change, Region
from pipeline.errors import ConfigError
from pipeline.frame import Pixels
from pipeline.keyframes import Film
from pipeline.mask import Mask, colours, read_mask
from pipeline.request import StreamOptions
from pipeline.sources import SourceOptions
from pipeline.style import Style
from pipeline.stylizer import Look
from pipeline.timeline import Span, Timeline

SAME = 48
"""Levels by which the colours of a region may differ."""


def make_look(options: StreamOptions, styles: list[Style]) -> Look:
    """What the stylizers need."""
    along = SourceOptions(start_s=options.start, end_s=options.end, fps=options.fps)
    guides = guides_of(options, styles, along) if options.style_mask else None
    if options.mask and guides is None:
        check_masks(options, styles, along)
    return Look(
        options.model,
        options.device,
        [s.look for s in styles],
        [str(s.path.resolve()) for s in styles],
        Timeline((s.span, s.weight) for s in styles),
        options.mask if guides is None else [],
        options.strength,
        options.preserve_color,
        options.threads,
        # Which places match is known in torch alone.
        "torch" if options.show_matches and options.engine == "auto" else options.engine,
        Film("", SourceOptions()) if models.optimises(options.model) else None,
        guides,
        options.detail,
        options.show_matches,
        options.stylizers,
        along=along,
    )


def guides_of(
    options: StreamOptions, styles: list[Style], along: SourceOptions
) -> tuple[str, Pixels]:
    """The mask of the frames and the marked style; every region of the one is in the other."""
    if len(styles) != 1 or len(options.mask) != 1 or options.style_mask is None:
        raise ConfigError("--style-mask goes with one --style, and one --mask for the input")
    if isinstance(styles[0].look, dict):
        raise ConfigError(f"--style-mask marks a picture: {styles[0].path} is a code")
    path = options.mask[0]
    marked = confined(f"mask {options.style_mask}", read_mask, options.style_mask)
    if colour := lacking(marked, Mask(path, along).picture(0.0)):
        raise ConfigError(
            f"mask {path} has a region of colour {colour}, which {options.style_mask} has "
            "nowhere: mark where its style is to be found"
        )
    return path, marked


def lacking(marked: Pixels, picture: Pixels) -> str:
    """The first colour of a region in a mask that the marked style has nowhere; empty if none."""
    there = colours(marked)
    for colour in colours(picture):
        if all(max(abs(a - b) for a, b in zip(colour, c, strict=True)) > SAME for c in there):
            return f"#{bytes(colour).hex()}"
    return ""


def wanted_at_first(look: Look) -> Change:
    """What the stream begins with, for outputs that show it."""
    shares: dict[str, float] = {}
    for path, share in zip(look.paths, look.timeline.at(0), strict=True):  # one may come again
        shares[path] = shares.get(path, 0.0) + share
    regions = [Region("0", None, shares)]
    if look.masks:
        placed = zip(look.paths, [None, *look.masks], strict=True)
        regions = [Region(str(k), mask, {path: 1.0}) for k, (path, mask) in enumerate(placed)]
    return Change(tuple(regions), look.strength, look.keep_color)


def check_masks(options: StreamOptions, styles: list[Style], along: SourceOptions) -> None:
    """Each mask can be read and has its style; regions are not mixed nor timed."""
    if len(options.mask) != len(styles) - 1:
        raise ConfigError(
            f"{len(styles)} styles and {len(options.mask)} masks: the first style lies beneath, "
            "each further one needs its --mask"
        )
    if any(s.weight != 1 or s.span != Span() for s in styles):
        raise ConfigError("with --mask a style has neither weight nor time: the mask says where")
    for path in options.mask:
        Mask(path, along)
