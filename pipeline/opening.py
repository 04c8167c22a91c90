"""The only place that opens media for reading: which schemes and formats, which limits, and one
clear line for everything that can be wrong. Used by sources and by the copying of sound."""

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import av
import av.logging
from av.audio.stream import AudioStream
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import (
    ArgumentError,
    DecoderNotFoundError,
    ExitError,
    FFmpegError,
    HTTPForbiddenError,
    HTTPNotFoundError,
    HTTPServerError,
    HTTPUnauthorizedError,
    InvalidDataError,
    ProtocolNotFoundError,
)
from av.stream import Disposition
from av.video.stream import VideoStream

from pipeline.address import quoted, scheme_of, shown, unknown_host
from pipeline.errors import (
    CodecUnknown,
    DecoderLost,
    SourceError,
    SourceForbidden,
    SourceInvalid,
    SourceLost,
    SourceMissing,
    SourceRefused,
    SourceSilent,
)
from pipeline.hardware import lacks
from pipeline.limits import MAX_PIXELS, MAX_SIDE_PX, MAX_STREAMS, fits, hears
from pipeline.redirects import landed
from pipeline.srt import Pipe

CAMERA_S = 5.0
REDIRECT_S = 5.0
NETWORK_S = (10.0, 30.0)

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,live_flv,mpeg,mpegts,mpegvideo,mpeg1video,"
    "mpeg2video,m4v,h261,h263,h264,hevc,vvc,av1,obu,ivf,asf,ogg,mxf,gif,apng,yuv4mpegpipe,dv,rm,"
    "nut,vc1,wtv,dirac,mjpeg,swf,bink,smk,amv,nsv,roq,flic,mpjpeg,rtsp,sdp,rtp,wav,mp3,flac,aac"
)
"""Demuxers that read one stream of bytes. No playlists, no scripts, no lavfi: those open others."""

PICTURE_FORMATS = {
    ".png": "png_pipe",
    ".jpg": "jpeg_pipe",
    ".jpeg": "jpeg_pipe",
    ".webp": "webp_pipe",
    ".bmp": "bmp_pipe",
    ".tif": "tiff_pipe",
    ".tiff": "tiff_pipe",
    ".ppm": "ppm_pipe",
}

PLAYLISTS = "hls," + FORMATS
"""With hls+http(s):// only, by which the user asks to follow a playlist wherever it leads."""

PROTOCOLS = {
    "file": "file",
    "http": "http,tcp",
    "https": "https,http,tls,tcp",
    "hls+http": "http,https,tls,tcp,crypto",
    "hls+https": "https,http,tls,tcp,crypto",
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtspu": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsps,rtsp,rtp,srtp,udp,tls,tcp",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tls,tcp",
    "udp": "udp",
    "tcp": "tcp",
}
"""What a URL of each scheme may open, itself included."""

COVERS = Disposition.attached_pic | Disposition.timed_thumbnails
"""Of streams that are pictures about a film, not its own."""
_LOCK = threading.Lock()
_listeners = 0
_UNHEARD = logging.NullHandler()
"""Of what other threads say meanwhile."""
_MAPPED = (FFmpegError, OSError, IndexError, UnicodeDecodeError, MemoryError, ValueError)
_REFUSED = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}


@contextmanager
def mapped(text: str) -> Iterator[None]:
    """Turns whatever FFmpeg raises into one line about `text`."""
    try:
        yield
    except SourceError:
        raise
    except _MAPPED as error:
        raise _as_source_error(text, error) from None


def _as_source_error(text: str, error: Exception) -> SourceError:
    name = shown(text)
    if scheme_of(text) not in ("", "file") and (found := network_error(name, error)):
        return found
    if isinstance(error, PermissionError):
        return SourceInvalid(f"{name} may not be read: check its permissions")
    if isinstance(error, DecoderNotFoundError):
        return CodecUnknown(f"{name} uses a codec this FFmpeg cannot decode; convert it first")
    if isinstance(error, (MemoryError, av.error.MemoryError)):
        return SourceInvalid(f"{name} asks for more memory than there is; it may be damaged")
    why = getattr(error, "strerror", None) or type(error).__name__
    if isinstance(error, ArgumentError):  # what a decoder says of more than max_pixels
        why = f"it is damaged, or has more than {MAX_PIXELS / 1e6:.1f} megapixels"
    return SourceInvalid(f"{name} is not a video this program can read ({why})")


