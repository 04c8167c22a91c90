"""Bytes of strangers are decoded in child processes with limits of memory, time and open files.

A decoder that crashes, hangs or wants memory without end then ends as one line, not as our end. It
is a wall against accidents, not a sandbox: a child runs as the same user.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import SourceInvalid, StreamError

T = TypeVar("T")

MEMORY_BYTES = 3 << 30
"""Beyond what a process has when it begins to decode: the largest frames, with those they refer
to."""
WALL_S = 60.0
CPU_S = 60
FILES = 256
"""Beyond those that are open."""

# A server without threads, which is forked for each call: faster than a new interpreter, and sound
# where forking a process with threads is not.
_context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
_context.set_forkserver_preload(["pipeline.style", "pipeline.mask", "pipeline.sources.live"])


def begin() -> None:
    """Starts the server, which loads the decoders meanwhile."""
    if _context.get_start_method() == "forkserver":
        from multiprocessing.forkserver import ensure_running

        ensure_running()


def confined(
    name: str, call: Callable[..., T], *arguments: Any, wall_s: float | None = WALL_S
) -> T:
    """`call(*arguments)` in a child. `name` is what may be printed of the bytes that it decodes.
    Raises what it raises, or SourceInvalid: it crashed, or took longer than `wall_s`."""
    receiver, sender = _context.Pipe(duplex=False)
    child = _context.Process(
        target=_answer, args=(sender, os.getcwd(), call, arguments), daemon=True
    )
    child.start()
    sender.close()
    try:
        if not receiver.poll(wall_s):
            raise SourceInvalid(f"{name} takes longer than {wall_s:g} s to be looked at")
        outcome = receiver.recv()
    except EOFError:
        child.join()
        raise SourceInvalid(f"{name} makes its decoder {_end_of(child.exitcode or 0)}") from None
    finally:
        child.kill()
        child.join()
        receiver.close()
    if isinstance(outcome, StreamError):
        raise outcome
    return outcome  # type: ignore[no-any-return]


def _end_of(code: int) -> str:
    if code == -signal.SIGXCPU:
        return f"work for more than {CPU_S} s; it is damaged, or made to do that"
    why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"crash ({why}); it is damaged, or made to do that"


def _answer(sender: Connection, folder: str, call: Callable[..., T], arguments: Any) -> None:
    """The child: Ctrl-C is for its parent, which ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.chdir(folder)
    confine(CPU_S)
    outcome: Any
    try:
        outcome = call(*arguments)
    except StreamError as error:
        outcome = error
    except MemoryError:
        outcome = SourceInvalid("an input asks for more memory than it may have; is it damaged?")
    except Exception as error:  # noqa: BLE001  the boundary of a process, as of a stage
        outcome = StreamError(f"unforeseen, please report it: {type(error).__name__}: {error}")
    sender.send(outcome)


def _end_with_parent() -> None:
    """A parent that was killed cannot end its children; they may wait for a network."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def confine(cpu_s: int | None = None) -> None:
    """Limits this process from now on, where the system can do that."""
    try:
        import resource
    except ImportError:
        return
    _lower(resource.RLIMIT_CORE, 0)
    if cpu_s is not None:
        _lower(resource.RLIMIT_CPU, cpu_s)
    if Path("/proc/self/statm").exists():
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + MEMORY_BYTES)
        _lower(resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd")) + FILES)


def _lower(which: int, to: int) -> None:
    import resource

    _, most = resource.getrlimit(which)
    to = to if most == resource.RLIM_INFINITY else min(to, most)
    resource.setrlimit(which, (to, most))
