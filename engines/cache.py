"""Things that are made once per machine and used again: graphs, measurements.

They lie in a folder of the user's (STYLESTREAM_CACHE, or ~/.cache/stylestream), each beside its
SHA-256. What is damaged or foreign does not match and is made again, never loaded. Of several
processes that want the same thing one makes it and the others wait.
"""

import errno
import functools
import os
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from filelock import FileLock


def folder() -> Path:
    """Where they lie; made when missing, for this user alone. OSError when that cannot be."""
    named = os.environ.get("STYLESTREAM_CACHE")
    if named:
        path = Path(named)
    elif sys.platform == "win32":
        path = Path(os.environ.get("LOCALAPPDATA", Path.home())) / "stylestream"
    else:
        path = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "stylestream"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "geteuid"):
        about = path.stat()
        if about.st_uid not in (os.geteuid(), 0) or about.st_mode & 0o022:
            # Whoever can write here could put a graph in place that is then run.
            raise PermissionError(
                errno.EPERM,
                "others can write to it: chmod go-w, or set STYLESTREAM_CACHE",
                str(path),
            )
    return path


def obtain(name: str, make: Callable[[Path], None]) -> Path:
    """The file of this name, which `make` writes where it does not exist or is damaged."""
    path = folder() / name
    digest = path.with_name(name + ".sha256")
    with FileLock(path.with_name(name + ".lock")):
        if not sound(path, digest):
            part = path.with_name("part-" + name)
            make(part)
            digest.write_text(sha256(part.read_bytes()).hexdigest())
            part.replace(path)
    return path


def forget(name: str) -> None:
    """Let `obtain` make it anew."""
    (folder() / name).unlink(missing_ok=True)


@functools.cache
def code_version() -> str:
    """Changes with the code that makes graphs: 16 hexadecimal digits."""
    return digest_of("bearing.py", "choice.py", "graph.py", "precision.py")


@functools.cache
def engines_version() -> str:
    """Changes with the code of any engine, which may make another the fastest; as code_version."""
    return digest_of("*.py")


def digest_of(*patterns: str) -> str:
    """Of the code of all models, and of the files here that are named so."""
    here = Path(__file__).parent
    own = (path for pattern in patterns for path in sorted(here.glob(pattern)))
    sources = [*sorted((here.parent / "models").glob("*.py")), *own]
    return sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def holds(name: str) -> bool:
    """Whether `obtain` would make nothing."""
    path = folder() / name
    return sound(path, path.with_name(name + ".sha256"))


def sound(path: Path, digest: Path) -> bool:
    """Whether a file is there and is what was written."""
    if not path.is_file() or not digest.is_file():
        return False
    return sha256(path.read_bytes()).hexdigest() == digest.read_text().strip()
