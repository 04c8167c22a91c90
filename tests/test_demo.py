"""The demo's material: the drawn styles and the clip."""

from importlib import import_module
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from demo.clip import make_clip


def test_styles_that_ship_are_pictures_of_many_colours() -> None:
    shipped = sorted((ROOT / "styles").glob("*.jpg"))
    assert len(shipped) >= 6
    for path in shipped:
        pixels = np.asarray(Image.open(path))
        assert min(pixels.shape[:2]) >= 512
        assert pixels.std((0, 1)).min() > 15, path


@pytest.mark.parametrize("name", ["impasto", "ink"])
def test_drawing_a_style_twice_gives_the_same_picture(name: str) -> None:
    draw = import_module(f"demo.painters.{name}").draw
    first, second = draw(96, 3), draw(96, 3)
    assert first.shape == (96, 96, 3)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, draw(96, 4))


@pytest.mark.slow
def test_the_clip_has_picture_and_sound(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    make_clip(path, size=(160, 90))
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        assert len(frames) == 150
        assert container.streams.audio[0].rate == 48000
