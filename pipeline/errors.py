"""Everything that can go wrong, as one tree. Each message is one line for the user.

    StreamError                      exit 1
    |- ConfigError                   exit 2   an option, style or config that makes no sense
    |- SourceError                   exit 1
    |  |- SourceInvalid              exit 1   not readable, no video in it, damaged
    |  |  |- SourceMissing           exit 1   there is nothing of that name
    |  |  |- SourceForbidden         exit 1   wants a user and a password, or another one
    |  |  `- CodecUnknown            exit 1   this FFmpeg cannot decode it
    |  |- DecoderLost                exit 1   hardware that decoded fails: a source goes on without
    |  `- SourceLost                 exit 3   a live input that went away for good
    |     |- HostUnknown             exit 3   no machine has that name, or no name can be asked for
    |     |- SourceRefused           exit 3   nobody listens at that address
    |     `- SourceSilent            exit 3   somebody listens, and sends nothing in time
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


class SourceMissing(SourceInvalid):
    """There is nothing of that name."""


class SourceForbidden(SourceInvalid):
    """The server wants a user and a password, or other ones."""


class CodecUnknown(SourceInvalid):
    """This FFmpeg has no decoder for the video."""


class DecoderLost(SourceError):
    """The hardware that decodes is gone, or gives up. Sources go on in software."""


class SourceLost(SourceError):
    """A live input is not there, or went away for good."""

    exit_code = 3


class HostUnknown(SourceLost):
    """No machine of that name is known."""


class SourceRefused(SourceLost):
    """Nobody listens at that address."""


class SourceSilent(SourceLost):
    """Somebody listens, but sends nothing in time."""


class EngineError(StreamError):
    """A model cannot be loaded or run."""


class SinkError(StreamError):
    """The output cannot be written."""


class StageFailed(StreamError):
    """A stage raised something unforeseen, or was started again in vain."""
