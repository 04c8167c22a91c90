"""Films by key frames: what follows, where keys are, and that it does not matter who asks when."""

from collections.abc import Generator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import ROOT, Run
from PIL import Image

from models import styles
from pipeline.frame import Pixels
from pipeline.keyframes import Film, KeyFrames
from pipeline.sources import SourceOptions, open_source

WAVE, INK = ROOT / "styles" / "wave.jpg", ROOT / "styles" / "ink.jpg"


def texture(seed: int) -> Pixels:
    """A picture of 200 x 128 px in which motion can be seen."""
    noise = np.random.default_rng(seed).integers(0, 256, (16, 25, 3), np.uint8)
    return cv2.resize(noise, (200, 128), interpolation=cv2.INTER_CUBIC)


def film(folder: Path, frames: int = 9, cut: int = 100) -> str:
    """Frames of 128 x 96 px, 2 px further to the right each, another scene from `cut` on."""
    folder.mkdir()
    for i in range(frames):
        whole = texture(i >= cut)
        pixels = np.ascontiguousarray(whole[16:112, 2 * i : 2 * i + 128])
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


def test_it_does_not_matter_who_asks_when(tmp_path: Path) -> None:
    source = film(tmp_path / "in", cut=6)
    calm = Tinted(source, 0, 3)
    wanted = [calm(i) for i in range(9)]
    late, back = Tinted(source, 0, 3), Tinted(source, 0, 3)
    assert np.array_equal(late(7), wanted[7])  # a stylizer that was started again
    assert late.keys == [6 / 25]
    for i in (8, 2, 4):  # a writer that fell back
        assert np.array_equal(back(i), wanted[i])


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
