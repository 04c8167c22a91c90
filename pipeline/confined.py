"""Bytes of strangers are decoded in child processes with limits of memory, time and open files.

A decoder that crashes, hangs or wants memory without end then ends as one line, not as our end. It
is a wall against accidents, not a sandbox: a child runs as the same user.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import SourceInvalid, StreamError

T = TypeVar("T")

MEMORY_BYTES = 3 << 30
"""Beyond what a process has when it begins to decode: the largest frames, with those they refer
to."""
WALL_S = 60.0
LISTEN_S = 0.5
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
    name: str,
    call: Callable[..., T],
    *arguments: Any,
    wall_s: float | None = WALL_S,
    bounded: bool = True,
) -> T:
    """`call(*arguments)` in a child. `name` is what may be printed of the bytes that it decodes.
    Raises what it raises, or SourceInvalid: it crashed, or took longer than `wall_s`. None: it may
    wait for days, and no limit of CPU time holds either. `bounded`: see `confine`."""
    answer = partial(_answer, CPU_S if wall_s is not None else None, bounded)
    with _child(answer, call, arguments) as (child, receiver):
        return _heard(name, child, receiver, wall_s)  # type: ignore[no-any-return]


def streamed(name: str, call: Callable[..., Iterable[T]], *arguments: Any) -> Iterator[T]:
    """One after another what `call(*arguments)` yields in a child, which is at most one ahead and
    has WALL_S for each. Raises as `confined` does."""
    with _child(_answer_each, call, arguments) as (child, receiver):
        while (item := _heard(name, child, receiver, WALL_S)) is not None:
            yield item[0]


@contextmanager
def _child(
    answer: Callable[..., None], call: Callable[..., Any], arguments: Any
) -> Iterator[tuple[Any, Connection]]:
    """A child that answers with `call(*arguments)`, ended in any case."""
    receiver, sender = _context.Pipe(duplex=False)
    child = _context.Process(
        target=answer, args=(sender, os.getcwd(), call, arguments), daemon=True
    )
    child.start()
    sender.close()
    try:
        yield child, receiver
    finally:
        child.kill()
        child.join()
        receiver.close()


def _heard(name: str, child: Any, receiver: Connection, wall_s: float | None) -> Any:
    began = time.monotonic()
    try:
        # A signal that comes just before a wait does not end it: so none is long.
        while not receiver.poll(LISTEN_S if wall_s is None else min(LISTEN_S, wall_s)):
            if wall_s is not None and time.monotonic() - began >= wall_s:
                raise SourceInvalid(f"{name} takes longer than {wall_s:g} s to be looked at")
        outcome = receiver.recv()
    except EOFError:
        child.join()
        raise SourceInvalid(f"{name} makes its decoder {_end_of(child.exitcode or 0)}") from None
    if isinstance(outcome, StreamError):
        raise outcome
    return outcome


def _end_of(code: int) -> str:
    if code == -signal.SIGXCPU:
        return f"work for more than {CPU_S} s; it is damaged, or made to do that"
    why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"crash ({why}); it is damaged, or made to do that"


def _answer(
    cpu_s: int | None,
    bounded: bool,
    sender: Connection,
    folder: str,
    call: Callable[..., T],
    arguments: Any,
) -> None:
    """The child of `confined`."""
    with _settled(sender, folder, cpu_s, bounded):
        sender.send(call(*arguments))


def _answer_each(
    sender: Connection, folder: str, call: Callable[..., Iterable[T]], arguments: Any
) -> None:
    """The child of `streamed`."""
    with _settled(sender, folder, None):
        for item in call(*arguments):
            sender.send((item,))
        sender.send(None)


@contextmanager
def _settled(
    sender: Connection, folder: str, cpu_s: int | None, bounded: bool = True
) -> Iterator[None]:
    """Within limits; an error is the answer. Ctrl-C is for the parent, which ends this child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.chdir(folder)
    confine(cpu_s, bounded=bounded)
    try:
        yield
    except StreamError as error:
        sender.send(error)
    except MemoryError:
        sender.send(SourceInvalid("an input asks for more memory than it may have; is it damaged?"))
    except Exception as error:  # noqa: BLE001  the boundary of a process, as of a stage
        sender.send(StreamError(f"unforeseen, please report it: {type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    """A parent that was killed cannot end its children; they may wait for a network."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def confine(
    cpu_s: int | None = None,
    beside_bytes: int = 0,
    files: int | None = FILES,
    bounded: bool = True,
) -> None:
    """Limits this process from now on, where the system can do that. `beside_bytes`: memory that
    it may need for other things than decoding; `files`: that it may open, None for any number;
    `bounded`: its memory, which is counted in addresses, and drivers of GPUs map far more of those
    than they use."""
    try:
        import resource
    except ImportError:
        return
    _lower(resource.RLIMIT_CORE, 0)
    if cpu_s is not None:
        _lower(resource.RLIMIT_CPU, cpu_s)
    if Path("/proc/self/statm").exists():
        if bounded:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + MEMORY_BYTES + beside_bytes)
        if files is not None:
            _lower(resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd")) + files)


def _lower(which: int, to: int) -> None:
    import resource

    _, most = resource.getrlimit(which)
    to = to if most == resource.RLIM_INFINITY else min(to, most)
    resource.setrlimit(which, (to, most))
