"""An RTSP server on loopback for tests, by GStreamer: run by the system's python3, which has it.

    python3 rtsp_server.py PORT [USER PASSWORD basic|digest [CERTIFICATE]]

It prints its port, then serves `/cam`: pictures at 25 a second whose grey tells their number, white
at each whole second, with a beep of 100 ms at the same moment; `/mute` the same without sound, of
`/lossy` one packet in twenty is missing. With a certificate (and its key, as PEM) it speaks TLS: rtsps://.
Lines on stdin change what is sent: `size 128 96`, `jump 3600` (seconds in all time stamps), `hush`
(no picture any more, connections stay). What clients publish at `/in` goes to the file that
`record PATH` names, as H.264.
"""

import math
import struct
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtspServer  # noqa: E402

RATE, HZ = 25, 48_000
TICK = Gst.SECOND // RATE
SIZE = 160, 96


def pictures(width: int, height: int) -> str:
    """What they are, as GStreamer says it."""
    return f"video/x-raw,format=I420,width={width},height={height},framerate={RATE}/1"


VIDEO = (
    f"appsrc name=video format=time is-live=true caps={pictures(*SIZE)} "
    "! queue max-size-time=0 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=12 "
    "bitrate=600 ! rtph264pay name=pay0"
)
SOUND = (
    " appsrc name=sound format=time is-live=true "
    f"caps=audio/x-raw,format=S16LE,rate={HZ},channels=1,layout=interleaved "
    "! queue max-size-time=0 ! audioconvert ! opusenc ! rtpopuspay name=pay1 pt=97"
)
BEEP = b"".join(
    struct.pack("<h", round(12_000 * math.sin(2 * math.pi * 880 * i / HZ))) for i in range(HZ // 10)
)
BEEP += bytes(2 * HZ - len(BEEP))


class Camera:
    """What one shared medium sends; the number of the picture goes on while it is watched."""

    def __init__(self) -> None:
        self.size = SIZE
        self.jump_s = 0
        self.hushed = False
        self.media: list[GstRtspServer.RTSPMedia] = []

    def configured(self, _factory: object, media: GstRtspServer.RTSPMedia) -> None:
        """Someone came: feed the pipeline that was made for him."""
        self.media.append(media)
        pipeline = media.get_element()
        video, sound = pipeline.get_by_name("video"), pipeline.get_by_name("sound")
        state = {"number": 0, "size": SIZE, "gone": False}
        media.connect("unprepared", lambda *_: state.update(gone=True))
        GLib.timeout_add(1000 // RATE, self.feed, video, sound, state)

    def feed(self, video: Gst.Element, sound: Gst.Element | None, state: dict) -> bool:
        """One picture and its sound."""
        if state["gone"]:
            return False
        if self.hushed:
            return True
        number = state["number"]
        state["number"] += 1
        if state["size"] != self.size:
            state["size"] = self.size
            video.set_caps(Gst.Caps.from_string(pictures(*self.size)))
        self.push(video, number, picture(number, *self.size))
        if sound is not None:
            part = number % RATE * 2 * HZ // RATE
            beep = BEEP[part : part + 2 * HZ // RATE] if number >= RATE else bytes(2 * HZ // RATE)
            self.push(sound, number, beep)
        return True

    def push(self, source: Gst.Element, number: int, data: bytes) -> None:
        """Hand it over, with its time."""
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts = number * TICK + self.jump_s * Gst.SECOND
        buffer.duration = TICK
        source.emit("push-buffer", buffer)


def picture(number: int, width: int, height: int) -> bytes:
    """I420: grey 30 + 2 * (number % 100), white at whole seconds."""
    grey = 235 if number % RATE == 0 and number else 30 + 2 * (number % 100)
    return bytes([grey]) * (width * height) + bytes([128]) * (width * height // 2)


def listen(camera: Camera, mounts: GstRtspServer.RTSPMountPoints) -> None:
    """Do what the lines on stdin say; end with them."""
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "size":
            camera.size = (int(rest[0]), int(rest[1]))
        elif word == "jump":
            camera.jump_s += int(rest[0])
            for media in camera.media:
                media.set_rate_control(False)  # an hour would be waited for
        elif word == "hush":
            camera.hushed = True
        elif word == "record":
            factory = GstRtspServer.RTSPMediaFactory()
            factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
            factory.set_launch(
                "( rtph264depay name=depay0 ! video/x-h264,stream-format=byte-stream ! "
                f"filesink location={rest[0]} async=false sync=false )"
            )
            mounts.add_factory("/in", factory)
        print("done", flush=True)
    loop.quit()


def guarded(
    server: GstRtspServer.RTSPServer, user: str, password: str, kind: str, certificate: str = ""
) -> None:
    """Let in only who knows the password, with a certificate by TLS."""
    auth = GstRtspServer.RTSPAuth()
    if certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(certificate))
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    if kind == "basic":
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    else:
        auth.set_supported_methods(gi.repository.GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    server.set_auth(auth)


def factories(camera: Camera, role: bool) -> dict[str, GstRtspServer.RTSPMediaFactory]:
    """What is served at which path."""
    lossy = VIDEO.replace("rtph264pay", "rtph264pay ! identity drop-probability=0.05")
    made = {"/cam": f"( {VIDEO} {SOUND} )", "/mute": f"( {VIDEO} )", "/lossy": f"( {lossy} )"}
    found = {}
    for path, launch in made.items():
        factory = found[path] = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(launch)
        factory.set_shared(True)
        factory.connect("media-configure", camera.configured)
        if role:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role("user", "media.factory.access", True)
            permissions.add_permission_for_role("user", "media.factory.construct", True)
            factory.set_permissions(permissions)
    return found


Gst.init(None)
loop = GLib.MainLoop()
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
camera, mounts = Camera(), server.get_mount_points()
for path, factory in factories(camera, role=len(sys.argv) > 2).items():
    mounts.add_factory(path, factory)
if len(sys.argv) > 2:
    guarded(server, *sys.argv[2:6])
if not server.attach(None):
    sys.exit("the port is taken")
print(server.get_bound_port(), flush=True)
threading.Thread(target=listen, args=(camera, mounts), daemon=True).start()
loop.run()
