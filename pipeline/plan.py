"""The options of a run, and the plan that comes of them once everything has been checked."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import inf
from pathlib import Path

import models
from engines import KINDS
from pipeline import patient
from pipeline.confined import WALL_S, confined
from pipeline.control import Change, Region
from pipeline.errors import ConfigError
from pipeline.frame import Pixels, StreamInfo
from pipeline.job import job_of
from pipeline.keyframes import Cue, Film
from pipeline.limits import MAX_SIDE_PX
from pipeline.logs import FORMS
from pipeline.mask import Mask, colours, read_mask
from pipeline.opening import shown
from pipeline.options import nearest, option
from pipeline.sinks import SinkOptions, prepare
from pipeline.sources import PICTURE_SUFFIXES, SourceOptions, open_source
from pipeline.stages import Look, Stylizer
from pipeline.style import Style, read_style, split
from pipeline.timeline import Span, Timeline, seconds

MOST_NAME, MOST_PART = 4096, 255
"""Characters of a path, and bytes between two slashes."""
LEAST_PX = 32
SAME = 48
"""Levels by which the colours of a region may differ."""


def rate(text: str) -> Fraction:
    """`25`, `29.97` or `30000/1001` -> frames a second."""
    if "e" in text.lower() or len(text) > 40:  # 1e999999999 takes hours to be refused as a number
        raise ValueError("a rate is a number, or a fraction of two")
    value = Fraction(text)
    if not 0 < value <= 1000:
        raise ValueError("a rate is between 0 and 1000 frames a second")
    return value.limit_denominator(1001)


def latency(text: str) -> float:
    """`150ms` or `0.5s` -> seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s)", text.strip())
    value = float(match[1]) / (1000 if match[2] == "ms" else 1) if match else 0.0
    if not 0.01 <= value <= 60:
        raise ValueError("write it like 150ms or 0.5s; 10ms to 60s")
    return value


def strength(text: str) -> float:
    """0 (the photograph) to 1 (the full style) and on to 1.5 (beyond it)."""
    value = float(text)
    if not 0 <= value <= 1.5:
        raise ValueError("strength lies between 0 and 1.5")
    return value


def cues(text: str) -> tuple[Cue, ...]:
    """`0,2.5s,1:10` -> frames by their numbers, and times in s by a unit or a colon."""
    words = [word.strip() for word in text.split(",")]
    return tuple(int(word) if word.isdecimal() else seconds(word) for word in words)


@dataclass(frozen=True)
class StreamOptions:
    """What a user can ask of run_stream.py; configs/default.yaml holds the same with reasons."""

    style: list[str] = option(
        [],
        "picture (or .style code) whose look is wanted; several mix: a.jpg:0.7 b.jpg:0.3; "
        "from a time on: b.jpg@10s; cross-faded: b.jpg@10s..12s",
        metavar="PICTURE",
    )
    mask: list[str] = option(
        [],
        "picture or video that is white where the second style lies (the next mask: the third)",
        metavar="MASK",
    )
    output: list[str] = option(
        [],
        "file (.mp4 .mkv .webm .mov), folder of pictures (ends in /), rtmp:// rtsp:// srt:// "
        "udp:// tcp://, a playlist (FOLDER/live.m3u8), web: (a live page; web:ADDRESS:PORT), "
        "window:, camera: (a virtual one) or null:; several at a time; "
        "default: INPUT_STYLE.mp4 (.png) beside the input",
        metavar="OUTPUT",
    )
    style_mask: str | None = option(
        None,
        "nnst: picture that marks regions of the style by colours; the one --mask then marks by "
        "the same colours where they belong",
        metavar="MASK",
    )
    keyframes: tuple[Cue, ...] | None = option(
        None,
        "nnst: frames that are painted, the others follow them: 0,2.5s,1:10 (numbers or times); "
        "default: at cuts and as things move",
        parse=cues,
        metavar="LIST",
    )
    strength: float = option(1.0, "0 = photograph, 1 = full style, up to 1.5", parse=strength)
    size: int | None = option(
        None, "short side in px; default: the input's own", least=16, most=MAX_SIDE_PX
    )
    preserve_color: bool = option(False, "keep the input's colours, paint only light and strokes")
    stabilize: bool = option(
        False, "let paint stick to things: less flicker, at the cost of a little sharpness"
    )
    start: float | None = option(None, "begin here: seconds or m:s", parse=seconds, metavar="TIME")
    end: float | None = option(None, "end here: seconds or m:s", parse=seconds, metavar="TIME")
    wait_for_source: bool = option(False, "try again while a live input is not there yet")
    connect_attempts: int | None = option(
        None, "give a live input up after so many failures in a row; default: never", least=1
    )
    max_latency: float | None = option(
        None,
        "of a live input: leave out what would be later, then paint at a smaller size",
        parse=latency,
        metavar="150ms",
    )
    fps: Fraction | None = option(
        None, "frames a second of the output; default: the input's own times", parse=rate
    )
    codec: str | None = option(None, "h264 hevc vp9 av1 ffv1 prores ...; default by suffix")
    quality: int | None = option(
        None, "constant quality of the codec, lower is better (h264: 18); JPEG: 1 to 100", least=0
    )
    no_audio: bool = option(False, "leave sound and subtitles out")
    overwrite: bool = option(False, "replace an output that exists")
    resume: bool = option(
        False, "go on where an earlier run of the same job ended, however it ended; or begin"
    )
    report: str | None = option(None, "also write the final report as JSON", metavar="FILE.json")
    metrics: int | None = option(
        None,
        "serve figures for Prometheus at http://127.0.0.1:PORT/metrics, and at /health whether "
        "frames come out",
        metavar="PORT",
        least=1,
    )
    log: str = option("text", "lines for people, or one JSON object a line", choices=FORMS)
    web_token: str | None = option(
        None,
        "file with the token that the live page asks for (made if there is none); a page that "
        "others can reach needs one",
        metavar="FILE",
    )
    recordings: str | None = option(
        None, "folder in which the live page may record the stream", metavar="FOLDER"
    )
    model: str = option(
        "compact", "what paints: a model that ships or a weights file; identity paints nothing"
    )
    device: str = option("auto", "auto, cpu, cuda, cuda:1, mps")
    engine: str = option(
        "auto", "what runs the model; auto: the fastest that paints the same", choices=KINDS
    )
    stylizers: int = option(1, "stylizers side by side", least=1, most=256)
    threads: int | None = option(
        None, "processor threads that paint, shared by the stylizers; default: all", least=1
    )


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
    notices: list[str] = field(default_factory=list)


