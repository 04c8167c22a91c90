"""A user and a password for a network source that stand in a file or the environment, not on the
command line, which every user of a machine can read."""

import os
from pathlib import Path
from urllib.parse import quote

from pipeline.address import scheme_of, shown, split_user
from pipeline.errors import ConfigError

SCHEMES = {"rtsp", "rtspu", "rtsps", "rtmp", "rtmps", "http", "https", "hls+http", "hls+https"}
MOST_BYTES = 4096
PASSWORD = "STYLESTREAM_PASSWORD"
"""Variable that holds the password where no file does."""


def with_access(source: str, user: str | None, password_file: str | None) -> str:
    """The address `source` with both in it, for those who open it; never to be shown but by
    `shown`. ConfigError: they make no sense there, or the file cannot be read."""
    if user is None and password_file is None:
        return source
    if user is None:
        raise ConfigError("--password-file goes with --user")
    if password_file is None and PASSWORD not in os.environ:
        raise ConfigError(f"--user needs --password-file, or {PASSWORD} in the environment")
    if scheme_of(source) not in SCHEMES:
        raise ConfigError(f"--user is for {', '.join(sorted(SCHEMES))}, not for {shown(source)}")
    scheme, _, rest = source.partition("://")
    if split_user(rest)[0]:
        raise ConfigError(f"{shown(source)} has a user in it already: leave one of both out")
    word = os.environ[PASSWORD] if password_file is None else _password(Path(password_file))
    return f"{scheme}://{quote(user, '')}:{quote(word, '')}@{rest}"


def _password(path: Path) -> str:
    """The line in a file; the end of the line is no part of it."""
    try:
        with path.open("rb") as file:
            word = file.read(MOST_BYTES + 1).decode().rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"cannot read the password file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the password file {path} holds no text") from None
    if not word or not word.isprintable() or len(word) >= MOST_BYTES:
        raise ConfigError(f"the password file {path} must hold one line: the password")
    return word
