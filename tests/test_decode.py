"""Decoding in hardware: tried against software in child processes, and left for good when it fails.

No device is needed: some kinds are on no machine, and one that decodes as software does stands in
for a device that is there.
"""

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import live
import numpy as np
import pytest
from av.container import InputContainer
from av.error import InvalidDataError
from conftest import Run
from test_kills import children

from pipeline.confined import confined
from pipeline.frame import Frame, Sample
from pipeline.hardware import Device, known, lacks
from pipeline.opening import open_media
from pipeline.plan import planned
from pipeline.report import Progress
from pipeline.request import StreamOptions
from pipeline.run import Pipeline
from pipeline.sources import Source, SourceOptions, open_source
from pipeline.sources._live import LiveSource
from pipeline.sources._trial import MEANINGS, chosen, decoded, difference
from tests import media

NOWHERE = next(kind for kind in ("dxva2", "vdpau") if kind not in known())
"""A kind of device that this FFmpeg does not know."""


def read(path: Path, **options: object) -> tuple[list[Frame], Source]:
    with open_source(str(path), SourceOptions(**options)) as source:
        return [frame for frame in source.frames() if frame], source


def same(one: list[Frame], other: list[Frame]) -> bool:
    """To the bit, with their times."""
    assert [(f.index, f.pts) for f in one] == [(f.index, f.pts) for f in other]
    return all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one, other, strict=True))


def sample(path: Path) -> Sample:
    _, source = read(path, sampled=True)
    assert source.info.sample
    return source.info.sample


def test_a_run_says_once_what_decodes_and_why_nothing_else_does(paint: Run, tmp_path: Path) -> None:
    film = media.video(tmp_path / "a.mp4")
    out = tmp_path / "b.mkv"
    words = "--model", "identity", "--codec", "ffv1", "--decode", "hardware"
    done = paint(film, *words, "-o", out)
    assert done.returncode == 0, done.stderr
    said = next(line for line in done.stderr.splitlines() if "decoded " in line)
    taken = next((kind for kind in known() if f"decoded by {kind}" in said), None)
    assert taken or "decoded in software" in said
    passed = known()[: known().index(taken)] if taken else known()
    assert [kind for kind in known() if f"not by {kind}: " in said] == passed
    pairs = list(zip(read(film)[0], read(out)[0], strict=True))
    assert len(pairs) == 12
    assert all(np.abs(a.pixels.astype(int) - b.pixels).max() <= 1 for a, b in pairs)


@pytest.mark.parametrize("given", ["test:size=64x48,frames=2", "pictures"])
def test_what_is_no_coded_video_is_left_to_software(given: str, tmp_path: Path) -> None:
    if given == "pictures":
        given = str(tmp_path)
        av.VideoFrame.from_ndarray(media.picture(0)).to_image().save(tmp_path / "1.png")
    options = StreamOptions(model="identity", decode="hardware", output=["null:"])
    with planned(given, options) as plan:
        assert plan.notices[0].startswith("decoded in software: hardware is tried on films")
        assert plan.source_options.hardware is None


@pytest.mark.parametrize(
    ("pix_fmt", "downloaded"),
    [("yuv420p", "nv12"), ("yuv420p10le", "p010le")],
)
def test_pictures_in_the_form_of_devices_are_taken(
    pix_fmt: str, downloaded: str, tmp_path: Path
) -> None:
    """What av downloads from a device has its colours and times, and another order of planes."""
    wanted = decoded(sample(media.video(tmp_path / "a.mp4", pix_fmt=pix_fmt, codec="libx265")))
    assert wanted
    assert len(wanted) > 3

    def given(form: str = downloaded) -> list[av.VideoFrame]:
        pictures = []
        for picture in wanted or []:
            other = picture.reformat(format=form)
            other.color_primaries, other.color_trc = picture.color_primaries, picture.color_trc
            other.pts = picture.pts
            pictures.append(other)
        return pictures

    assert difference(given(), wanted) == ""
    assert "it gave 0 pictures for" in difference([], wanted)
    assert "in another order" in difference(given()[::-1], wanted)
    retagged = given()
    retagged[1].colorspace = 9
    assert "or other colours" in difference(retagged, wanted)
    small = [picture.reformat(width=80) for picture in given()]
    for picture, number in zip(small, given(), strict=True):
        picture.pts = number.pts
    assert "another size" in difference(small, wanted)
    if pix_fmt == "yuv420p":
        poor = given("gray")
        for picture in poor:
            picture.colorspace, picture.color_range = 1, 1
        assert "of 255 from those of software" in difference(poor, wanted)


