"""Styles as users name them: codes, mixes over time, regions, and pictures of every kind."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT, Run
from numpy.typing import NDArray
from PIL import Image

import models
from engines import check_code, load_engine
from models import styles
from models.pictures import style_sized
from pipeline.errors import ConfigError
from pipeline.style import read_style
from pipeline.timeline import Span, Timeline

WAVE, INK = ROOT / "styles" / "wave.jpg", ROOT / "styles" / "ink.jpg"
Patch, Capture = pytest.MonkeyPatch, pytest.CaptureFixture[str]
CLIP = "test:size=64x48,rate=10,frames=6"


def painted(paint: Run, out: Path, *words: object) -> list[NDArray[np.uint8]]:
    """Frames of CLIP, painted as the words ask in float32, without loss."""
    done = paint(CLIP, *words, "--engine", "openvino", "-o", f"{out}/%03d.png")
    assert done.returncode == 0, done.stderr
    return [cv2.imread(str(p)) for p in sorted(out.iterdir())]


@pytest.fixture(scope="module")
def plain(paint: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[NDArray]]:
    """CLIP all in one style, for each of two."""
    folder = tmp_path_factory.mktemp("plain")
    return {s.stem: painted(paint, folder / s.stem, "--style", s) for s in (WAVE, INK)}


def test_a_code_paints_like_its_picture(paint: Run, plain: dict, tmp_path: Path) -> None:
    code = tmp_path / "wave.style"
    assert styles.main(["make", str(WAVE), "-o", str(code)]) == 0
    (tmp_path / "plain").touch()  # who may read that may read a code: a service paints with it
    assert code.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert code.stat().st_size < 1_000_000
    frames = painted(paint, tmp_path / "out", "--style", code)
    for frame, wanted in zip(frames, plain["wave"], strict=True):
        assert cv2.absdiff(frame, wanted).max() <= 1  # the order of sums may differ


@pytest.mark.parametrize("model", models.names())
def test_codes_of_pictures_of_any_size_are_taken(model: str, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "tall.png"), cv2.imread(str(WAVE))[:112, :80])
    assert styles.main(["make", str(tmp_path / "tall.png"), "--model", model]) == 0
    code = read_style(str(tmp_path / "tall.style"), model).look
    assert isinstance(code, dict)
    check_code(load_engine(model, "cpu", 1, "torch"), code)


def test_a_code_of_other_weights_is_refused(tmp_path: Path) -> None:
    code = tmp_path / "x.style"
    styles.main(["make", str(WAVE), "-o", str(code)])
    data = code.read_bytes()
    start = data.index(b"style_code_of") + len(b'style_code_of":"')
    code.write_bytes(data[:start] + b"0" * 16 + data[start + 16 :])
    with pytest.raises(ConfigError, match="made by the model compact"):
        read_style(str(code))
    code.write_bytes(b"no code at all")
    with pytest.raises(ConfigError, match="not a style code"):
        read_style(str(code))


@pytest.mark.parametrize(
    ("text", "weight", "when"),
    [
        ("me@home.jpg", 1, Span()),
        ("me@home.jpg:0.5", 0.5, Span()),
        ("me@home.jpg:2@1s", 2, Span(1, 1)),
    ],
)
def test_the_name_of_a_style_may_hold_an_at(
    tmp_path: Path, text: str, weight: float, when: Span
) -> None:
    (tmp_path / "me@home.jpg").write_bytes(WAVE.read_bytes())
    style = read_style(f"{tmp_path}/{text}")
    assert (style.path.name, style.weight, style.span) == ("me@home.jpg", weight, when)


def test_styles_cross_fade_over_time(paint: Run, plain: dict, tmp_path: Path) -> None:
    frames = painted(
        paint, tmp_path / "out", "--style", f"{WAVE}@0", "--style", f"{INK}@0.2s..0.4s"
    )
    same = [np.array_equal(f, w) for f, w in zip(frames, plain["wave"], strict=True)]
    other = [np.array_equal(f, i) for f, i in zip(frames, plain["ink"], strict=True)]
    assert same == [True, True, True, False, False, False]
    assert other == [False, False, False, False, True, True]
    middle = load_engine("compact", "cpu")
    codes = [middle.encode_style(read_style(str(s)).look) for s in (WAVE, INK)]
    assert codes[0].keys() == middle.mix(codes, [0.5, 0.5]).keys()
    a, m, b = (x[3].astype(float).mean() for x in (plain["wave"], frames, plain["ink"]))
    assert min(a, b) - 8 < m < max(a, b) + 8


def test_regions_have_their_own_styles(paint: Run, plain: dict, tmp_path: Path) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 32:] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    words = ("--style", WAVE, "--style", INK, "--mask", tmp_path / "mask.png")
    frames = painted(paint, tmp_path / "out", *words)
    for frame, wave, ink in zip(frames, plain["wave"], plain["ink"], strict=True):
        assert np.array_equal(frame[:, :32], wave[:, :32])
        assert np.array_equal(frame[:, 32:], ink[:, 32:])


def test_a_mask_may_be_a_video(paint: Run, plain: dict, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"masks/{i}.png"), np.full((48, 64), 255 * (i > 1), np.uint8))
    moving = tmp_path / "mask.mkv"
    words = ("--model", "identity", "--codec", "ffv1", "--fps", "10", "-o", moving)
    assert paint(tmp_path / "masks", *words).returncode == 0
    frames = painted(
        paint, tmp_path / "out", "--style", WAVE, "--style", INK, "--mask", moving
    )  # fmt: skip
    for i, frame in enumerate(frames):
        assert np.array_equal(frame, plain["ink" if i > 1 else "wave"][i]), i
    later = painted(
        paint, tmp_path / "later", "--style", WAVE, "--style", INK, "--mask", moving, "--start", 0.1
    )  # fmt: skip
    assert len(later) == 5
    for frame, wanted in zip(later, frames[1:], strict=True):
        assert np.array_equal(frame, wanted)


def test_transparent_parts_of_a_mask_lie_outside(paint: Run, plain: dict, tmp_path: Path) -> None:
    mask = np.full((48, 64, 4), 255, np.uint8)
    mask[:, :32, 3] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    words = ("--style", WAVE, "--style", INK, "--mask", tmp_path / "mask.png")
    for i, frame in enumerate(painted(paint, tmp_path / "out", *words)):
        assert np.array_equal(frame[:, :32], plain["wave"][i][:, :32])
        assert np.array_equal(frame[:, 32:], plain["ink"][i][:, 32:])


def test_masks_that_need_a_word_get_it(paint: Run, tmp_path: Path) -> None:
    words: list[object] = ["--style", WAVE]
    for colour, size in (("black", (100, 50)), ("white", (64, 48))):
        Image.new("L", size, colour).save(tmp_path / f"{colour}.png")
        words += ["--style", INK, "--mask", tmp_path / f"{colour}.png"]
    done = paint(CLIP, *words, "-o", "null:")
    assert done.returncode == 0, done.stderr
    assert "white.png is white everywhere" in done.stderr
    assert "black everywhere" in done.stderr
    assert "100x50: stretched to 64x48" in done.stderr


def test_videos_without_a_region_get_a_word_at_their_end(paint: Run, tmp_path: Path) -> None:
    words: list[object] = ["--style", WAVE]
    for name, last in (("black", 0), ("late", 255)):
        frames = tmp_path / name
        frames.mkdir()
        for i in range(3):
            cv2.imwrite(str(frames / f"{i}.png"), np.full((48, 64), last * (i > 1), np.uint8))
        moving = tmp_path / f"{name}.mkv"
        made = paint(
            frames, "--model", "identity", "--codec", "ffv1", "--fps", "10", "-o", moving
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        words += ["--style", INK, "--mask", moving]
    done = paint(CLIP, *words, "-o", "null:")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("black.mkv is black everywhere: its style is not seen") == 1
    assert done.stderr.count("everywhere") == 1
    assert done.stderr.count("late.mkv ends at 0.30 s: its last picture stays") == 1
    # In the part of the film that is painted both are black.
    part = paint(CLIP, *words, "--end", 0.2, "-o", "null:")
    assert part.returncode == 0, part.stderr
    assert part.stderr.count("is black everywhere: its style is not seen") == 2
    assert "its last picture stays" not in part.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--style", WAVE, "--mask", WAVE], "1 styles and 1 masks"),
        (["--style", WAVE, INK, "--mask", "gone.png"], "gone.png cannot be read"),
        (["--style", WAVE, INK, "--mask", "gone.mp4"], "gone.mp4 does not exist"),
        (["--style", WAVE, f"{INK}@3", "--mask", WAVE], "neither weight nor time"),
        (["--style", f"{WAVE}@1..4", f"{INK}@3"], "cross-fades overlap"),
        (["--style", f"{WAVE}@4..1"], "ends after it begins"),
        (["--style", f"{WAVE}@soon"], "a time is seconds"),
        (["--style", WAVE, "--detail", "0"], "--detail is for neat: compact has"),
        (
            [
                "--style",
                WAVE,
                "--model",
                ROOT / "models/weights/neat.safetensors",
                "--show-matches",
            ],
            "--show-matches is for dynast",
        ),
        (
            ["--style", WAVE, "--model", "dynast", "--show-matches", "--engine", "onnx"],
            "--show-matches needs --engine torch",
        ),
        (
            ["--style", WAVE, "--model", "gone.safetensors"],
            "no model 'gone.safetensors': there is no such file",
        ),
        (["--style", WAVE, "--model", WAVE], "is not a weights file"),
    ],
)
def test_mistakes_get_one_line(paint: Run, words: list[object], message: str) -> None:
    done = paint(CLIP, *words, "-o", "null:")
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2
    assert len(lines) == 1
    assert message in lines[0]


def test_timeline_mixes_within_a_cue_and_cuts_between() -> None:
    at = Timeline([(Span(), 3.0), (Span(), 1.0), (Span(10, 10), 2.0), (Span(20, 22), 1.0)]).at
    assert at(0) == at(9.99) == (0.75, 0.25, 0, 0)
    assert at(10) == at(20) == (0, 0, 1, 0)
    assert at(20.5) == (0, 0, 0.75, 0.25)
    assert at(1e6) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("mode", "color", "seen"),
    [
        ("L", 100, (100, 100, 100)),
        ("LA", (100, 0), (255, 255, 255)),
        ("RGBA", (9, 9, 9, 255), (9, 9, 9)),
        ("P", 0, (0, 0, 0)),
        ("I;16", 257 * 40, (40, 40, 40)),
        ("CMYK", (0, 0, 0, 0), (255, 255, 255)),
    ],
)
def test_pictures_of_every_kind(tmp_path: Path, mode: str, color: object, seen: tuple) -> None:
    path = tmp_path / ("a.tif" if mode in ("CMYK", "I;16") else "a.png")
    Image.new(mode, (40, 40), color).save(path)
    style = read_style(str(path))
    assert tuple(style.look[20, 20]) == seen
    assert style.notice is None


def test_a_huge_style_is_read_smaller_with_a_notice(tmp_path: Path) -> None:
    Image.new("RGB", (9000, 100)).save(tmp_path / "long.png")
    style = read_style(str(tmp_path / "long.png"))
    assert style.look.shape[1] == 4096
    assert "9000x100: read at 4096x46" in str(style.notice)


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((384, 512), (384, 512)),
        ((333, 350), (320, 336)),
        ((47, 3000), (48, 3008)),
        ((159, 175), (160, 176)),
        ((200, 300), (192, 288)),
        ((768, 1600), (384, 800)),
        ((1000, 801), (464, 384)),
        ((3, 5), (32, 32)),
    ],
)
def test_a_style_is_not_softened_to_fit(size: tuple[int, int], seen: tuple[int, int]) -> None:
    """What is not larger than styles are seen is cut, pixel by pixel, from the middle."""
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    made = style_sized(picture)
    assert made.shape == (*seen, 3)
    if 160 <= min(size) <= 384:
        top, left = ((a - b) // 2 for a, b in zip(size, seen, strict=True))
        assert (made == picture[top : top + seen[0], left : left + seen[1]]).all()
    if size == (768, 1600):
        halves = picture.reshape(384, 2, 800, 2, 3).mean((1, 3))
        assert np.abs(made - halves).max() <= 0.5


def test_frames_cost_no_work_on_the_style_side() -> None:
    engine = load_engine("compact", "cpu")
    calls = []
    engine.model.encoder.register_forward_hook(lambda *_: calls.append(1))
    code = engine.encode_style(read_style(str(WAVE)).look)
    before = len(calls)
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    for _ in range(3):
        engine(frames, code, 1.0, False)
    assert before == 1
    assert len(calls) == before + 3
    assert torch.is_tensor(code["color.mean"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["pixel.png"], "is too small: 1x1, at least 32 px"),
        ([str(WAVE), "-o", "no/such/folder/x.style"], "cannot be written"),
        ([str(WAVE), "-o", "wave.code"], "is a .style file, not wave.code"),
        (["wide.png", "-o", "wide.style", "--model", "dynast"], "more than the 256 that are read"),
    ],
)
def test_codes_that_cannot_be_used_are_not_made(
    given: list[str], said: str, tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("pixel.png", np.zeros((1, 1, 3), np.uint8))
    cv2.imwrite("wide.png", np.zeros((384, 1300, 3), np.uint8))
    assert styles.main(["make", *given]) == 2
    assert said in capsys.readouterr().err
    assert not [*tmp_path.rglob("*.style*"), *tmp_path.rglob("*.code")]
