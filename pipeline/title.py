"""What other users of the machine see of the command (`ps`): no passwords and no stream keys."""

import re
import sys

from setproctitle import setproctitle

from pipeline.address import shown


def hide_secrets() -> None:
    """Name this process by its command as it may be shown, where that differs from it."""
    words = [redacted(word) for word in sys.orig_argv]
    if words != sys.orig_argv:
        setproctitle(" ".join(words))


def redacted(word: str) -> str:
    """`--output=rtmp://host/live/key` -> --output=rtmp://host/live/..."""
    return re.sub(r"[A-Za-z][\w+.-]*://.*", lambda found: shown(found[0]), word, flags=re.DOTALL)
