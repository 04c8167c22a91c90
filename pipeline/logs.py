"""What the program says, on standard error: lines for people, or one JSON object on each line."""

import io
import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

FORMS = ("text", "json")
COLOUR = re.compile(r"\x1b\[[\d;]*m")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
Facts = dict[str, Any]
LOG = logging.getLogger("stylestream")
PREFIXES = {logging.WARNING: "note: ", logging.ERROR: "error: "}


class Text(logging.Formatter):
    """The message, after a word that says how serious it is."""

    def format(self, record: logging.LogRecord) -> str:
        # What strangers have put into a name must not make another line.
        return PREFIXES.get(record.levelno, "") + CONTROL.sub(" ", record.getMessage())


class Json(logging.Formatter):
    """`time` (UTC), `level`, `message`, and what else is known, by name."""

    def format(self, record: logging.LogRecord) -> str:
        about = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage().strip(),
        }
        return json.dumps(about | getattr(record, "facts", {}))


class Printed(io.TextIOBase):
    """A standard output whose lines are said as notes: Ray prints some."""

    def write(self, text: str) -> int:
        for line in filter(None, map(str.strip, text.splitlines())):
            note(COLOUR.sub("", line))
        return len(text)


def speak(form: str) -> None:
    """From now on in one of FORMS."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if form == "json" else Text())
    LOG.handlers, LOG.propagate = [handler], False
    LOG.setLevel(logging.INFO)
    if form == "json":  # what libraries warn of would be lines of another kind
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").handlers = [handler]
        sys.stdout = Printed()


def say(text: str, level: int = logging.INFO, facts: Facts | None = None) -> None:
    """One line for the user; `facts` are for programs only."""
    LOG.log(level, "%s", text, extra={"facts": facts or {}})


def note(text: str, facts: Facts | None = None) -> None:
    """Something to know that is not an error."""
    say(text, logging.WARNING, facts)