@contextmanager
def planned(source: str, options: StreamOptions) -> Iterator[Plan]:
    """Check all that can be checked before anything starts; StreamError says what is wrong.

    The source stays open meanwhile: what it lends to the run (a generated sound track) stays too.
    """
    check_options(options)
    for text in (source, *options.style, *options.mask, *options.output):
        check_name(text)
    styles = [confined(f"style {t}", read_style, t, options.model) for t in options.style]
    look = make_look(options, styles)
    source_options = SourceOptions(
        options.size,
        options.start,
        options.end,
        options.fps,
        options.wait_for_source,
        options.connect_attempts,
    )
    outputs = options.output or [default_output(source, options)]
    if len({*outputs}) < len(outputs):
        raise ConfigError("two outputs have the same name")
    sink_options = SinkOptions(
        options.codec,
        options.quality,
        not options.no_audio,
        options.overwrite,
        options.web_token,
        options.recordings,
        resume=options.resume,
    )
    with looked_at(source, source_options) as info:
        info = replace(info, sounds=info.sounds and not options.no_audio)
        if not info.live and options.max_latency is not None:
            raise ConfigError("--max-latency is for live inputs: of a film every frame is painted")
        if info.live:
            check_live(options)
            source_options = replace(source_options, known=info)
        else:
            marks = [options.style_mask] if options.style_mask else []
            job = job_of(
                source, options, [*map(str, (s.path for s in styles)), *options.mask, *marks]
            )
            sink_options = replace(sink_options, job=job)
        if look.film is not None:
            check_film(options, info)
            look = replace(look, film=Film(source, source_options, options.keyframes or ()))
        for output in outputs:
            prepare(output, sink_options, source)
        notices = [s.notice for s in styles if s.notice]
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
            notices,
        )


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
    if not optimises(options.model):
        for name in ("style_mask", "keyframes"):
            if getattr(options, name):
                word = name.replace("_", "-")
                raise ConfigError(f"--{word} is for nnst: {options.model} paints frame by frame")
    if options.end is not None and options.end <= (options.start or 0):
        raise ConfigError("--end must come after --start")


def optimises(model: str) -> bool:
    """Whether a model paints by key frames; False where it cannot be read: loading says why."""
    try:
        return models.optimises(model)
    except (ValueError, OSError):
        return False


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
    for cue in options.keyframes or ():
        place = cue * info.rate if isinstance(cue, float) and info.rate else cue
        if info.frames is not None and place >= info.frames:
            end = f"{info.frames} frames"
            end += f", {float(info.frames / info.rate):.2f} s" if info.rate else ""
            name = f"at {cue:g} s" if isinstance(cue, float) else str(cue)
            raise ConfigError(f"key frame {name} lies beyond the end: there are {end}")


