"""Several streams at once: `--config streams.yaml` with `streams:`, each a run of its own.

Every stream is a process of its own with its reader and writer, so that what happens to one reaches
no other. In the Ray that is started here they share their stylizers (shared.py). Options come by
stdin: addresses hold passwords, and command lines can be read by all.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Self

import yaml
from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipeline.cluster import own_address, ray_is_whole, start_ray, stop_ray
from pipeline.errors import ConfigError
from pipeline.gathered import Gathered, free_ports
from pipeline.logs import Facts, say, speak
from pipeline.metrics_server import MetricsServer
from pipeline.options import build
from pipeline.plan import SHARED_RAY
from pipeline.request import StreamOptions

PROGRAM = Path(__file__).parent.parent / "run_stream.py"
LOOK_S = 0.2
LEAVING_S = 2.0
"""Streams may take so long to leave a Ray that is to be ended."""
ENDING_S = 30.0
INTERRUPTED = 130
FOR_ALL = ("log", "metrics")
"""What is said and served by the program above the streams: it stands beside `streams:`."""


def streams_in(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The options of each stream, those that stand beside `streams:` beneath. ConfigError: they
    make no sense, or two streams want to write to the same place."""
    streams = config.pop("streams")
    if not isinstance(streams, dict) or not streams:
        raise ConfigError("streams: holds 'name: {input: ..., style: ..., output: ...}'")
    whole: dict[str, dict[str, Any]] = {}
    taken: dict[str, str] = {}
    for key, own in streams.items():
        name = str(key)
        if not isinstance(own, dict) or "input" not in (config | own):
            raise ConfigError(f"stream {name} needs an input")
        if "log" in own:
            raise ConfigError(f"stream {name}: log is for all of them: write it beside streams:")
        whole[name] = config | own
        if "report" not in own and isinstance(config.get("report"), str):
            whole[name]["report"] = report_of(name, config["report"])
        try:
            options = build(StreamOptions, {k: v for k, v in whole[name].items() if k != "input"})
        except ConfigError as error:
            raise ConfigError(f"stream {name}: {error}") from error
        reports = [options.report] if options.report else []
        for path in (*options.output, *reports):
            if path != "null:" and path in taken:
                raise ConfigError(f"streams {taken[path]} and {name} both write to {path}")
            taken[path] = name
    return whole


def report_of(name: str, path: str) -> str:
    """`all.json`, which is said once for all streams -> `all-door.json` for the stream `door`."""
    whole, own = Path(path), re.sub(r"[^\w.-]", "_", name)
    return str(whole.with_name(f"{whole.stem}-{own}{whole.suffix}"))


class Stream:
    """One of them: its process, and the line that it said last."""

    def __init__(self, name: str, options: dict[str, Any], shared: Path, say_all: bool) -> None:
        self.name, self.said = name, "starting"
        self.port = options.get("metrics")
        self._say_all, self._as_json = say_all, options["log"] == "json"
        command = [sys.executable, str(PROGRAM), "--config", "-"]
        # A group of its own: Ctrl-C is handed on by us, once.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {SHARED_RAY: str(shared)},
        )
        assert self.process.stdin
        assert self.process.stderr
        self.process.stdin.write(yaml.safe_dump(options))
        self.process.stdin.close()
        self._thread = threading.Thread(target=self._hear, args=(self.process.stderr,))
        self._thread.start()

    def _hear(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                facts = facts_of(line)
                # What libraries print comes as it is, whatever form was asked for.
                said = str(facts["message"]) if facts else line.strip()
                self.said = said or self.said
                if self._as_json:
                    say(said, facts=facts | {"stream": self.name})
                elif self._say_all:
                    say(f"{self.name}: {self.said}")

    @property
    def state(self) -> str:
        """In a word."""
        code = self.process.poll()
        if code is None:
            return "running"
        return {0: "done", INTERRUPTED: "interrupted"}.get(code, f"failed ({code})")

    def stop(self) -> None:
        """Complete what is written."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def close(self) -> int:
        """Its exit code; one that does not end is ended."""
        try:
            code = self.process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            code = self.process.wait()
        self._thread.join()
        return code


def facts_of(line: str) -> Facts:
    """What a line of JSON holds; nothing when it is of another kind."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "message" in found else {}


def run_streams(config: dict[str, Any]) -> int:
    """All of them until the last has ended -> the worst of their exit codes."""
    about = build(StreamOptions, {key: config.pop(key) for key in FOR_ALL if key in config})
    speak(about.log)
    port = about.metrics
    wanted = {name: own | {"log": about.log} for name, own in streams_in(config).items()}
    if port is not None:
        ports = free_ports(len(wanted))
        beneath = zip(wanted.items(), ports, strict=True)
        wanted = {name: {"metrics": free} | own for (name, own), free in beneath}
    with SharedRay() as ray:
        return watch(wanted, port, ray, about.log)


class SharedRay:
    """The Ray in which the streams meet, as a context."""

    def __enter__(self) -> Self:
        """Start it."""
        self._folder = TemporaryDirectory(prefix="stylestream-")
        self.file = Path(self._folder.name, "address")
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        stop_ray()
        self._folder.cleanup()

    def _start(self) -> None:
        start_ray(several=True)
        part = self.file.with_suffix(".part")
        part.write_text(own_address())
        part.replace(self.file)

    def keep(self) -> None:
        """Start it again when it has lost a process. The streams see its address go, and go on in
        the new one."""
        if ray_is_whole():
            return
        say("Ray lost a process: it is started again")
        self.file.unlink()
        time.sleep(LEAVING_S)
        stop_ray()
        self._start()


def watch(wanted: dict[str, dict[str, Any]], port: int | None, ray: SharedRay, form: str) -> int:
    """Start them, tell how they go, and serve the figures of all -> the worst of their exit
    codes."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    console = Console(stderr=True)
    streams: list[Stream] = []
    # For a person at a terminal a table, else the lines as they come.
    as_table = console.is_terminal and form == "text"
    shown = Live(console=console, get_renderable=lambda: table(streams), transient=True)
    with ExitStack() as stack:
        if port is not None:
            figures = Gathered(streams)
            stack.enter_context(MetricsServer(port, figures, figures.health))
        for name, own in wanted.items():
            streams.append(Stream(name, own, ray.file, not as_table))
            stack.callback(streams[-1].stop)  # it would go on without us
        if as_table:
            stack.enter_context(shown)
        while any(stream.process.poll() is None for stream in streams):
            if stopped.wait(LOOK_S):
                break
            ray.keep()
        for stream in streams if stopped.is_set() else []:
            stream.stop()
        codes = [stream.close() for stream in streams]
    for stream, code in zip(streams, codes, strict=True):
        facts = {"stream": stream.name, "exit_code": code}
        say(f"{stream.name}: {stream.state}: {stream.said}", facts=facts)
    bad = [code if code > 0 else 1 for code in codes if code not in (0, INTERRUPTED)]
    return max(bad) if bad else max(codes)


def table(streams: list[Stream]) -> Table:
    """How far each is, for a terminal."""
    shown = Table("stream", "state", "last word", box=None, pad_edge=False)
    for stream in streams:
        shown.add_row(stream.name, stream.state, stream.said)
    return shown
