"""The compact model through its public door, with the weights that ship."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import models
from models.color import recolor, second_moments
from models.mixing import mix


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return models.load("compact")


def picture(seed: int, *size: int) -> Tensor:
    """Smooth random colours, (1,3,H,W) in [0, 1]."""
    small = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(small, size, mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (64, 48), (33, 130)])
def test_any_size_comes_back_in_range(model: torch.nn.Module, size: tuple[int, int]) -> None:
    out = model(picture(1, *size), model.encode_style(picture(2, 50, 70)))
    assert out.shape == (1, 3, *size)
    assert out.min() >= 0
    assert out.max() <= 1
    assert out.isfinite().all()


def test_frames_of_a_batch_do_not_depend_on_each_other(model: torch.nn.Module) -> None:
    code = model.encode_style(picture(9, 64, 64))
    a, b = picture(1, 64, 64), picture(2, 64, 64)
    both = model(torch.cat([a, b]), code)
    assert torch.allclose(both[:1], model(a, code), atol=1e-4)
    assert torch.allclose(both[1:], model(b, code), atol=1e-4)


def test_strength_zero_gives_the_photograph_and_one_does_not(model: torch.nn.Module) -> None:
    dark_blue = picture(7, 128, 128) * torch.tensor([0.1, 0.2, 0.7])[:, None, None]
    photo, code = picture(1, 128, 128), model.encode_style(dark_blue)
    kept, painted = model(photo, code, 0.0), model(photo, code, 1.0)
    assert (kept - photo).abs().mean() < 0.05
    assert (painted - photo).abs().mean() > 2 * (kept - photo).abs().mean()


def test_colours_follow_the_style(model: torch.nn.Module) -> None:
    photo = picture(1, 128, 128)
    red = picture(3, 128, 128) * torch.tensor([1.0, 0.2, 0.2])[:, None, None]
    blue = picture(4, 128, 128) * torch.tensor([0.2, 0.2, 1.0])[:, None, None]
    in_red = model(photo, model.encode_style(red)).mean((0, 2, 3))
    in_blue = model(photo, model.encode_style(blue)).mean((0, 2, 3))
    assert in_red[0] - in_red[2] > 0.2
    assert in_blue[2] - in_blue[0] > 0.2


def test_mixing_is_a_weighted_sum_and_ends_at_its_parts(model: torch.nn.Module) -> None:
    photo = picture(1, 64, 64)
    a, b = (model.encode_style(picture(s, 64, 64)) for s in (5, 6))
    assert torch.equal(model(photo, mix([a, b], [1, 0])), model(photo, mix([a], [1])))
    half, again = mix([a, b], [1, 1]), mix([b, a], [3, 3])
    assert all(torch.allclose(half[n], again[n], atol=1e-5) for n in half)
    with pytest.raises(ValueError, match="negative"):
        mix([a, b], [1, -1])


def test_code_does_not_grow_with_the_picture(model: torch.nn.Module) -> None:
    small, large = model.encode_style(picture(1, 40, 40)), model.encode_style(picture(1, 200, 320))
    assert {n: t.shape for n, t in small.items()} == {n: t.shape for n, t in large.items()}


def test_recolouring_gives_the_wanted_mean_and_covariance() -> None:
    photo, style = picture(1, 80, 80), picture(2, 80, 80)
    mean, square = second_moments(style)
    out = recolor(photo, photo, {"color.mean": mean, "color.square": square})
    got_mean, got_square = second_moments(out)
    assert torch.allclose(got_mean, mean, atol=1e-3)
    assert torch.allclose(got_square, square, atol=5e-3)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_colours_of_a_large_picture_are_summed_exactly(layout: torch.memory_format) -> None:
    """One long float32 sum is off by a percent of the covariance, differently in each layout."""
    dark = (0.4 + picture(1, 512, 512) / 8).contiguous(memory_format=layout)
    mean, square = second_moments(dark)
    pixels = dark.double().flatten(2)
    assert torch.allclose(mean.double(), pixels.mean(2), atol=1e-6)
    assert torch.allclose(square.double(), pixels @ pixels.mT / 512**2, atol=1e-6)


def test_grey_photographs_and_flat_styles_are_finite(model: torch.nn.Module) -> None:
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert model(flat, model.encode_style(flat)).isfinite().all()
    assert model(picture(1, 64, 64), model.encode_style(flat * 0)).isfinite().all()


def test_shipped_weights_are_small() -> None:
    size = (models.FOLDER / "weights" / "compact.safetensors").stat().st_size
    assert size < 8_000_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "does not fit its architecture: 1 tensors differ"),
        ("nan", "values that are not finite"),
        ("pickle", "is not a weights file"),
    ],
)
def test_bad_weights_are_refused(tmp_path: Path, change: str, message: str) -> None:
    state = load_file(models.FOLDER / "weights" / "compact.safetensors")
    name = next(iter(state))
    if change == "missing":
        del state[name]
    elif change == "nan":
        state[name] *= float("nan")
    path = tmp_path / "mine.safetensors"
    save_file(state, path, {"model": "compact"})
    if change == "pickle":
        torch.save(state, path)
    with pytest.raises(ValueError, match=message):
        models.load(path)


def test_unknown_model_is_refused() -> None:
    with pytest.raises(ValueError, match="no model 'compat'"):
        models.build("compat")
