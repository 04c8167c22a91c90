"""The command line of run_stream.py: parse, build, run, report, exit code."""

import argparse
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.address import plain, shown
from pipeline.errors import ConfigError, SourceLost, StreamError
from pipeline.films import Film, films_of, table
from pipeline.logs import note, say, speak
from pipeline.options import Parser, add_options, build, read_yaml
from pipeline.plan import Plan, planned
from pipeline.progress import ProgressView
from pipeline.report import Progress, Report
from pipeline.request import StreamOptions
from pipeline.run import Pipeline
from pipeline.sinks import check_folder, dated, is_dated

EPILOG = """examples:
  python run_stream.py clip.mp4 --style styles/wave.jpg
  python run_stream.py clip.mp4 --style a.jpg:0.7 --style b.jpg:0.3 --strength 0.8 -o out.mp4
  python run_stream.py frames/ --style styles/ink.jpg --fps 24 -o painted/
  python run_stream.py test:size=512x512,frames=100 --model identity -o null:
  python run_stream.py doctor      what this machine has, what works on it, what to use

exit codes: 0 done, 1 failed or the input was damaged, 2 bad usage, 3 source lost, 130 interrupted
"""
INTERRUPTED = 130
View = Callable[[Progress], None]
ENDING = (signal.SIGINT, signal.SIGTERM)


def parse(arguments: list[str]) -> tuple[str, StreamOptions]:
    """Words of the command line -> input and options."""
    return chosen(asked(arguments))


def chosen(words: dict[str, Any]) -> tuple[str, StreamOptions]:
    """Options by name -> input and options. ConfigError: there is no input, or one is wrong."""
    if words.get("input") is None:
        raise ConfigError("no input: name a video, a camera or a stream (see --help)")
    others = {name: value for name, value in words.items() if name != "input"}
    options = build(StreamOptions, others)
    return plain(str(words["input"])), replace(options, output=[*map(plain, options.output)])


