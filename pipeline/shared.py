"""A stylizer for several streams at once: one process, each model in memory once, frames in turn.

The streams are programs of their own (streams.py), with readers and writers of their own; they meet
in a Ray that the program above them has started. Whoever comes first starts the stylizer, and who
finds it dead starts it again: a stream's part of it can be rebuilt from what that stream hands in.
"""

from typing import Any

from pipeline.pool import PoolHandle
from pipeline.stages import Work
from pipeline.stylizer import Look, Stylizer


class SharedStylizer:
    """The stylizers of all streams, by their names. Calls about frames come one at a time, and
    beside them, in order, those that make ready: a stream that joins holds no other up."""

    def __init__(self) -> None:
        self._stylizers: dict[str, Stylizer] = {}

    def join(self, stream: str, pool: PoolHandle, look: Look) -> None:
        """Have a stylizer for the frames in a stream's pool, which is to be opened."""
        self._stylizers[stream] = Stylizer(pool, look)

    def leave(self, stream: str) -> Work:
        """Let go of all that is that stream's."""
        if stylizer := self._stylizers.pop(stream, None):
            stylizer.close()
        return Work()

    def call(self, stream: str, method: str, *arguments: Any) -> Work:
        """A method of that stream's stylizer."""
        work: Work = getattr(self._stylizers[stream], method)(*arguments)
        return work
