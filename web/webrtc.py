"""The stream by WebRTC: encoded once, as H.264, for all who watch it in the same way.

Each viewer has a short queue of packets; one that falls behind goes on at the next key frame.
"""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction
from threading import Lock
from typing import Any

import aioice.ice
import av
from aiortc import (
    InvalidStateError,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import MediaStreamError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from pipeline import color
from pipeline.frame import ColorTags
from pipeline.sinks._relay import TIME_BASE
from web.screen import MOST_PX, STILL_S, Pixels, Screen

MOST_WAITING = 30
KEY_S = 2.0
RATE = 25
CONNECT_S = 10.0
TAGS = ColorTags("bt709", "tv", "bt709", "bt709")
SETTINGS = {
    "preset": "superfast",
    "tune": "zerolatency",
    "profile": "baseline",
    "crf": "21",
    "maxrate": "10M",
    "bufsize": "5M",
    "forced-idr": "1",
}


class Viewer(VideoStreamTrack):
    """One who watches: packets from a key frame on."""

    def __init__(self) -> None:
        super().__init__()
        self._packets: asyncio.Queue[Packet[Any] | None] = asyncio.Queue(MOST_WAITING)
        self.waits_for_key = True

    def offer(self, packet: Packet[Any]) -> None:
        """The next packet; a queue that is full is given up until a key frame comes."""
        if self._packets.full():
            while not self._packets.empty():
                self._packets.get_nowait()
            self.waits_for_key = True
        if not self.waits_for_key or packet.is_keyframe:
            self.waits_for_key = False
            self._packets.put_nowait(packet)

    async def recv(self) -> Any:
        """What is sent next. aiortc packs it as it is."""
        packet = await self._packets.get()
        if packet is None or self.readyState != "live":
            raise MediaStreamError
        return packet


class Channel:
    """All who watch the stream in one way: alone, or with the input beside it."""

    def __init__(self, screen: Screen, beside: bool) -> None:
        self._screen, self._beside = screen, beside
        self._viewers: set[Viewer] = set()
        self._codec: VideoCodecContext | None = None
        self._key_s = self._zero_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self._encoding = Lock()  # a task that is cancelled leaves its thread behind

    def join(self, viewer: Viewer) -> None:
        """Shown to one more."""
        self._viewers.add(viewer)
        self._key_s = 0.0  # who joins needs a key frame
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def leave(self, viewer: Viewer) -> None:
        """To one less."""
        self._viewers.discard(viewer)
        viewer.stop()
        if not self._viewers and self._task is not None:
            self._task.cancel()
            self._task = self._codec = None

    async def _run(self) -> None:
        """One frame after the other, the newest each time; a still picture once a while."""
        while True:
            if self._screen.shows(self._beside):
                pixels = self._screen.picture(self._beside, MOST_PX)
                for packet in await asyncio.to_thread(self._encoded, pixels):
                    for viewer in self._viewers:
                        viewer.offer(packet)
            await self._screen.next(STILL_S)

    def _encoded(self, pixels: Pixels) -> list[Packet[Any]]:
        with self._encoding:
            return self._packets_of(pixels)

    def _packets_of(self, pixels: Pixels) -> list[Packet[Any]]:
        h, w = pixels.shape[0] & ~1, pixels.shape[1] & ~1
        picture = color.to_yuv(pixels[:h, :w], "yuv420p", TAGS)
        now_s = time.monotonic()
        codec = self._codec
        if codec is None or (codec.width, codec.height) != (w, h):
            codec = self._codec = encoder(w, h)
            self._zero_s = now_s
        picture.pts, picture.time_base = round((now_s - self._zero_s) / TIME_BASE), TIME_BASE
        if now_s - self._key_s > KEY_S:
            self._key_s, picture.pict_type = now_s, PictureType.I
        return codec.encode(picture)


def encoder(width: int, height: int) -> VideoCodecContext:
    """H.264 without any delay."""
    codec = av.CodecContext.create("libx264", "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base, codec.options = TIME_BASE, SETTINGS
    codec.framerate = Fraction(RATE)  # x264 shares its bits out by it
    codec.gop_size = 1 << 20  # key frames come by time
    codec.thread_count = 1
    color.tag(codec, TAGS)
    return codec


class Connections:
    """All connections of one page."""

    def __init__(self, screen: Screen, host: str) -> None:
        self._screen = screen
        self._channels = {beside: Channel(screen, beside) for beside in (False, True)}
        self._open: dict[RTCPeerConnection, asyncio.Task[None]] = {}
        if host not in ("0.0.0.0", "::"):
            # aiortc listens on every address there is; the page only where it was asked to.
            aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [host]

    async def answer(self, offer: dict[str, Any], beside: bool) -> dict[str, str]:
        """To the offer of a browser. ValueError: it is none, or has no H.264."""
        if offer.get("type") != "offer" or not isinstance(offer.get("sdp"), str):
            raise ValueError("an offer is {type: 'offer', sdp: ...}")
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        viewer = Viewer()
        connection.addTrack(viewer)
        known = RTCRtpSender.getCapabilities("video").codecs
        form = [codec for codec in known if codec.mimeType == "video/H264"]
        connection.getTransceivers()[0].setCodecPreferences(form)
        try:
            await connection.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
            await connection.setLocalDescription(await connection.createAnswer())
        except (ValueError, AssertionError, LookupError, InvalidStateError) as error:
            await connection.close()
            raise ValueError("this offer cannot be answered") from error
        watching = asyncio.create_task(self._watch(connection, viewer, beside))
        self._open[connection] = watching
        said = connection.localDescription
        return {"type": said.type, "sdp": said.sdp}

    async def _watch(self, connection: RTCPeerConnection, viewer: Viewer, beside: bool) -> None:
        """From connecting to the end."""
        changed = asyncio.Event()
        connection.add_listener("connectionstatechange", changed.set)
        channel = self._channels[beside]
        try:
            async with asyncio.timeout(CONNECT_S):
                while connection.connectionState in ("new", "connecting"):
                    await changed.wait()
                    changed.clear()
            if connection.connectionState == "connected":
                with self._screen.watched(beside):
                    channel.join(viewer)
                    while connection.connectionState == "connected":
                        await changed.wait()
                        changed.clear()
        except TimeoutError:
            pass
        finally:
            channel.leave(viewer)
            del self._open[connection]
            await connection.close()

    async def close(self) -> None:
        """End all of them."""
        for watching in list(self._open.values()):
            watching.cancel()
        await asyncio.gather(*self._open.values(), return_exceptions=True)