def check_name(text: str) -> None:
    """Refuses what cannot be the name of a file, before it is taken for one."""
    parts = [] if "://" in text else Path(text).parts
    if "\0" in text or len(text) > MOST_NAME or any(len(os.fsencode(p)) > MOST_PART for p in parts):
        raise ConfigError(f"{text[:40]!r}... is no name of a file: too long, or with a zero byte")


def check_live(options: StreamOptions) -> None:
    """What cannot be asked of a live input."""
    for name in ("start", "fps", "resume"):
        if getattr(options, name):
            raise ConfigError(f"--{name} is for films: a live input is taken as it comes")


def make_look(options: StreamOptions, styles: list[Style]) -> Look:
    """What the stylizers need; the CPU is shared out among them."""
    guides = guides_of(options, styles) if options.style_mask else None
    if options.mask and guides is None:
        check_masks(options, styles)
    return Look(
        options.model,
        options.device,
        [s.look for s in styles],
        [str(s.path.resolve()) for s in styles],
        Timeline((s.span, s.weight) for s in styles),
        options.mask if guides is None else [],
        options.strength,
        options.preserve_color,
        max(1, (options.threads or os.cpu_count() or 1) // options.stylizers),
        options.engine,
        Film("", SourceOptions()) if optimises(options.model) else None,
        guides,
    )


def guides_of(options: StreamOptions, styles: list[Style]) -> tuple[str, Pixels]:
    """The mask of the frames and the marked style; every region of the one is in the other."""
    if len(styles) != 1 or len(options.mask) != 1 or options.style_mask is None:
        raise ConfigError("--style-mask goes with one --style, and one --mask for the input")
    path = options.mask[0]
    marked = confined(f"mask {options.style_mask}", read_mask, options.style_mask)
    there = colours(marked)
    for colour in confined(f"mask {path}", regions_in, path):
        if all(max(abs(a - b) for a, b in zip(colour, c, strict=True)) > SAME for c in there):
            raise ConfigError(
                f"mask {path} has a region of colour #{bytes(colour).hex()}, which "
                f"{options.style_mask} has nowhere: mark where its style is to be found"
            )
    return path, marked


def regions_in(path: str) -> list[tuple[int, int, int]]:
    """The colours that a mask begins with."""
    mask = Mask(path)
    found = colours(mask.picture(0.0))
    mask.close()
    return found


def wanted_at_first(look: Look) -> Change:
    """What the stream begins with, for outputs that show it."""
    shares = look.timeline.at(0)
    regions = [Region("0", None, dict(zip(look.paths, shares, strict=True)))]
    if look.masks:
        placed = zip(look.paths, [None, *look.masks], strict=True)
        regions = [Region(str(k), mask, {path: 1.0}) for k, (path, mask) in enumerate(placed)]
    return Change(tuple(regions), look.strength, look.keep_color)


def check_masks(options: StreamOptions, styles: list[Style]) -> None:
    """Each mask can be read and has its style; regions are not mixed nor timed."""
    if len(options.mask) != len(styles) - 1:
        raise ConfigError(
            f"{len(styles)} styles and {len(options.mask)} masks: the first style lies beneath, "
            "each further one needs its --mask"
        )
    if any(s.weight != 1 or s.span != Span() for s in styles):
        raise ConfigError("with --mask a style has neither weight nor time: the mask says where")
    for path in options.mask:
        confined(f"mask {path}", check_mask, path)


def check_mask(path: str) -> None:
    """ConfigError unless it can be read."""
    Mask(path).close()


@contextmanager
def looked_at(source: str, options: SourceOptions) -> Iterator[StreamInfo]:
    """What a source is, found in a child process."""
    if source.startswith("test:"):  # holds no bytes of strangers, and lends its sound to the run
        with open_source(source, options) as opened:
            yield opened.info
    else:
        wall_s = None if options.wait else WALL_S
        yield confined(shown(source), describe, source, options, wall_s=wall_s)


def describe(source: str, options: SourceOptions) -> StreamInfo:
    """What a source is."""
    with open_source(source, options) as opened:
        return opened.info


def default_output(source: str, options: StreamOptions) -> str:
    """`clip.mov` in the style `wave.jpg` -> `clip_wave.mp4` beside it."""
    look = split(options.style[0])[0].stem if options.style else options.model
    if source.startswith("test:"):
        return f"test_{look}.mp4"
    if source.startswith("webcam:"):
        return f"webcam_{look}.mp4"
    if "://" in source:
        host = re.sub(r"\W+", "_", shown(source).partition("://")[2]).strip("_")
        return f"{host}_{look}.mp4"
    path = Path(source)
    stem = path.stem if not re.search(r"[%*?]", path.name) else path.parent.resolve().name
    one = path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
    return str(path.with_name(f"{stem}_{look}.{'png' if one else 'mp4'}"))
