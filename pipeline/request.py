"""What a user can ask of run_stream.py: every option, once."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from engines import KINDS
from pipeline.keyframes import Cue
from pipeline.limits import MAX_SIDE_PX, MIN_SIDE_PX
from pipeline.logs import FORMS
from pipeline.options import nearest, option
from pipeline.timeline import seconds


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


def share(text: str) -> float:
    """0 (none) to 1 (all)."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError("a share lies between 0 and 1")
    return value


def slate(text: str) -> tuple[int, int]:
    """`1280x720` -> width and height in px, both even."""
    match = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text.strip())
    width, height = (int(match[1]), int(match[2])) if match else (1, 1)
    if width % 2 or height % 2 or min(width, height) < MIN_SIDE_PX:
        raise ValueError(f"write it like 1280x720: even sides of {MIN_SIDE_PX} px or more")
    return width, height


def name(text: str) -> str:
    """The name of a file, a folder or an address: an empty one would mean the current folder."""
    if not text.strip():
        raise ValueError("it is empty")
    return text


def cues(text: str) -> tuple[Cue, ...]:
    """`0,2.5s,1:10` -> frames by their numbers, and times in s by a unit or a colon."""
    words = [word.strip() for word in text.split(",")]
    return tuple(int(word) if word.isdecimal() else seconds(word) for word in words)


def engine(text: str) -> str:
    """The name of an engine, or the folder of an export."""
    if text in KINDS or Path(text).is_dir():
        return text
    near = nearest(text, KINDS) or f": {', '.join(KINDS)}"
    raise ValueError(f"no engine, and no folder of an export{near}")


def address(text: str) -> str:
    """`auto`, or a host and the port of the head of a Ray cluster."""
    if text != "auto" and not re.fullmatch(r"([\w.-]+|\[[\da-fA-F:]+\]):\d{1,5}", text):
        raise ValueError("write HOST:PORT as `ray start --head` says it, or auto")
    return text


def host_name(text: str) -> str:
    """`wall.example.org`, as browsers write it."""
    name = text.strip().lower()
    part = "(?!-)[a-z0-9-]{1,63}(?<!-)"
    if len(name) > 253 or not re.fullmatch(rf"{part}(\.{part})*", name):
        raise ValueError("write a name alone, like wall.example.org, without https:// and port")
    return name


