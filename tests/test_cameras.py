"""Cameras of macOS and Windows, by recorded lists in the place of such machines: what FFmpeg logs
about them (libavdevice/avfoundation.m and dshow.c: one string here is one call of av_log there),
and with which options they are opened then."""

from typing import Any

import av
import pytest
from av.error import ExitError, FFmpegError
from av.logging import log

from pipeline.cameras import cameras, listed, told
from pipeline.errors import SourceError, SourceInvalid, SourceMissing
from pipeline.sources import open_source, webcam

OPEN = av.open
WIDE, CAPTURE = r"@device_pnp_\\?\usb#vid_046d&pid_082d", r"@device_sw_{860BB310}\{A3FCE0F5}"

# dshow_cycle_devices: the name, each kind of what its pins give, the end of the line.
WINDOWS = ['"HD Pro Webcam"', " (video", ")", "\n", f'  Alternative name "{WIDE}"\n']
WINDOWS += ['"HD Pro Webcam 2"', " (none)", "\n", '  Alternative name "@device_sw_{1}"\n']
WINDOWS += ['"Capture"', " (audio", ", video", ")", "\n", f'  Alternative name "{CAPTURE}"\n']
WINDOWS += ['"Microphone"', " (audio", ")", "\n", '  Alternative name "@device_cm_{33D9}"\n']


def line(form: str, size: str, rates: str = "5 30", more: str = "") -> list[str]:
    """As dshow_cycle_formats logs one; `more`: what it knows of colours."""
    least, most = rates.split()
    said = f"  min s={size} fps={least} max s={size} fps={most}"
    return [f"  {form}", said, *([more] if more else []), "\n"]


RAW, JPEG, TAGS = "pixel_format=yuyv422", "vcodec=mjpeg", " (tv, bt470bg/bt709/unknown"
HD = ["DirectShow video device options (from video devices)\n"]
HD += [' Pin "Capture" (alternative pin name "0")\n', *line(RAW, "640x480")]
HD += line(RAW, "640x480", more=TAGS) + line(RAW, "1280x720", "5 10") + line(JPEG, "640x480")
HD += line(JPEG, "1280x720", "5 60.0002") + line("unknown compression type 0x30385056", "640x480")
SLOW = HD[:2] + line(RAW, "720x576", "25 25") + line(JPEG, "720x576", "25 25")
PER_DEVICE = {f"video={WIDE}": HD, f"video={CAPTURE}": SLOW}

MAC = ["AVFoundation video devices:\n", "[0] FaceTime HD Camera\n", "[1] USB Camera\n"]
MAC += ["[2] Capture screen 0\n", "AVFoundation audio devices:\n", "[0] MacBook Microphone\n"]
# Sizes and rates as people post them: of a FaceTime HD Camera, and of a grabber with fixed rates.
FACETIME = ["1920x1080@[1.000000 30.000000]fps", "1280x720@[1.000000 30.000000]fps"]
FACETIME += ["1080x1920@[1.000000 30.000000]fps", "640x480@[1.000000 30.000000]fps"]
FIXED = [f"640x480@[{rate} {rate}]fps" for rate in ("60.000240", "30.000030", "10.000000")]
FIXED += ["1280x720@[9.999900 9.999900]fps"]
TOLD = {"0": FACETIME, "1": FIXED}


class Machine:
    """FFmpeg on one that is not here: it logs the lists, and what is opened is a test picture."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, dict[str, str]]] = []
        self.refuses = False
        self.gives = "yuv420p"

    def open(self, file: Any, *, format: str | None = None, **rest: Any) -> Any:
        """As `av.open`."""
        if format not in ("dshow", "avfoundation"):
            return OPEN(file, format=format, **rest)
        options = rest["options"]
        if "list_devices" in options:
            said = WINDOWS if format == "dshow" else MAC
        elif "list_options" in options:
            said = PER_DEVICE[file]
        elif options.get("video_size") == "1x1":
            said = ["Selected video size (1x1) is not supported by the device.\n"]
            said += ["Supported modes:\n", *(f"  {mode}\n" for mode in TOLD[file])]
        else:
            self.opened.append((file, options))
            if self.refuses and "video_size" in options:
                raise FFmpegError(5, "Input/output error")
            form = f",format={self.gives}"
            return OPEN(f"testsrc2=size=64x64:rate=30{form}", format="lavfi")
        for message in said:
            log(av.logging.INFO, format, message)
        raise ExitError(1, "Immediate exit requested")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One whose cameras can be asked for."""
    made = Machine()
    monkeypatch.setattr("pipeline.opening.av.open", made.open)
    return made


def test_cameras_of_windows_and_their_modes(machine: Machine) -> None:
    found = [(camera.path, camera.name, listed(able)) for camera, able in cameras("dshow")]
    assert found == [
        (
            "0",
            "HD Pro Webcam",
            "yuyv422: 640x480@30 1280x720@10; mjpeg: 640x480@30 1280x720@60.0002",
        ),
        ("1", "Capture", "yuyv422: 720x576@25; mjpeg: 720x576@25"),
    ]


def test_cameras_of_macos_and_their_modes(machine: Machine) -> None:
    found = [(camera.path, camera.name, listed(able)) for camera, able in cameras("avfoundation")]
    assert found == [
        ("0", "FaceTime HD Camera", "1920x1080@30 1280x720@30 1080x1920@30 640x480@30"),
        ("1", "USB Camera", "640x480@60.0002 640x480@30 640x480@10 1280x720@9.9999"),
    ]


