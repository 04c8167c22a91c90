"""Everything that can go wrong, as one tree. Each message is one line for the user.

    StreamError                      exit 1
    |- ConfigError                   exit 2   an option, style or config that makes no sense
    |- SourceError                   exit 1
    |  |- SourceInvalid              exit 1   not there, not readable, no video in it, damaged
    |  `- SourceLost                 exit 3   was there and went away for good
    |- EngineError                   exit 1   weights, device or runtime of a model
    |- SinkError                     exit 1   cannot be written: exists, no codec, disk full
    `- StageFailed                   exit 1   a stage died or hung again and again, or raised

Exceptions of FFmpeg, Ray and runtimes are mapped where they are called. Any of these travels
between processes by its message alone.
"""


class StreamError(Exception):
    """Base of all errors with a message for the user."""

    exit_code = 1


class ConfigError(StreamError):
    """The request makes no sense; nothing was started."""

    exit_code = 2


class SourceError(StreamError):
    """Something about the input."""


class SourceInvalid(SourceError):
    """The input is missing, unreadable, empty, damaged or holds no video. Trying again is vain."""


class SourceLost(SourceError):
    """A live input went away for good."""

    exit_code = 3


class EngineError(StreamError):
    """A model cannot be loaded or run."""


class SinkError(StreamError):
    """The output cannot be written."""


class StageFailed(StreamError):
    """A stage raised something unforeseen, or was started again in vain."""
