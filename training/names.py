"""Names of files as they can be said."""

import os
from pathlib import Path


def printable(name: str | Path) -> str:
    """The name, or a line that has it, with bytes that are no UTF-8 written out as \\xe9: standard
    output and text files take no others. Different names stay different."""
    return os.fsencode(name).decode(errors="backslashreplace")
