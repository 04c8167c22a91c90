"""`srt://host:port`, or `srt://:port?mode=listener`: MPEG-TS by SRT."""

from collections.abc import Iterator
from contextlib import contextmanager

from av.container import InputContainer

from pipeline import srt
from pipeline.address import no_address, shown, unknown_host
from pipeline.errors import SourceInvalid, SourceLost, SourceSilent
from pipeline.hardware import Device
from pipeline.opening import open_pipe
from pipeline.patience import Patience
from pipeline.sources import Source, SourceOptions
from pipeline.sources._feed import FIRST_FRAME_S
from pipeline.sources._live import LiveSource
from pipeline.sources.live import EVERY


def create(text: str, options: SourceOptions) -> Source:
    """The stream `text`. SourceInvalid where SRT is not to be had."""
    if why := srt.lacks():
        raise SourceInvalid(f"{shown(text)}: {why}")
    if not text.isprintable() or "://" not in text:
        raise SourceInvalid(f"{shown(text)}: write it like srt://host:9000?passphrase=...")
    if why := no_address(text):
        raise SourceInvalid(why)
    device, patience = Device(), Patience(FIRST_FRAME_S)
    return LiveSource(
        text,
        options,
        lambda _: connect(text, device, patience),
        listens=srt.listens(text),
        patience=patience,
        device=device,
    )


@contextmanager
def connect(text: str, device: Device, patience: Patience) -> Iterator[InputContainer]:
    """Open it for live reading. Its ffmpeg does not say why it fails."""
    with srt.receiving(text, FIRST_FRAME_S, patience) as pipe:
        try:
            container = open_pipe(pipe, text, EVERY, hardware=device.kind)
        except SourceSilent:
            raise
        except (SourceInvalid, SourceLost):
            raise unknown_host(text) or SourceLost(
                f"{shown(text)} cannot be reached: is the sender running, the passphrase right?"
            ) from None
        with container:
            yield container
