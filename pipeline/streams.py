"""Several streams at once: `--config streams.yaml` with `streams:`, each a run of its own.

Every stream is a process of its own with its stages, so that nothing that happens to one reaches
another. Its options come by stdin: addresses hold passwords, and command lines can be read by all.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

import yaml
from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipeline.errors import ConfigError
from pipeline.logs import say
from pipeline.options import build
from pipeline.request import StreamOptions

PROGRAM = Path(__file__).parent.parent / "run_stream.py"
LOOK_S = 0.2
ENDING_S = 30.0
INTERRUPTED = 130


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
        whole[name] = config | own
        try:
            options = build(StreamOptions, {k: v for k, v in whole[name].items() if k != "input"})
        except ConfigError as error:
            raise ConfigError(f"stream {name}: {error}") from error
        for output in options.output:
            if output != "null:" and output in taken:
                raise ConfigError(f"streams {taken[output]} and {name} both write to {output}")
            taken[output] = name
    return whole


class Stream:
    """One of them: its process, and the line that it said last."""

    def __init__(self, name: str, options: dict[str, Any], say_all: bool) -> None:
        self.name, self.said = name, "starting"
        self._say_all = say_all
        command = [sys.executable, str(PROGRAM), "--config", "-"]
        # A group of its own: Ctrl-C is handed on by us, once.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
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
                self.said = line.strip() or self.said
                if self._say_all:
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


def run_streams(config: dict[str, Any]) -> int:
    """All of them until the last has ended -> the worst of their exit codes."""
    wanted = streams_in(config)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    console = Console(stderr=True)
    # Each counts on all cores by itself; together they would only wait for each other.
    threads = max(1, (os.cpu_count() or 1) // len(wanted))
    beneath = {"threads": threads}
    streams = [Stream(n, beneath | own, not console.is_terminal) for n, own in wanted.items()]
    # On a terminal a table, elsewhere the lines as they come.
    shown = Live(console=console, get_renderable=lambda: table(streams), transient=True)
    with shown if console.is_terminal else nullcontext():
        while any(stream.process.poll() is None for stream in streams):
            if stopped.wait(LOOK_S):
                break
        for stream in streams if stopped.is_set() else []:
            stream.stop()
        codes = [stream.close() for stream in streams]
    for stream, code in zip(streams, codes, strict=True):
        say(f"{stream.name}: {stream.state}: {stream.said}", facts={"exit_code": code})
    bad = [code if code > 0 else 1 for code in codes if code not in (0, INTERRUPTED)]
    return max(bad) if bad else max(codes)


def table(streams: list[Stream]) -> Table:
    """How far each is, for a terminal."""
    shown = Table("stream", "state", "last word", box=None, pad_edge=False)
    for stream in streams:
        shown.add_row(stream.name, stream.state, stream.said)
    return shown
