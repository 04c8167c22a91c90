"""Regions, mixed styles, cross-fades and kept colours: what the documents promise of every system.

Weights are random; with `recolor` what they paint has the colours of the style all the same.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from looks import RATE, stylized
from PIL import Image
from safetensors.torch import save_file
from test_vgg import SYSTEMS, picture

import models
from evaluation.appearance import to_pixels
from pipeline.request import StreamOptions

NAMES = ["compact", *SYSTEMS, "dynast", "nnst_d", pytest.param("nnst", marks=pytest.mark.slow)]
SIZE = (40, 56)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph, styles a and b (dark) of other sizes, and a mask that is white at the right."""
    made = tmp_path_factory.mktemp("looks")
    for seed, (name, size) in enumerate({"photo": SIZE, "a": (64, 48), "b": (48, 80)}.items()):
        pixels = to_pixels(picture(seed, *size) * (0.4 if name == "b" else 1))
        Image.fromarray(pixels).save(made / f"{name}.png")
    mask = np.zeros((*SIZE, 3), np.uint8)
    mask[:, SIZE[1] // 2 :] = 255
    Image.fromarray(mask).save(made / "mask.png")
    return made


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(name: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The model by its name or its weights file."""
    if name in ("compact", "nnst"):
        return name
    system, options = SYSTEMS.get(name, (name, {}))
    options = options | {"width": 0.0625} | ({} if system == "neat" else {"recolor": True})
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / f"{system}.safetensors"
    about = {"model": system, "model_options": json.dumps(options)}
    save_file(models.build(system, **options).state_dict(), path, about)
    return str(path)


@pytest.fixture(scope="module")
def alone(folder: Path, model: str) -> list[np.ndarray]:
    """The photograph in the one style, and in the other."""
    return [painted(folder, model, [name])[0] for name in ("a.png", "b.png")]


def painted(
    folder: Path, model: str, style: list[str], indices: tuple[int, ...] = (0,), **more: object
) -> np.ndarray:
    options = StreamOptions(
        style=[str(folder / s) for s in style], model=model, device="cpu", engine="torch", **more
    )
    return stylized(folder / "photo.png", options, indices)


def test_each_region_is_the_painting_in_its_style(
    folder: Path, model: str, alone: list[np.ndarray]
) -> None:
    a, b = alone
    assert np.abs(a.astype(int) - b).mean() > 5
    (both,) = painted(folder, model, ["a.png", "b.png"], mask=[str(folder / "mask.png")])
    half = SIZE[1] // 2
    assert np.array_equal(both[:, :half], a[:, :half])
    assert np.array_equal(both[:, half:], b[:, half:])


def test_mixes_reach_from_one_style_to_the_other(
    name: str, folder: Path, model: str, alone: list[np.ndarray]
) -> None:
    a, b = (x.astype(int) for x in alone)
    (own,) = painted(folder, model, ["a.png:1", "b.png:0"])
    assert np.array_equal(own, a)
    (twice,) = painted(folder, model, ["a.png:0.7", "a.png:0.3"])
    if name != "nnst":  # it draws that share of the places of each picture
        assert np.abs(twice - a).mean() < 0.5
    (mixed,) = painted(folder, model, ["a.png", "b.png"])
    assert min(np.abs(mixed - end).mean() for end in (a, b)) > 1


def test_styles_fade_into_one_another(
    name: str, folder: Path, model: str, alone: list[np.ndarray]
) -> None:
    if name == "nnst":
        pytest.skip("a picture has no times; films go by key frames: test_keyframes.py")
    end = 2 * RATE
    style = ["a.png@0", "b.png@0..2s"]
    first, middle, last = painted(folder, model, style, (0, end // 2, end))
    (half,) = painted(folder, model, ["a.png:0.5", "b.png:0.5"])
    for frame, wanted in ((first, alone[0]), (middle, half), (last, alone[1])):
        assert np.array_equal(frame, wanted)


def test_kept_colours_are_those_of_the_photograph(
    folder: Path, model: str, alone: list[np.ndarray]
) -> None:
    photo = np.asarray(Image.open(folder / "photo.png")).astype(int)
    (kept,) = painted(folder, model, ["a.png"], preserve_color=True)
    inside = ((kept > 0) & (kept < 255)).all(2)
    assert inside.mean() > 0.2
    moved = (kept - photo)[inside]  # light is added to all channels alike
    assert np.ptp(moved, axis=1).max() <= 1
    greys = [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY).astype(int) for x in (kept, alone[0])]
    assert np.abs(greys[0] - greys[1])[inside].mean() < 3