def asked(arguments: list[str]) -> dict[str, Any]:
    """Words of the command line -> options by name; a config file lies beneath them."""
    parser = Parser(
        prog="run_stream.py",
        description="Turn a video into a moving painting in the look of any picture.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "input",
        nargs="?",
        default=argparse.SUPPRESS,
        help="video file, folder of films, folder or pattern of pictures, rtsp:// "
        "(rtspu:// by UDP) rtmp:// srt:// http:// hls+http:// udp:// tcp://, webcam:0, or test:",
    )
    parser.add_argument(
        "-o", dest="output", action="append", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    parser.add_argument(
        "--config",
        type=Path,
        help="YAML file with any of these options; several streams at once with `streams:`",
    )
    add_options(parser, StreamOptions)
    given: dict[str, Any] = vars(parser.parse_args(arguments))
    config = given.pop("config")
    return (read_yaml(config) if config else {}) | given


def main(arguments: list[str]) -> int:
    """Run one job, or the doctor; every failure is one line on standard error."""
    speak(form_of(arguments))
    # SIGINT too: what a script begins in the background begins with it ignored.
    for number in ENDING:
        signal.signal(number, signal.default_int_handler)
    try:
        if arguments == ["doctor"]:
            from pipeline import doctor

            return doctor.main()
        words = asked(arguments)
        if "streams" in words:
            from pipeline.streams import run_streams

            return run_streams(words)
        source, options = chosen(words)
        speak(options.log)
        options = named_now(options)
        films = films_of(source, options)
        return paint_all(films, options) if films else paint(source, options)
    except StreamError as error:
        say(str(error), logging.ERROR, {"exit_code": error.exit_code})
        return error.exit_code
    except (KeyboardInterrupt, SystemExit) as end:
        # SIGTERM while Ray starts: it has put a handler of its own there.
        if isinstance(end, SystemExit) and end.code != signal.SIGTERM:
            raise
        say("interrupted before anything was painted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  nobody is served by a traceback
        kind = type(error).__name__
        say(f"unforeseen, please report it: {kind}: {error}", logging.ERROR)
        return StreamError.exit_code


def named_now(options: StreamOptions) -> StreamOptions:
    """With the time in the names of outputs that ask for it: once, as every part of a run means the
    same file. ConfigError: one of those is to be gone on with."""
    for output in options.output if options.resume else []:
        if is_dated(output):
            raise ConfigError(
                f"--resume: {output} is another file each time; name the one to go on with"
            )
    return replace(options, output=[dated(output) for output in options.output])


def paint_all(films: list[Film], options: StreamOptions) -> int:
    """One film after the other; one that fails stops no other. -> the worst exit code."""
    worst = 0
    for film in films:
        if options.resume and film.is_there:
            film.state = "was there already"
            continue
        try:
            own = replace(options, output=[film.output], report=report_of(film, options.report))
            code = paint(str(film.path), own)
            film.state = {0: "done", INTERRUPTED: "interrupted"}.get(code, "damaged, see above")
        except StreamError as error:
            code = error.exit_code
            film.state = f"failed: {error}"
        except KeyboardInterrupt:
            code, film.state = INTERRUPTED, "interrupted"
        worst = max(worst, code)
        for line in table(films):
            say(line)
        if code == INTERRUPTED:
            break
    return worst


def report_of(film: Film, report: str | None) -> str | None:
    """The file for the report on one of several films: `report_clip_wave.json` for report.json."""
    if report is None:
        return None
    path = Path(report)
    return str(path.with_name(f"{path.stem}_{Path(film.output).stem}{path.suffix}"))


def check_report(path: Path, plan: Plan) -> None:
    """ConfigError: it is no file, or would be written over what is read or painted."""
    if path.is_dir():
        raise ConfigError(f"--report {path} is a folder: name a file, such as {path}/report.json")
    named = [plan.source, *plan.sinks, *plan.look.paths, *plan.look.masks]
    if path.resolve() in (Path(name).resolve() for name in named):
        raise ConfigError(f"--report {path} is an input or an output: name another file")


def paint(source: str, options: StreamOptions) -> int:
    """One input, start to end -> exit code."""
    if options.report:
        check_folder(Path(options.report).parent)
    if options.wait_for_source or options.slate:
        say(f"waiting for {shown(source)}")
    with watched(options) as views, planned(source, options) as plan:
        if options.report:
            check_report(Path(options.report), plan)
        outputs = ", ".join(map(shown, plan.sinks))
        size = f"{plan.info.width}x{plan.info.height}"
        say(f"painting {shown(source)} to {outputs}: {size}")
        return conclude(execute(plan, options, views))


@contextmanager
def watched(options: StreamOptions) -> Iterator[list[View]]:
    """Who is told how the run goes, beside who started it. They are there before its input is,
    which may be waited for."""
    with ExitStack() as stack:
        views: list[View] = []
        if options.metrics is not None:
            from pipeline.metrics import Metrics
            from pipeline.metrics_server import MetricsServer

            metrics = Metrics()
            stack.enter_context(MetricsServer(options.metrics, metrics, metrics.health))
            views.append(metrics)
        yield views


def form_of(arguments: list[str]) -> str:
    """How lines are wanted, also where the rest of the words makes no sense."""
    words = [word for argument in arguments for word in argument.split("=", 1)]
    wanted = words[words.index("--log") + 1 :] if "--log" in words else []
    return "json" if wanted[:1] == ["json"] else "text"


def execute(plan: Plan, options: StreamOptions, views: list[View]) -> Report:
    """Run with progress; the report file is written however it ends."""
    pipeline, report_path = None, options.report
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        with ExitStack() as stack:
            views = [stack.enter_context(ProgressView(options.log)), *views]

            def tell(progress: Progress) -> None:
                for view in views:
                    view(progress)

            pipeline = stack.enter_context(Pipeline(plan, tell))
            # Ray has handlers of its own: ours come after its start.
            for number in ENDING:
                signal.signal(number, lambda *_: pipeline.stop())
            pipeline.run()
    except StreamError as error:
        if pipeline:
            pipeline.report.error = str(error)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if report_path and pipeline:
            save(pipeline.report, Path(report_path))
    # Asked at the last moment: what comes after this film must hear of it.
    pipeline.report.interrupted = pipeline.report.interrupted or pipeline.asked_to_end
    return pipeline.report


def save(report: Report, path: Path) -> None:
    """Write the report; that it cannot be is not worse than what else went wrong."""
    try:
        report.save(path)
    except ConfigError as error:
        if report.error:
            note(str(error))
        report.error = report.error or str(error)


def conclude(report: Report) -> int:
    """Print the report -> exit code."""
    for text in report.notices:
        note(text)
    for line in report.lines():
        say(line)
    if report.interrupted and report.resumable:
        note("the same command with --resume goes on from here")
    written = ", ".join(report.written)
    end = f"written: {written}" if written and report.frames_out else "nothing was written"
    say(f"interrupted; {end}" if report.interrupted else end, facts={"report": report.as_dict()})
    if report.error:
        code = SourceLost.exit_code if report.away else StreamError.exit_code
        say(report.error, logging.ERROR, {"exit_code": code})
        return code
    return INTERRUPTED if report.interrupted else 0