def crash(_: Sample, __: str) -> str:
    """As a driver that writes where it must not."""
    ctypes.string_at(0)
    return ""


def agree(_: Sample, __: str) -> str:
    """As a device that works."""
    return ""


def test_a_driver_that_crashes_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = sample(media.video(tmp_path / "a.mp4"))
    monkeypatch.setattr("pipeline.sources._trial.known", lambda: ["cuda", "vaapi"])
    monkeypatch.setattr("pipeline.sources._trial.refusal", crash)
    why = "its driver crashed, or did not answer"
    assert chosen(film) == (None, [f"decoded in software; not by cuda: {why}; not by vaapi: {why}"])
    monkeypatch.setattr("pipeline.sources._trial.refusal", agree)
    assert chosen(film) == ("cuda", ["decoded by cuda"])
    monkeypatch.setattr("pipeline.sources._trial.known", list)
    assert chosen(film) == (None, ["decoded in software; this FFmpeg knows no hardware"])


def test_what_is_missing_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = sample(media.video(tmp_path / "a.mp4"))
    lossless = sample(media.video(tmp_path / "a.mkv", codec="ffv1"))
    monkeypatch.setattr("pipeline.sources._trial.known", lambda: ["cuda"])
    assert chosen(lossless)[1] == [
        "decoded in software; not by cuda: FFmpeg's decoder ffv1 does not know it"
    ]
    if "cuda" in known() and lacks("cuda"):
        assert any(f"not by cuda: {why}" in chosen(film)[1][0] for why in MEANINGS.values())


@pytest.mark.parametrize("kind", ["cuda", NOWHERE])
def test_a_device_that_is_gone_costs_a_film_nothing(kind: str, tmp_path: Path) -> None:
    if not lacks(kind):
        pytest.skip("this machine has it")
    film = media.video(tmp_path / "a.mp4", 40)
    plain, _ = read(film)
    frames, source = read(film, hardware=kind)
    assert same(frames, plain)
    (said,) = source.notices
    assert f"a.mp4: {kind} does not decode it (" in said
    assert said.endswith("): decoded in software from frame 0 on")
    assert same(list(source.frames(7, plain[6].pts)), plain[7:])
    assert source.notices == [said]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> str:
    """A device that is there, and decodes as software does."""
    monkeypatch.setattr("pipeline.opening.HWAccel", lambda *_, **__: None)
    return "cuda"


@pytest.mark.parametrize("options", [{}, {"fps": Fraction(40)}, {"start_s": 0.5, "end_s": 2.9}])
def test_a_device_that_fails_in_the_middle_costs_no_frame(
    options: dict[str, Any], device: str, tmp_path: Path
) -> None:
    film = media.garbled(media.video(tmp_path / "a.mp4", 100, gop=10), tmp_path / "b.mp4", 0.4)
    plain, calm = read(film, **options)
    frames, source = read(film, hardware=device, **options)
    assert same(frames, plain)
    assert calm.damage
    assert source.damage
    said = [notice for notice in source.notices if "decoded in software" in notice]
    assert len(said) == 1
    begin = int(said[0].rpartition("from frame ")[2].split()[0])
    assert 10 < begin < len(plain)


def test_a_whole_film_stays_on_its_device(device: str, tmp_path: Path) -> None:
    film = media.video(tmp_path / "a.mp4", 40)
    frames, source = read(film, hardware=device)
    assert same(frames, read(film)[0])
    assert source.notices == []