def test_a_list_that_says_nothing_has_no_modes() -> None:
    assert told("dshow", ["Could not find video device with name [x]\n"]) == []
    assert told("avfoundation", ["Failed to create AV capture input device: denied\n"]) == []


@pytest.mark.parametrize(
    ("text", "device", "options"),
    [
        ("0", WIDE, {"video_size": "1280x720", "framerate": "30"}),
        ("HD Pro", WIDE, {"video_size": "1280x720", "framerate": "30"}),
        ("0,rate=60", WIDE, {"video_size": "1280x720", "framerate": "60"}),
        ("0,format=mjpeg", WIDE, {"video_size": "1280x720", "framerate": "30"}),
        (
            "0,format=yuyv422",
            WIDE,
            {"video_size": "640x480", "framerate": "30", "pixel_format": "yuyv422"},
        ),
        ("1", CAPTURE, {"video_size": "720x576", "framerate": "25"}),
        (CAPTURE, CAPTURE, {"video_size": "720x576", "framerate": "25"}),
    ],
)
def test_a_camera_of_windows_is_opened_in_the_mode_that_is_chosen(
    text: str,
    device: str,
    options: dict[str, str],
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webcam, "SYSTEM", "dshow")
    machine.gives = "yuyv422"
    if "mjpeg" in text:  # no camera here gives it
        with pytest.raises(SourceInvalid, match=r"does not give mjpeg but .*yuyv422"):
            open_source(f"webcam:{text}")
    else:
        with open_source(f"webcam:{text}") as source:
            assert next(frame for frame in source.frames() if frame).pixels.shape == (64, 64, 3)
    assert set(machine.opened[0][1].items()) == set(options.items())
    assert machine.opened[0][0] == f"video={device}"


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("7", SourceMissing, r"no camera 7; found: 0 HD Pro Webcam, 1 Capture$"),
        ("Micro", SourceMissing, "no camera Micro; found"),
        ("0,format=nv12", SourceInvalid, "no mode of nv12; it has yuyv422, mjpeg$"),
        ("0,format=h264", SourceInvalid, "no mode of h264; it has yuyv422, mjpeg$"),
        ("0,rate=120", SourceInvalid, "no mode of 120 frames a second; at most 60"),
        ("1,format=mjpeg", SourceInvalid, "DirectShow cannot be asked for mjpeg at 30 frames"),
    ],
)
def test_what_a_camera_of_windows_does_not_have_is_one_line(
    text: str,
    error: type[SourceError],
    said: str,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webcam, "SYSTEM", "dshow")
    with pytest.raises(error, match=said):
        open_source(f"webcam:{text}")
    assert not machine.opened


def of_macos(which: str, format: str = "", rate: str = "30", side: int = 720) -> None:
    """As the process that holds a camera there opens it."""
    asked = {"format": format, "rate": rate}
    webcam.opened(f"webcam:{which}", which, "avfoundation", side, asked).close()


@pytest.mark.parametrize(
    ("which", "wish", "options"),
    [
        ("0", {}, {"video_size": "1280x720", "framerate": "30"}),
        ("FaceTime", {"side": 1080}, {"video_size": "1920x1080", "framerate": "30"}),
        ("1", {}, {"video_size": "640x480", "framerate": "30"}),  # 1280x720 has 10 a second
        ("1", {"rate": "60"}, {"video_size": "640x480", "framerate": "60.0002"}),
        (
            "0",
            {"format": "yuv420p"},
            {"video_size": "1280x720", "framerate": "30", "pixel_format": "yuv420p"},
        ),
    ],
)
def test_a_camera_of_macos_is_opened_in_the_mode_that_is_chosen(
    which: str, wish: dict[str, Any], options: dict[str, str], machine: Machine
) -> None:
    of_macos(which, **wish)
    assert machine.opened == [("1" if which == "1" else "0", options)]


def test_what_a_camera_of_macos_does_not_have_is_one_line(machine: Machine) -> None:
    with pytest.raises(SourceMissing, match=r"no camera 2; found: 0 FaceTime HD Camera, 1 USB"):
        of_macos("2")
    with pytest.raises(SourceInvalid, match=r"AVFoundation gives raw .* but no mjpeg"):
        of_macos("0", format="mjpeg")
    with pytest.raises(SourceInvalid, match="no mode of 60 frames a second; at most 30"):
        of_macos("0", rate="60")
    with pytest.raises(SourceInvalid, match=r"does not give nv12 but .*yuv420p"):
        of_macos("0", format="nv12")


def test_a_mode_that_the_driver_refuses_after_all_is_given_up_unless_it_was_asked_for(
    machine: Machine,
) -> None:
    machine.refuses = True
    of_macos("0")
    assert [options for _, options in machine.opened] == [
        {"video_size": "1280x720", "framerate": "30"},
        {"framerate": "30"},
    ]
    with pytest.raises(SourceError):
        of_macos("1", rate="60")


def test_a_camera_that_tells_no_modes_is_opened_all_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOLD, "0", [])
    monkeypatch.setitem(PER_DEVICE, f"video={WIDE}", [])
    of_macos("0")
    webcam.opened("webcam:0", "0", "dshow", 720, {"format": "", "rate": "30"}).close()
    assert [options for _, options in machine.opened] == [{"framerate": "30"}, {}]