def network_error(name: str, error: Exception) -> SourceError | None:
    code = getattr(error, "errno", None)
    if code in _REFUSED:
        return SourceRefused(f"{name} refuses: is the address right and the sender running?")
    if isinstance(error, (HTTPUnauthorizedError, HTTPForbiddenError)):
        return SourceForbidden(f"{name} wants another user and password (scheme://user:word@host)")
    if isinstance(error, HTTPNotFoundError):
        return SourceMissing(f"{name} is not there; check the path behind the host")
    if isinstance(error, HTTPServerError):
        return SourceLost(f"{name} answers with an error of its own; look into the server's log")
    if isinstance(error, ProtocolNotFoundError):
        return SourceInvalid(f"{name}: this FFmpeg does not know that protocol")
    if isinstance(error, (ExitError, TimeoutError)):
        return SourceSilent(f"{name} sends nothing; is the sender running?")
    if isinstance(error, (OSError, ValueError)) and not isinstance(error, PermissionError):
        return SourceLost(f"{name} sends nothing that can be read; is it the right address?")
    return None


def _local(text: str) -> str:
    """A path as the one spelling that FFmpeg takes for nothing but a file."""
    path, name = Path(text.removeprefix("file:")), shown(text)
    if not path.exists():
        raise SourceMissing(f"{name} does not exist; check the spelling of the path")
    if path.is_dir():
        raise SourceInvalid(f"{name} is a folder; give a video file, or a folder of pictures")
    if not path.is_file():
        raise SourceInvalid(f"{name} is no file but a device or a pipe, which cannot be read twice")
    if not os.access(path, os.R_OK):
        raise SourceInvalid(f"{name} may not be read: check its permissions")
    if path.stat().st_size == 0:
        raise SourceInvalid(f"{name} is empty (0 bytes); copy or download it again")
    return "file:" + os.path.abspath(path)


def open_media(
    text: str,
    form: str | None = None,
    options: dict[str, str] | None = None,
    timeout_s: float | tuple[float, float] | None = None,
    hardware: str | None = None,
) -> InputContainer:
    """Opens a file or URL within the limits, or raises SourceInvalid or SourceLost. `timeout_s`: of
    everything, or of opening and of each read; NETWORK_S for URLs where none is given. `hardware`:
    the kind of device that decodes; DecoderLost when it does not."""
    scheme = scheme_of(text) or "file"
    if timeout_s is None and scheme != "file":
        timeout_s = NETWORK_S
    if scheme not in PROTOCOLS or (scheme != "file" and not urlsplit(quoted(text)).netloc):
        raise SourceInvalid(
            f"{shown(text)}: no such kind of input; known are {', '.join(PROTOCOLS)}"
        )
    url = _local(text) if scheme == "file" else quoted(text).removeprefix("hls+")
    if scheme == "rtspu":  # as others call RTSP whose pictures come by UDP
        url = "rtsp" + url[len(scheme) :]
    try:
        return _opened(text, url, scheme, form, options or {}, timeout_s, hardware)
    except SourceLost as error:
        if type(error) is SourceLost and (unknown := unknown_host(text)):
            raise unknown from None
        # A redirect that it was told not to follow looks like any failed read.
        if scheme not in ("http", "https") or isinstance(error, (SourceRefused, SourceSilent)):
            raise
        further = landed(url, shown(text), REDIRECT_S)
        if further == url:
            raise
    return _opened(text, further, scheme_of(further), form, options or {}, timeout_s, hardware)


def _opened(
    text: str,
    url: str,
    scheme: str,
    form: str | None,
    options: dict[str, str],
    timeout_s: float | tuple[float, float] | None,
    hardware: str | None,
) -> InputContainer:
    if scheme.startswith("hls+"):
        form, formats = "hls", PLAYLISTS
    else:
        formats = form or FORMATS
    limits = {
        "protocol_whitelist": PROTOCOLS[scheme],
        "format_whitelist": formats,
        "max_streams": str(MAX_STREAMS),
        "max_pixels": str(MAX_PIXELS),
    }
    if scheme in ("http", "https"):
        limits["max_redirects"] = "0"
    limit_s = timeout_s[0] if isinstance(timeout_s, tuple) else timeout_s
    with mapped(text), _patient(text, limit_s), _by(hardware, text) as device:
        return av.open(
            url,
            mode="r",
            format=form,
            options=limits | options,
            metadata_errors="replace",
            timeout=timeout_s,
            hwaccel=device,
        )


