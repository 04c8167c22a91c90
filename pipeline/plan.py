"""The plan of a run: what comes of its options once everything has been checked."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

import models
from engines.choice import graphics
from pipeline import patient
from pipeline.access import with_access
from pipeline.address import as_path, scheme_of, shown
from pipeline.confined import WALL_S, confined
from pipeline.control import Change
from pipeline.errors import ConfigError
from pipeline.frame import StreamInfo
from pipeline.job import job_of
from pipeline.keyframes import Film, named
from pipeline.logs import speak
from pipeline.look import make_look, wanted_at_first
from pipeline.options import nearest
from pipeline.request import StreamOptions
from pipeline.sinks import SinkOptions, claimed, prepare
from pipeline.sinks._codecs import settled
from pipeline.sources import PICTURE_SUFFIXES, SourceOptions, open_source
from pipeline.sources._trial import chosen
from pipeline.style import Style, read_style, split
from pipeline.stylizer import Look, Stylizer

MOST_NAME, MOST_PART = 4096, 255
"""Characters of a path, and bytes between two slashes."""
LEAST_PX = 32
PIXEL_BYTES = 4096
"""What a painting by optimisation takes for each of its pixels, about."""
OF_ONE = {"detail": "neat", "show_matches": "dynast", "style_mask": "nnst", "keyframes": "nnst"}
"""Options of a single system."""
SHARED_RAY = "STYLESTREAM_SHARED_RAY"
"""Variable that names the file with the address of the Ray in which streams share stylizers."""


@dataclass(frozen=True)
class Plan:
    """Everything a run needs, checked."""

    source: str
    source_options: SourceOptions
    info: StreamInfo
    look: Look
    sinks: list[str]
    sink_options: SinkOptions
    wanted: Change
    """The look in words, for outputs that show it."""
    stylizers: int = 1
    stylizer: type[Stylizer] = Stylizer
    max_latency_s: float = inf
    """Of live frames, from arrival to output."""
    stabilize: bool = False
    address: str | None = None
    """Of the Ray cluster to join; None: a Ray of our own."""
    shared: Path | None = None
    """The file with the address of the Ray in which several streams share their stylizers."""
    notices: list[str] = field(default_factory=list)


@contextmanager
def planned(source: str, options: StreamOptions) -> Iterator[Plan]:
    """Check all that can be checked before anything starts; StreamError says what is wrong.

    The source stays open meanwhile: what it lends to the run (a generated sound track) stays too.
    """
    check_options(options)
    source = with_access(source, options.user, options.password_file)
    for text in (source, *options.style, *options.mask, *options.output):
        check_name(text)
    styles = [confined(f"style {t}", read_style, t, options.model) for t in options.style]
    look = make_look(options, styles)
    source_options = source_options_of(options)
    outputs = options.output or [default_output(source, options)]
    if len({path if "://" in path else Path(path).absolute() for path in outputs}) < len(outputs):
        raise ConfigError("two outputs have the same name")
    sink_options = sink_options_of(options)
    with claimed(outputs), looked_at(source, source_options, options.log) as info:
        info = replace(info, sounds=info.sounds and not options.no_audio)
        codec, said = settled(options.codec, info, options.quality)
        device, tried = chosen(info.sample) if options.decode == "hardware" else (None, [])
        info = replace(info, sample=None)
        source_options = replace(source_options, sampled=False)
        options = replace(options, codec=codec)  # what has been begun must go on with the same
        sink_options = replace(sink_options, codec=codec, hdr=info.tags.kept)
        if not info.live and options.max_latency is not None:
            raise ConfigError("--max-latency is for live inputs: of a film every frame is painted")
        if options.slate and (not info.live or scheme_of(source) == "test"):
            raise ConfigError("--slate is for inputs that may be away: this one is there")
        if info.live:
            check_live(options)
            source_options = replace(source_options, known=info)
        else:
            job = job_of(source, options, files_of(options, styles), described(info))
            sink_options = replace(sink_options, job=job)
        if look.film is not None:
            check_film(options, info)
            look = replace(look, film=Film(source, source_options, options.keyframes or ()))
        source_options = replace(source_options, hardware=device)  # for the reader alone
        look = replace(look, alone=info.frames == 1)
        sink_options = replace(sink_options, single=look.alone, like=info)
        for output in outputs:
            prepare(output, sink_options, source)
        notices = [*(s.notice for s in styles if s.notice), *tried, *said]
        yield Plan(
            source,
            source_options,
            info,
            look,
            outputs,
            sink_options,
            wanted_at_first(look),
            options.stylizers,
            Stylizer if look.film is None else patient.Stylizer,
            inf if options.max_latency is None else options.max_latency,
            options.stabilize,
            options.address,
            shared_ray() if options.address is None else None,
            notices,
        )


def source_options_of(options: StreamOptions) -> SourceOptions:
    """What of them is for the source."""
    return SourceOptions(
        options.size,
        options.start,
        options.end,
        options.fps,
        options.wait_for_source,
        options.connect_attempts,
        slate=options.slate,
        keep_hdr=options.hdr == "keep",
        sampled=options.decode == "hardware",
    )


def sink_options_of(options: StreamOptions) -> SinkOptions:
    """What of them is for the outputs."""
    return SinkOptions(
        options.codec,
        options.quality,
        not options.no_audio,
        options.overwrite,
        options.web_token,
        tuple(options.web_name),
        options.recordings,
        paints=options.model != "identity",
        resume=options.resume,
    )


def files_of(options: StreamOptions, styles: list[Style]) -> list[str]:
    """What the options name beside the input."""
    marks = [options.style_mask] if options.style_mask else []
    return [*(str(style.path) for style in styles), *options.mask, *marks]


def described(info: StreamInfo) -> str:
    """What tells one film from another where its bytes are not at hand."""
    return f"{info.width}x{info.height}, {info.frames} frames of {info.rate} a second"


def shared_ray() -> Path | None:
    """Where the program above several streams says at which Ray they meet."""
    name = os.environ.get(SHARED_RAY)
    return Path(name) if name else None


def check_options(options: StreamOptions) -> None:
    """What no single option can tell by itself."""
    known = [*models.names(), "identity"]
    if options.model not in known and not Path(options.model).suffix:
        raise ConfigError(
            f"no model '{options.model[:60]}'{nearest(options.model, known)}: "
            f"there is {', '.join(known)}"
        )
    if not options.style and options.model != "identity":
        raise ConfigError("no style: name a picture with --style (some lie in styles/)")
    if options.show_matches and (options.mask or options.stabilize):
        raise ConfigError("--show-matches puts pictures side by side: leave --mask and --stabilize")
    shows = any(output.startswith("web:") for output in options.output)
    for name, value in (
        ("recordings", options.recordings),
        ("web-token", options.web_token),
        ("web-name", options.web_name),
    ):
        if value and not shows:
            raise ConfigError(f"--{name} is for the live page: it needs an output web:PORT")
    if options.end is not None and options.end <= (options.start or 0):
        raise ConfigError("--end must come after --start")
    check_model(options)


def check_model(options: StreamOptions) -> None:
    """A model that cannot be had, and what is asked of one that does not have it."""
    try:
        system = models.system_of(options.model)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error
    for name, its in OF_ONE.items():
        if system != its and getattr(options, name) != getattr(StreamOptions, name):
            word = name.replace("_", "-")
            raise ConfigError(f"--{word} is for {its}: {options.model} has nothing of the kind")
    if options.engine not in ("auto", "torch"):
        if system in models.OPTIMISED:
            raise ConfigError(f"{options.model} paints by optimisation: it needs --engine torch")
        if options.show_matches:
            raise ConfigError("--show-matches needs --engine torch: no other knows what matches")


def check_film(options: StreamOptions, info: StreamInfo) -> None:
    """What a model that paints by key frames cannot do, and key frames that are not there."""
    if info.live:
        raise ConfigError(f"{options.model} paints films and pictures: a live input cannot wait")
    if options.stylizers > 1:
        raise ConfigError("--stylizers: key frames are painted by one")
    if min(info.width, info.height) < LEAST_PX:
        raise ConfigError(
            f"{options.model} paints from {LEAST_PX} px a side on, not {info.width}x{info.height}: "
            "give a larger --size"
        )
    check_memory(options, info)
    for cue in options.keyframes or ():
        if isinstance(cue, float):
            place = cue * info.rate if info.rate else None
        else:  # an estimate may be wrong by some
            place = cue if info.counted else None
        if info.frames is not None and place is not None and place >= info.frames:
            end = f"{info.frames} frames"
            end += f", {float(info.frames / info.rate):.2f} s" if info.rate else ""
            raise ConfigError(f"{named(cue)} lies beyond the end: there are {end}")


def check_memory(options: StreamOptions, info: StreamInfo) -> None:
    """That frames can be painted here: what is short shows only at the last and largest scale,
    after hours."""
    elsewhere = options.address is not None or (options.device != "cpu" and graphics())
    if elsewhere or not hasattr(os, "sysconf"):
        return
    needed = info.width * info.height * PIXEL_BYTES
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > total:
        raise ConfigError(
            f"{options.model} takes some {needed >> 30} GiB of memory to paint "
            f"{info.width}x{info.height}, and here are {total / 2**30:.0f}: --size paints smaller"
        )


def check_name(text: str) -> None:
    """Refuses what cannot be the name of a file, before it is taken for one."""
    if not text:  # which would mean the folder in which the program was started
        raise ConfigError("a name is empty: say what is meant, or . for this folder")
    parts = [] if "://" in text else Path(text).parts
    if "\0" in text or len(text) > MOST_NAME or any(len(os.fsencode(p)) > MOST_PART for p in parts):
        raise ConfigError(f"{text[:40]!r}... is no name of a file: too long, or with a zero byte")


def check_live(options: StreamOptions) -> None:
    """What cannot be asked of a live input."""
    for name in ("start", "fps", "resume", "hdr"):
        if getattr(options, name) not in (None, False, "map"):
            raise ConfigError(f"--{name} is for films: a live input is taken as it comes")


@contextmanager
def looked_at(source: str, options: SourceOptions, form: str) -> Iterator[StreamInfo]:
    """What a source is, found in a child process, which says in the form `form` why it has to wait
    for it."""
    if scheme_of(source) == "test":  # holds no bytes of strangers, and lends its sound to the run
        with open_source(source, options) as opened:
            yield opened.info
    else:
        wall_s = None if options.wait else WALL_S
        yield confined(shown(source), describe, source, options, form, wall_s=wall_s)


def describe(source: str, options: SourceOptions, form: str) -> StreamInfo:
    """What a source is."""
    speak(form)
    with open_source(source, options) as opened:
        return opened.info


def default_output(source: str, options: StreamOptions) -> str:
    """`clip.mov` in the style `wave.jpg` -> `clip_wave.mp4` beside it."""
    look = split(options.style[0])[0].stem if options.style else options.model
    if (scheme := scheme_of(source)) in ("test", "webcam"):
        return f"{scheme}_{look}.mp4"
    if "://" in source:
        host = re.sub(r"\W+", "_", shown(source).partition("://")[2]).strip("_")
        return f"{host}_{look}.mp4"
    path = Path(source)
    if path.is_dir() and path.name in ("", ".."):  # which has no name of its own
        path = path.resolve()
    is_pattern = re.search(r"[%*?]", path.name) and not path.exists()
    stem = path.parent.resolve().name if is_pattern else path.stem
    if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file():
        # In the name of a picture that is written, % stands for its number.
        return as_path(path.parent / f"{stem}_{look}.png".replace("%", "_"))
    return as_path(path.parent / f"{stem}_{look}.mp4")
