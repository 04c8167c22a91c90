"""Films by key frames: what follows, where keys are, and that it does not matter who asks when."""

import os
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from conftest import ROOT, Run
from PIL import Image

from models import styles
from pipeline import patient
from pipeline.control import Change, Region
from pipeline.errors import EngineError
from pipeline.frame import Pixels
from pipeline.keyframes import Film, KeyFrames
from pipeline.mask import colours
from pipeline.pool import FramePool
from pipeline.queues import Ticket
from pipeline.sources import SourceOptions, open_source
from pipeline.stylizer import Look
from pipeline.timeline import Span, Timeline

MEMORY_GIB = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
WAVE, INK = ROOT / "styles" / "wave.jpg", ROOT / "styles" / "ink.jpg"


def texture(seed: int, dark: bool = False) -> Pixels:
    """A picture of 200 x 128 px in which motion can be seen."""
    noise = np.random.default_rng(seed).integers(0, 256, (16, 25, 3), np.uint8)
    whole = cv2.resize(noise, (200, 128), interpolation=cv2.INTER_CUBIC)
    return whole // 12 if dark else whole


def film(folder: Path, frames: int = 9, cut: int = 100, step: int = 2, dark: bool = False) -> str:
    """Frames of 128 x 96 px, `step` px further to the right each, another scene from `cut` on."""
    folder.mkdir()
    for i in range(frames):
        whole = texture(i >= cut, dark)
        pixels = np.ascontiguousarray(whole[16:112, step * i : step * i + 128])
        cv2.imwrite(str(folder / f"{i:03}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return str(folder)


def tint(pixels: Pixels) -> Pixels:
    return (pixels * np.float32(0.6) + np.float32([90, 30, 0])).astype(np.uint8)


class Tinted:
    """A painting of which it is known what every frame must become: its tinted."""

    def __init__(self, source: str, *cues: float) -> None:
        self.keys: list[float] = []
        self.film = KeyFrames(Film(source, SourceOptions()).frames, cues, self.paint)
        with open_source(source) as opened:
            self.frames = [f.pixels.copy() for f in opened.frames()]

    def paint(self, time_s: float, pixels: Pixels) -> Generator[float, None, Pixels]:
        self.keys.append(time_s)
        yield 0.5
        return tint(pixels)

    def __call__(self, index: int) -> Pixels:
        work = self.film.paint(index, self.frames[index])
        while True:
            try:
                assert 0 <= next(work) <= 1
            except StopIteration as stop:
                return stop.value

    def error(self, index: int) -> float:
        """Mean difference from what the frame must become, levels of 255."""
        return float(np.abs(self(index).astype(int) - tint(self.frames[index])).mean())


def test_frames_follow_the_key_and_what_it_did_not_show_is_filled(tmp_path: Path) -> None:
    alone = Tinted(film(tmp_path / "in"), 0)
    errors = [alone.error(i) for i in range(9)]
    assert alone.keys == [0.0]
    assert errors[0] == 0
    assert max(errors) < 6
    # 16 px at the right came in since the key: they have their colours from around, not smears.
    still = np.abs(tint(alone.frames[0]).astype(int) - tint(alone.frames[8])).mean()
    assert errors[8] < still / 5


def test_keys_on_both_sides_are_better_than_one(tmp_path: Path) -> None:
    source = film(tmp_path / "in")
    one, two = Tinted(source, 0), Tinted(source, 0, 8)
    assert np.mean([two.error(i) for i in range(9)]) < np.mean([one.error(i) for i in range(9)])
    assert two.keys == [0.0, 8 / 25]


def test_a_cut_is_a_key_and_nothing_is_blended_over_it(tmp_path: Path) -> None:
    tinted = Tinted(film(tmp_path / "in", cut=5))
    errors = [tinted.error(i) for i in range(9)]
    assert tinted.keys == [0.0, 5 / 25]
    assert errors[5] == 0
    assert max(errors) < 6


@pytest.mark.parametrize("cues", [(), (0, 8)])
def test_a_cut_between_dark_scenes_is_one_too(tmp_path: Path, cues: tuple[int, ...]) -> None:
    tinted = Tinted(film(tmp_path / "in", cut=5, dark=True), *cues)
    errors = [tinted.error(i) for i in range(9)]
    assert 5 / 25 in tinted.keys
    assert errors[5] == 0
    assert max(errors) < 2


@pytest.mark.parametrize("levels", [(0, None), (None, 0), (255, None), (255, 0), (0, 255)])
def test_a_cut_from_or_to_a_flat_frame_is_one_too(
    tmp_path: Path, levels: tuple[int | None, int | None]
) -> None:
    """In what is black or white no flow can be wrong."""
    source = Path(film(tmp_path / "in", 8))
    for i, path in enumerate(sorted(source.glob("*.png"))):
        if (level := levels[i // 4]) is not None:
            cv2.imwrite(str(path), np.full((96, 128, 3), level, np.uint8))
    tinted = Tinted(str(source), 0)
    errors = [tinted.error(i) for i in range(8)]
    assert tinted.keys == [0.0, 4 / 25]
    assert max(errors) < 6


def test_grain_is_no_cut(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for i in range(4):
        pixels = dice.normal(8, 2.5, (96, 128, 3)).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "in" / f"{i}.png"), pixels)
    tinted = Tinted(str(tmp_path / "in"), 0)
    assert tinted.error(3) < 4
    assert tinted.keys == [0.0]


def test_what_no_key_has_ever_shown_is_painted_however_large_it_is(tmp_path: Path) -> None:
    """Half of the frame came in since the key."""
    tinted = Tinted(film(tmp_path / "in", step=8), 0)
    unseen, raw = tinted(8)[:, 100:].mean((0, 1)), tinted.frames[8][:, 100:]
    wanted = tint(raw).mean((0, 1))
    assert np.abs(unseen - wanted).max() < np.abs(raw.mean((0, 1)) - wanted).max() / 3


def test_it_does_not_matter_who_asks_when(tmp_path: Path) -> None:
    source = film(tmp_path / "in", cut=6)
    calm = Tinted(source, 0, 3)
    wanted = [calm(i) for i in range(9)]
    late, back = Tinted(source, 0, 3), Tinted(source, 0, 3)
    assert np.array_equal(late(7), wanted[7])  # a stylizer that was started again
    assert late.keys == [6 / 25]
    for i in (8, 2, 4):  # a writer that fell back
        assert np.array_equal(back(i), wanted[i])


def test_it_does_not_matter_what_is_broken_off(tmp_path: Path) -> None:
    """A writer that dies while a key is painted wants earlier frames again."""
    source = film(tmp_path / "in", cut=6)
    calm = Tinted(source, 0, 3)
    wanted = [calm(i) for i in range(9)]
    for steps in range(1, 9):
        broken = Tinted(source, 0, 3)
        assert np.array_equal(broken(1), wanted[1])
        work = broken.film.paint(4, broken.frames[4])
        for _ in range(steps):
            next(work, None)
        for i in (2, 3, 4, 5, 6, 8):
            assert np.array_equal(broken(i), wanted[i])


class Flat:
    """Paints all in the brightness of the style, at length while it is `held`."""

    batch, why, fingerprint = 1, "", "flat"

    def __init__(self) -> None:
        self.held = self.short = self.begun = False
        self.painted: list[float] = []

    def encode_style(self, style: Pixels, guide: Pixels | None = None) -> float:
        return float(style.mean())

    def mix(self, codes: list[float], weights: list[float]) -> float:
        return sum(code * weight for code, weight in zip(codes, weights, strict=True) if weight)

    def paint(self, frame: Pixels, code: float, *_: object) -> Generator[float, None, Pixels]:
        if self.short:
            raise MemoryError("cannot allocate")
        self.begun = True
        while self.held:
            time.sleep(0.001)
            yield 0.5
        self.painted.append(code)
        return np.full_like(frame, round(code))


class Slow:
    """A stylizer of 128x96 px for two key frames, in these masked levels over one of 0."""

    def __init__(self, pool: FramePool, source: str, masks: dict[str, int], **about: Any) -> None:
        self._pool = pool
        paths = ["lowest", *map(str, masks.values())]
        pictures = [np.full((16, 16, 3), level, np.uint8) for level in (0, *masks.values())]
        line = Timeline([(Span(), 1.0)] * len(paths))
        film = Film(source, SourceOptions(), (0, 1))
        look = Look(
            "nnst", "cpu", pictures, paths, line, [*masks], 1.0, False, 1, "torch", film, **about
        )
        self.stylizer = patient.Stylizer(pool.handle, look)
        self.stylizer.open()

    def call(self, index: int) -> bool:
        """A call; whether the frame is painted."""
        work = self.stylizer.stylize([Ticket(index, index, Fraction(1, 25), 0)], [1])
        self.notices = work.notices
        return bool(work.tickets)

    def __call__(self, index: int) -> Pixels:
        while not self.call(index):
            pass
        return self._pool[1].copy()

    def choose(self, level: int) -> None:
        """Another style, on the page, taken on before this returns."""
        path, picture = f"chosen {level}", np.full((16, 16, 3), level, np.uint8)
        region = Region("0", None, {path: 1.0})
        self.stylizer.adjust(Change((region,), 1.0, False, pictures={path: picture}))
        self.stylizer._coming[-1].result(60)


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> Flat:
    engine = Flat()
    monkeypatch.setattr("pipeline.stylizer.engine_of", lambda *_: engine)
    monkeypatch.setattr(patient, "STEP_S", 0.05)
    return engine


@pytest.fixture
def pool() -> Iterator[FramePool]:
    with closing(FramePool.create(2, 96, 128)) as made:
        yield made


def test_a_style_chosen_while_a_key_is_painted_holds_from_the_next(
    flat: Flat, pool: FramePool, tmp_path: Path
) -> None:
    slow = Slow(pool, film(tmp_path / "in", 2), {})
    flat.held = True
    while not flat.begun:
        assert not slow.call(0)
    slow.choose(200)
    assert not slow.call(0)
    flat.held = False
    assert np.all(slow(0) == 0)
    assert np.all(slow(1) == 200)


def test_a_style_chosen_where_one_is_marked_is_refused(
    flat: Flat, pool: FramePool, tmp_path: Path
) -> None:
    black = np.zeros((16, 16, 3), np.uint8)
    Image.fromarray(black).save(tmp_path / "mask.png")
    guides = str(tmp_path / "mask.png"), black
    slow = Slow(pool, film(tmp_path / "in", 2), {}, guides=guides)
    slow.choose(200)
    assert np.all(slow(0) == 0)
    assert any("--style-mask marks the regions of one style" in text for text in slow.notices)


def test_a_region_that_is_nowhere_is_not_painted(
    flat: Flat, pool: FramePool, tmp_path: Path
) -> None:
    half = np.zeros((96, 128), np.uint8)
    half[:, 64:] = 255
    Image.fromarray(half).save(tmp_path / "half.png")
    Image.fromarray(half * 0).save(tmp_path / "black.png")
    masks = {str(tmp_path / "half.png"): 90, str(tmp_path / "black.png"): 200}
    painted = Slow(pool, film(tmp_path / "in", 2), masks)(0)
    assert flat.painted == [0, 90]
    assert np.all(painted[:, :60] == 0)
    assert np.all(painted[:, 68:] == 90)


def test_moving_masks_get_a_word(flat: Flat, pool: FramePool, tmp_path: Path) -> None:
    slow = Slow(pool, film(tmp_path / "in", 2), {film(tmp_path / "mask", 2): 90})
    slow(0)
    assert sum("it counts at key frames" in text for text in slow.notices) == 1


def test_regions_that_the_style_has_not_get_a_word_when_they_appear(
    flat: Flat, pool: FramePool, tmp_path: Path
) -> None:
    (tmp_path / "mask").mkdir()
    for i, level in enumerate((0, 255)):
        Image.new("RGB", (32, 32), (level, 0, 0)).save(tmp_path / "mask" / f"{i}.png")
    guides = str(tmp_path / "mask"), np.zeros((16, 16, 3), np.uint8)
    slow = Slow(pool, film(tmp_path / "in", 2), {}, guides=guides)
    told = []
    for index in (0, 1):
        slow(index)
        told.append(sum("which the style mask has nowhere" in text for text in slow.notices))
    assert told == [0, 1]


def test_too_little_memory_names_the_option_that_helps(
    flat: Flat, pool: FramePool, tmp_path: Path
) -> None:
    slow = Slow(pool, film(tmp_path / "in", 2), {})
    flat.short = True
    with pytest.raises(EngineError, match=r"to paint frames of 128x96 .*: --size paints smaller"):
        slow(0)


def test_a_picture_in_a_picture_out(paint: Run, tmp_path: Path) -> None:
    Image.fromarray(texture(0)[:40, :48]).save(tmp_path / "photo.png")
    words = (tmp_path / "photo.png", "--style", WAVE, "--model", "nnst", "--size", "40")
    done = paint(*words)
    assert done.returncode == 0, done.stderr
    assert "narrow encoder" in done.stderr
    out = tmp_path / "photo_wave.png"
    assert np.asarray(Image.open(out)).shape == (40, 48, 3)
    again = paint(*words)
    assert again.returncode == 1
    assert "--overwrite" in again.stderr


def test_a_film_is_painted_by_its_key_frames(paint: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    done = paint(
        film(tmp_path / "in", 5), "--style", WAVE, "--model", "nnst", "--size", "32",
        "--keyframes", "0,0.16s", "--codec", "ffv1", "-o", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


def test_the_colours_of_soft_edges_are_no_regions() -> None:
    hard = np.zeros((360, 640, 3), np.uint8)
    cv2.ellipse(hard, (320, 180), (160, 120), 0, 0, 360, (255, 255, 255), -1)
    assert colours(cv2.GaussianBlur(hard, (0, 0), 8)) == colours(hard) == [(0,) * 3, (255,) * 3]


@pytest.mark.skipif(MEMORY_GIB > 120, reason="all that can be asked for fits here")
def test_more_than_memory_holds_is_refused(paint: Run) -> None:
    words = ["--style", WAVE, "--model", "nnst", "--device", "cpu", "-o", "null:"]
    done = paint("test:size=7680x4320,frames=5", *words)
    assert done.returncode == 2
    assert "takes some 126 GiB of memory to paint 7680x4320" in done.stderr


def test_keys_beyond_an_end_that_nobody_knew_get_a_word(paint: Run, tmp_path: Path) -> None:
    """A bare stream does not say how long it is."""
    with av.open(str(tmp_path / "in.h264"), "w", format="h264") as bare:
        stream = bare.add_stream("libx264", rate=25, width=128, height=96, pix_fmt="yuv420p")
        for _ in range(3):
            bare.mux(stream.encode(av.VideoFrame.from_ndarray(texture(0)[:96, :128].copy())))
        bare.mux(stream.encode(None))
    done = paint(
        tmp_path / "in.h264", "--style", WAVE, "--model", "nnst", "--size", "32",
        "--keyframes", "0,2,9,7s", "-o", "null:",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "lies beyond the end" in line]
    assert len(said) == 2
    assert "key frame 9 lies beyond the end: the last frame is 2, at 0.0" in said[0]
    assert "key frame at 7 s" in said[1]


def test_regions_are_painted_from_regions(paint: Run, tmp_path: Path) -> None:
    """Left and right of the style are red and blue; where the mask says right it must be blue."""
    style = np.zeros((64, 64, 3), np.uint8)
    style[:, :32, 0], style[:, 32:, 2] = texture(1)[:64, :32, 0] // 2 + 120, texture(2)[:64, :32, 0]
    mask = np.zeros((64, 64, 3), np.uint8)
    mask[:, 32:] = 255
    Image.fromarray(style).save(tmp_path / "style.png")
    Image.fromarray(mask[:32]).save(tmp_path / "style_mask.png")
    Image.fromarray((255 - mask)[:, 8:56]).save(tmp_path / "mask.png")
    Image.fromarray(texture(3)[:48, :48]).save(tmp_path / "photo.png")
    done = paint(
        tmp_path / "photo.png", "--model", "nnst", "--style", tmp_path / "style.png",
        "--style-mask", tmp_path / "style_mask.png", "--mask", tmp_path / "mask.png",
        "-o", tmp_path / "out.png",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the style mask is 64x32: stretched to 64x64" in done.stderr
    assert "mask.png is 48x64: stretched to 48x48" in done.stderr
    painted = np.asarray(Image.open(tmp_path / "out.png")).astype(int)
    blueness = painted[..., 2] - painted[..., 0]
    assert blueness[:, :20].mean() > 20 + blueness[:, 28:].mean()


def test_regions_that_end_before_the_film_are_told(paint: Run, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "white").save(tmp_path / "style_mask.png")
    white = [np.full((32, 32, 3), 255, np.uint8)] * 3
    with av.open(str(tmp_path / "mask.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "bgr0"
        for frame in (av.VideoFrame.from_ndarray(pixels) for pixels in white):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    done = paint(
        film(tmp_path / "in", 9), "--model", "nnst", "--style", WAVE, "--size", "32",
        "--style-mask", tmp_path / "style_mask.png", "--mask", tmp_path / "mask.mkv",
        "--keyframes", "0,8", "-o", "null:",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mask.mkv ends at 0.12 s: its last picture stays" in done.stderr
    assert "the style mask marks no two regions: it guides nothing" in done.stderr
    assert "is white everywhere" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--keyframes", "0,9"], "key frame 9 lies beyond the end: there are 5 frames"),
        (["--keyframes", "3s"], "key frame at 3 s lies beyond the end"),
        (["--keyframes", "soon"], "a time is seconds"),
        (["--keyframes", "0", "--model", "compact"], "--keyframes is for nnst"),
        (["--size", "24"], "from 32 px a side on"),
        (["--stylizers", "2"], "painted by one"),
        (["--engine", "onnx"], "needs --engine torch"),
        (["--model", "vgg16.safetensors"], "no model 'vgg16.safetensors'"),
        (["--style-mask", "one.png", "--mask", "two.png"], "which one.png has nowhere"),
        (
            ["--style", "wave.style", "--style-mask", "two.png", "--mask", "two.png"],
            "wave.style is a code",
        ),
        (["--style-mask", "one.png"], "--style-mask goes with one --style, and one --mask"),
        (["-o", "out.png"], "out.png is one picture"),
    ],
)
def test_mistakes_get_one_line(paint: Run, tmp_path: Path, words: list[str], message: str) -> None:
    film(tmp_path / "in", 5)
    Image.new("RGB", (40, 40)).save(tmp_path / "one.png")
    two = np.zeros((40, 40, 3), np.uint8)
    two[:, 20:] = (255, 0, 0)
    Image.fromarray(two).save(tmp_path / "two.png")
    if "wave.style" in words:
        styles.main(["make", str(WAVE), "--model", "nnst", "-o", str(tmp_path / "wave.style")])
    usual = {"--style": WAVE, "-o": "null:"}
    given = [*words, *(w for pair in usual.items() if pair[0] not in words for w in pair)]
    done = paint("in", "--model", "nnst", *given, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert message in done.stderr.strip().splitlines()[-1]