@contextmanager
def _by(hardware: str | None, text: str) -> Iterator[HWAccel | None]:
    """Tells a device that fails from an input that does: FFmpeg has the same errors for both."""
    if hardware is None:
        yield None
        return
    try:
        yield HWAccel(hardware, allow_software_fallback=False)
    except (RuntimeError, *_MAPPED) as error:
        # av's own, not FFmpeg's: no stream has a decoder that knows the device
        why = str(error) if type(error) is RuntimeError else lacks(hardware)
        if not why:
            raise
        raise DecoderLost(f"{shown(text)}: {hardware} does not decode it ({why})") from None


@contextmanager
def _patient(text: str, limit_s: float | None) -> Iterator[None]:
    """RTSP calls it invalid data when nothing comes in time."""
    began = time.monotonic()
    try:
        yield
    except InvalidDataError:
        if limit_s is None or time.monotonic() - began < limit_s:
            raise
        raise SourceSilent(f"{shown(text)} sends nothing; is the sender running?") from None


def open_pipe(
    pipe: Pipe,
    text: str,
    options: dict[str, str],
    form: str = "mpegts",
    hardware: str | None = None,
) -> InputContainer:
    """Opens what comes through `pipe` from the address `text`, as MPEG-TS or another form.
    `hardware`: see `open_media`."""
    limits = {"max_streams": str(MAX_STREAMS), "max_pixels": str(MAX_PIXELS)}
    with mapped(text), _by(hardware, text) as device:
        return av.open(pipe, mode="r", format=form, options=limits | options, hwaccel=device)


def camera_log(system: str, device: str, options: dict[str, str]) -> list[str]:
    """What a capture system of FFmpeg says when it is asked for what there is: cameras and their
    modes it tells only through its log."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        with av.logging.Capture() as messages:
            av.open(device, format=system, options=options).close()
    except (FFmpegError, ValueError):
        pass  # it gives up once it has told them, and is not in every FFmpeg
    finally:
        av.logging.set_level(before)
    return [text for _, _, text in messages]


def open_camera(text: str, device: str, system: str, options: dict[str, str]) -> InputContainer:
    """Opens the camera `device` by a capture system of FFmpeg; `text` is what the user wrote."""
    with mapped(text):
        return av.open(device, format=system, options=options, timeout=(CAMERA_S, CAMERA_S))


@contextmanager
def missed(watched: bool) -> Iterator[Callable[[], bool]]:
    """Asks whether packets of RTP got lost since it was asked before, by what FFmpeg says in this
    thread: neither packets nor pictures tell. Never, unless `watched`."""
    if not watched:
        yield lambda: False
        return
    with _listening(), av.logging.Capture() as messages:

        def asked() -> bool:
            found = any(text.startswith("RTP: missed") for _, _, text in messages)
            messages.clear()
            return found

        yield asked


@contextmanager
def _listening() -> Iterator[None]:
    """FFmpeg speaks, as long as anyone here listens: for good, it would wait for Python in places
    where Python waits for it."""
    global _listeners
    with _LOCK:
        _listeners += 1
        logging.getLogger("libav").addHandler(_UNHEARD)
        logging.getLogger("libav").propagate = False
        av.logging.set_level(av.logging.WARNING)
        av.logging.set_skip_repeated(False)
    try:
        yield
    finally:
        with _LOCK:
            _listeners -= 1
            if not _listeners:
                av.logging.set_level(None)
                av.logging.set_skip_repeated(True)


def video_of(container: InputContainer, text: str) -> VideoStream:
    """The first real video stream, ready to decode within the limits."""
    streams = [s for s in container.streams.video if not s.disposition & COVERS]
    if not streams:
        raise SourceInvalid(f"{shown(text)} holds {_content(container)} but no video")
    decodable = [s for s in streams if s.codec_context is not None]
    if not decodable:
        raise CodecUnknown(
            f"{shown(text)} uses a codec this FFmpeg cannot decode; convert it first"
        )
    stream = decodable[0]
    check_size(stream.width, stream.height, text)
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def sound_of(container: InputContainer) -> AudioStream | None:
    """The first sound stream that can be decoded, within the limits."""
    known = (s for s in container.streams.audio if s.codec_context is not None)
    return next((s for s in known if hears(s.codec_context.sample_rate, s.channels)), None)


def check_size(width: int, height: int, text: str) -> None:
    """Refuses pictures that are too large to be safe."""
    if not fits(width, height):
        raise SourceInvalid(
            f"{shown(text)} is {width}x{height}; at most {MAX_PIXELS / 1e6:.1f} megapixels and "
            f"{MAX_SIDE_PX} px a side are read"
        )


def _content(container: InputContainer) -> str:
    if container.streams.audio:
        return "sound"
    return "a still picture" if container.streams.video else "data"