def some(source: Source, count: int) -> list[Frame]:
    return list(islice((frame for frame in source.frames() if frame), count))


def test_a_stream_is_sampled_and_goes_on_in_software() -> None:
    with live.transport_stream("tcp") as port:
        address = f"tcp://127.0.0.1:{port}"
        with open_source(address, SourceOptions(sampled=True)) as source:
            assert source.info.sample
            pictures = decoded(source.info.sample)
            assert pictures
            assert (pictures[0].width, pictures[0].height) == source.info.sample.size
        with open_source(address, SourceOptions(hardware=NOWHERE)) as source:
            frames = some(source, 5)
        assert [f.index for f in frames] == [0, 1, 2, 3, 4]
        assert {f.epoch for f in frames} == {0}
        assert any(
            f"{NOWHERE} does not decode it (" in said
            and said.endswith("): decoded in software from now on")
            for said in source.notices
        )


class Lossy:
    """A connection whose key frames are not decoded any more after the first `whole` ones, as long
    as a device has to."""

    def __init__(self, container: InputContainer, device: Device, whole: int) -> None:
        self._container, self._device, self._whole = container, device, whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self, streams: Any) -> Iterator[Any]:
        for packet in self._container.demux(streams):
            self._whole -= packet.is_keyframe
            lost = self._device.kind and self._whole < 0
            refused = SimpleNamespace(
                stream=packet.stream, is_keyframe=packet.is_keyframe, decode=self._refuse
            )
            yield refused if lost else packet

    def _refuse(self) -> list[av.VideoFrame]:
        raise InvalidDataError(1, "the device is lost")


def test_a_device_that_fails_in_a_stream_is_left() -> None:
    used = Device()

    @contextmanager
    def connect(_: float) -> Iterator[Any]:
        with open_media(address) as container:
            yield Lossy(container, used, 3)

    with live.transport_stream("tcp") as port:
        address = f"tcp://127.0.0.1:{port}"
        with LiveSource(address, SourceOptions(hardware="cuda"), connect, device=used) as source:
            frames = (frame for frame in source.frames() if frame)
            assert next(frames).epoch == 0
            assert used.kind == "cuda"
            assert next(frame for frame in frames if frame.epoch).epoch == 1
            assert used.kind is None
            assert any("cuda does not decode it any more (the" in s for s in source.notices)


def addresses() -> int:
    """Bytes that this process may map; -1: any number."""
    import resource

    return resource.getrlimit(resource.RLIMIT_AS)[0]


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes in /proc")
def test_a_reader_with_a_device_has_no_limit_of_addresses_and_dies_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert confined("it", addresses) != addresses()
    assert confined("it", addresses, bounded=False) == addresses()
    monkeypatch.setattr("pipeline.plan.chosen", lambda _: (NOWHERE, [f"decoded by {NOWHERE}"]))
    film, out = media.video(tmp_path / "a.mp4", 300), tmp_path / "b.mkv"
    limits: list[str] = []

    def watch(progress: Progress) -> None:
        readers = children(os.getpid(), "ray::Reader")
        if not limits and progress.frames and readers:
            limits.append(Path(f"/proc/{readers[0]}/limits").read_text())
            os.kill(readers[0], signal.SIGKILL)

    options = StreamOptions(model="identity", decode="hardware", output=[str(out)], codec="ffv1")
    with planned(str(film), options) as plan, Pipeline(plan, watch) as pipeline:
        pipeline.run()
        report = pipeline.report
    assert "Max address space         unlimited" in limits[0]
    assert report.restarts == {"Reader": 1}
    assert f"decoded by {NOWHERE}" in report.notices
    assert f"the reader died: decoded in software since, not by {NOWHERE}" in report.notices
    pairs = list(zip(read(out)[0], read(film)[0], strict=True))
    assert len(pairs) == 300
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in pairs)