@dataclass(frozen=True)
class StreamOptions:
    """What a user can ask of run_stream.py; configs/default.yaml holds the same with reasons."""

    style: list[str] = option(
        [],
        "picture (or .style code) whose look is wanted; several mix: a.jpg:0.7 b.jpg:0.3; "
        "from a time on: b.jpg@10s; cross-faded: b.jpg@10s..12s",
        parse=name,
        metavar="PICTURE",
        heading="what is painted, and how",
    )
    mask: list[str] = option(
        [],
        "picture or video that is white where the second style lies (the next mask: the third)",
        parse=name,
        metavar="MASK",
    )
    strength: float = option(1.0, "0 = photograph, 1 = full style, up to 1.5", parse=strength)
    detail: float | None = option(
        None,
        "neat: how much of the detail that its blur takes away stays: 0 (the default) to 1 (no "
        "blur)",
        parse=share,
        metavar="SHARE",
    )
    show_matches: bool = option(
        False,
        "dynast: in place of each frame nine pictures: the style as every layer has moved it, from "
        "coarse to fine, and last the painting",
    )
    size: int | None = option(
        None, "short side in px; default: the input's own", least=16, most=MAX_SIDE_PX
    )
    preserve_color: bool = option(False, "keep the input's colours, paint only light and strokes")
    stabilize: bool = option(
        False, "let paint stick to things: less flicker, at the cost of a little sharpness"
    )
    model: str = option(
        "compact", "what paints: a model that ships or a weights file; identity paints nothing"
    )
    style_mask: str | None = option(
        None,
        "nnst: picture that marks regions of the style by colours; the one --mask then marks by "
        "the same colours where they belong",
        parse=name,
        metavar="MASK",
    )
    keyframes: tuple[Cue, ...] | None = option(
        None,
        "nnst: frames that are painted, the others follow them: 0,2.5s,1:10 (numbers or times); "
        "default: at cuts and as things move",
        parse=cues,
        metavar="LIST",
    )
    output: list[str] = option(
        [],
        "file (.mp4 .mkv .webm .mov; a-%Y%m%d-%H%M%S.mp4 has the time of the start), folder of "
        "pictures (ends in /), rtmp:// rtsp:// srt:// "
        "udp:// tcp://, a playlist (FOLDER/live.m3u8), web: (a live page; web:ADDRESS:PORT), "
        "window:, camera: (a virtual one) or null:; several at a time; "
        "default: INPUT_STYLE.mp4 (.png) beside the input",
        parse=name,
        metavar="OUTPUT",
        heading="what comes out",
    )
    overwrite: bool = option(False, "replace an output that exists")
    resume: bool = option(
        False, "go on where an earlier run of the same job ended, however it ended; or begin"
    )
    fps: Fraction | None = option(
        None, "frames a second of the output; default: the input's own times", parse=rate
    )
    codec: str | None = option(
        None,
        "h264 hevc vp9 av1 ffv1 prores ...; h264-hw hevc-hw av1-hw: in hardware where that works, "
        "else in software; default by suffix",
    )
    quality: int | None = option(
        None, "constant quality of the codec, lower is better (h264: 18); JPEG: 1 to 100", least=0
    )
    hdr: str = option(
        "map",
        "HDR films: map their brightness to SDR, or keep them HDR (10 bits, the painter has 8)",
        choices=("map", "keep"),
    )
    no_audio: bool = option(False, "leave sound and subtitles out")
    start: float | None = option(
        None, "begin here: seconds or m:s", parse=seconds, metavar="TIME", heading="films"
    )
    end: float | None = option(None, "end here: seconds or m:s", parse=seconds, metavar="TIME")
    wait_for_source: bool = option(
        False,
        "try again while a live input is not there yet",
        heading="live inputs and the live page",
    )
    slate: tuple[int, int] | None = option(
        None,
        "do not wait: outputs have this size and begin at once, with a slate until the live input "
        "is there",
        parse=slate,
        metavar="1280x720",
    )
    connect_attempts: int | None = option(
        None, "give a live input up after so many failures in a row; default: never", least=1
    )
    user: str | None = option(
        None,
        "of a network input, with --password-file or STYLESTREAM_PASSWORD in the environment",
        metavar="NAME",
    )
    password_file: str | None = option(
        None,
        "file with the password of a network input, which stands on no command line then",
        metavar="FILE",
    )
    max_latency: float | None = option(
        None,
        "of a live input: leave out what would be later, then paint at a smaller size",
        parse=latency,
        metavar="150ms",
    )
    web_token: str | None = option(
        None,
        "file with the token that the live page asks for (made if there is none); a page that "
        "others can reach needs one",
        metavar="FILE",
    )
    web_name: list[str] = option(
        [],
        "name by which a proxy before the live page is called, like wall.example.org; "
        "with --web-token",
        parse=host_name,
        metavar="NAME",
    )
    recordings: str | None = option(
        None,
        "folder in which the live page may record the stream",
        parse=name,
        metavar="FOLDER",
    )
    report: str | None = option(
        None,
        "also write the final report as JSON; of several films one each: FILE_clip.json",
        parse=name,
        metavar="FILE.json",
        heading="what is said",
    )
    metrics: int | None = option(
        None,
        "serve figures for Prometheus at http://127.0.0.1:PORT/metrics, and at /health whether "
        "frames come out",
        metavar="PORT",
        least=1,
        most=65535,
    )
    log: str = option("text", "lines for people, or one JSON object a line", choices=FORMS)
    engine: str = option(
        "auto",
        f"what runs the model: {', '.join(KINDS[1:])}, the folder of an export (python -m export), "
        "or auto: the fastest that paints the same",
        parse=engine,
        heading="this machine",
    )
    device: str = option("auto", "auto, cpu, cuda, cuda:1, mps")
    stylizers: int = option(1, "stylizers side by side; they share out the GPUs", least=1, most=256)
    address: str | None = option(
        None,
        "join the Ray cluster at HOST:PORT (auto: the one on this machine); the stylizers are "
        "spread over its GPUs and nodes",
        parse=address,
        metavar="HOST:PORT",
    )
    decode: str = option(
        "software",
        "what decodes films and network streams: hardware is taken where it gives the same "
        "pictures, else software",
        choices=("software", "hardware"),
    )
    threads: int | None = option(
        None, "processor threads that paint, shared by the stylizers; default: all", least=1
    )
