"""NNST-D against plain formulas, and what its codes promise."""

from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from test_nnst import distances
from test_vgg import picture, scramble
from torch import Tensor
from torch.nn import functional as F

import models
from evaluation.appearance import to_pixels
from models import nnst_d
from models.color import second_moments
from models.hypercolumns import columns, layers
from models.mixing import mix
from models.nnst_d import NNSTD
from models.pyramid import resized
from pipeline.look import make_look
from pipeline.plan import planned
from pipeline.pool import FramePool
from pipeline.queues import Ticket
from pipeline.request import StreamOptions
from pipeline.style import read_style
from pipeline.stylizer import Stylizer


@pytest.fixture(scope="module")
def model() -> NNSTD:
    return scramble(models.build("nnst_d", width=0.125, hidden=16))


def places(model: NNSTD, x: Tensor) -> Tensor:
    """Roots of the hypercolumns of a picture (1,3,H,W) -> (P,C)."""
    seen = columns(layers(model.encoder, x), x.shape[2:])
    return (seen[0].flatten(1).mT + 0.01).clamp_max(25).sqrt() - 0.4


def plain_decoder(model: NNSTD, given: Tensor) -> Tensor:
    """Four branches of five convolutions and a straight one, collapsed (section 3.3.1)."""
    levels = []
    for number, zoom in enumerate((4, 2, 1, 1)):
        state = {n: t.double() for n, t in model.branches[number].state_dict().items()}

        def conv(name: str, x: Tensor, state: dict[str, Tensor] = state) -> Tensor:
            x = F.pad(x, (1, 1, 1, 1), mode="reflect")
            return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"])

        y = given
        for i in range(5):
            y = conv(f"convs.{i}", y if i == 0 else F.leaky_relu(y, 0.2))
        levels.append(F.pixel_shuffle(y + conv("straight", given), zoom))
    image = resized(levels[3], [n // 2 for n in levels[3].shape[2:]])
    for level in reversed(levels[:3]):
        image = level + resized(image, level.shape[2:])
    return image


def test_the_whole_is_the_printed_one(model: NNSTD) -> None:
    photo, style = picture(1, 40, 56), picture(2, 32, 48)
    turned = torch.cat([places(model, style.rot90(turn, (2, 3))) for turn in range(4)])
    own = places(model, photo)
    wanted = distances(own.double(), turned.double()).argmin(1)
    code = model.encode_style(style)
    painted, (found,) = model.traced(photo, code, 1.5)
    assert torch.equal(found[0], wanted)
    seen = own + 1.5 * (turned[wanted] - own)
    given = model.enter(seen).double().mT.unflatten(1, (10, 14))[None]
    expected = plain_decoder(model, given)
    assert expected.std() > 0.1
    assert torch.allclose(painted.double(), expected, atol=1e-4)


@pytest.mark.parametrize("turn", range(4))
def test_a_style_that_is_turned_finds_itself(model: NNSTD, turn: int) -> None:
    style = picture(2, 32, 48)
    code, photo = model.encode_style(style), style.rot90(turn, (2, 3))
    assert torch.allclose(model.paint(photo, code), model.paint(photo, code, 0.0), atol=1e-3)


def test_colours_of_the_style_are_taken_as_far_as_strength_says(model: NNSTD) -> None:
    photo, style = picture(1, 32, 48), 0.4 + 0.2 * picture(2, 48, 48)
    recoloured = models.build("nnst_d", width=0.125, hidden=16, recolor=True)
    recoloured.load_state_dict(model.state_dict())
    code = recoloured.encode_style(style)
    # Colours away from black and white, so that none is cut.
    ours, wanted, plain = map(second_moments, (recoloured(photo, code), style, model(photo, code)))
    assert torch.allclose(ours[0], wanted[0], atol=1e-3)
    # Of noise each band leaves a little in its neighbours, which adds to the whole.
    off, was = ((square - wanted[1]).abs().max() for square in (ours[1], plain[1]))
    assert off < min(2e-3, was / 50)
    assert torch.equal(recoloured(photo, code, 0.0), model(photo, code, 0.0))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (31, 17), (3, 90)])
def test_any_size_of_content_and_style(model: NNSTD, size: tuple[int, int]) -> None:
    code = model.encode_style(picture(2, *size))
    for other in (size, (40, 24)):
        painted = model(picture(1, *other), code)
        assert painted.shape == (1, 3, *other)
        assert painted.isfinite().all()
        assert 0 <= painted.min() <= painted.max() <= 1


def test_strength_goes_from_the_photograph_through_the_style_and_beyond(model: NNSTD) -> None:
    photo, code = picture(1, 32, 48), model.encode_style(picture(2, 40, 40))
    plain = model.paint(photo, model.encode_style(picture(3, 48, 32)), 0.0)
    assert torch.allclose(model.paint(photo, code, 0.0), plain, atol=1e-5)
    half, full, beyond = (model.paint(photo, code, torch.tensor(s)) for s in (0.5, 1.0, 1.5))
    apart = [(painted - plain).abs().mean() for painted in (half, full, beyond)]
    assert apart == sorted(apart)


def test_mixes_and_batches_are_painted_each_on_its_own(model: NNSTD) -> None:
    photos = torch.cat([picture(1, 32, 32), picture(2, 32, 32)])
    a, b = (model.encode_style(picture(s, 32, 40)) for s in (5, 6))
    assert all(t.is_contiguous() and t.dtype == torch.float32 for t in a.values())
    both = model.encode_style(torch.cat([picture(s, 32, 40) for s in (5, 6)]))
    painted = model.paint(photos, both)
    for i, code in enumerate((a, b)):
        assert torch.allclose(painted[i : i + 1], model.paint(photos[i : i + 1], code), atol=1e-4)
    of_a, mixed = model.paint(photos, a), model.paint(photos, mix([a, b], [1, 1]))
    assert torch.allclose(model.paint(photos, mix([a, a], [1, 3])), of_a, atol=1e-4)
    assert (mixed - of_a).abs().max() > 1e-3


def test_codes_of_large_styles_are_bounded(model: NNSTD, monkeypatch: pytest.MonkeyPatch) -> None:
    style = picture(2, 32, 48)
    whole = model.encode_style(style)
    monkeypatch.setattr(nnst_d, "PLACES", 50)
    some, again = (model.encode_style(style) for _ in range(2))
    assert some["style.key"].shape[1] == some["style.value"].shape[1] == 50
    assert torch.equal(some["style.key"], again["style.key"])
    # Some of the same places, and all measured from the same centre.
    assert (some["style.key"][0] @ whole["style.key"][0].mT).amax(1).allclose(torch.ones(50))


def test_the_cycle_is_the_printed_sum_from_the_centre_of_the_style(model: NNSTD) -> None:
    style, painted = picture(2, 32, 48), picture(4, 32, 48)
    code = model.encode_style(style)
    itself = torch.arange(8 * 12)[None]
    assert model.cycle(style, code, [itself]).item() == pytest.approx(0, abs=1e-5)
    every = torch.cat([places(model, style.rot90(turn, (2, 3))) for turn in range(4)])
    has, wanted = (x.double() - every.double().mean(0) for x in (places(model, painted), every))
    expected = 1 - F.cosine_similarity(has, wanted[: 8 * 12]).mean()
    assert model.cycle(painted, code, [itself]).item() == pytest.approx(expected.item(), abs=1e-5)


def test_what_comes_after_the_encoder_learns(model: NNSTD) -> None:
    model.requires_grad_(True).encoder.requires_grad_(False)
    code = model.encode_style(picture(2, 40, 40))
    painted, found = model.traced(picture(1, 32, 32), code)
    (painted.square().mean() + model.cycle(painted, code, found)).backward()
    for name, p in model.named_parameters():
        assert (p.grad is None) == name.startswith("encoder."), name
        assert p.grad is None or p.grad.isfinite().all(), name
    model.requires_grad_(False)


def test_a_picture_that_stands_alone_is_fed_back_layer_by_layer(
    model: NNSTD, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, style = picture(1, 24, 32), picture(2, 40, 32)  # one scale
    code = model.encode_style(style)
    once = model(photo, code)
    monkeypatch.setattr(nnst_d, "ROUNDS", 0)
    assert torch.allclose(model.still(photo, code), once, atol=1e-4)
    turned = torch.cat([places(model, style.rot90(turn, (2, 3))) for turn in range(4)])
    widths = [8] * 2 + [16] * 2 + [32] * 4 + [64] * 4
    target = torch.cat(
        [
            of[distances(x.double(), of.double()).argmin(1)]
            for x, of in zip(
                *(torch.split(t, widths, 1) for t in (places(model, once), turned)), strict=True
            )
        ],
        1,
    )
    given = model.enter(target).double().mT.unflatten(1, (6, 8))[None]
    monkeypatch.setattr(nnst_d, "ROUNDS", 1)
    twice = model.still(photo, code)
    assert torch.allclose(twice.double(), plain_decoder(model, given).clamp(0, 1), atol=1e-3)
    assert torch.allclose(model.still(photo, code, 0.0), model(photo, code, 0.0), atol=1e-6)


def test_scales_begin_with_what_came_of_the_one_before(
    model: NNSTD, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nnst_d, "ROUNDS", 0)
    photo, style = picture(1, 40, 32), picture(2, 40, 48)  # two scales
    small_photo, small_style = (resized(x, [n // 2 for n in x.shape[2:]]) for x in (photo, style))
    code = model.encode_style(style)
    small = model(small_photo, model.encode_style(small_style))
    source = 0.75 * photo + 0.25 * resized(small, photo.shape[2:])
    assert torch.allclose(model.still(photo, code), model(source, code), atol=1e-4)
    mixed = model.still(photo, mix([code, model.encode_style(picture(3, 40, 48))], [3, 1]))
    assert (mixed - model.still(photo, code)).abs().max() > 1e-3


def test_only_an_input_of_one_picture_stands_alone(tmp_path: Path) -> None:
    for name, count in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.new("RGB", (48, 40)).save(tmp_path / name / f"{i}.png")
    Image.fromarray(to_pixels(picture(2, 40, 48))).save(tmp_path / "a.png")
    state = models.build("nnst_d", width=0.0625).state_dict()
    about = {"model": "nnst_d", "model_options": '{"width": 0.0625}'}
    save_file(state, tmp_path / "nnst_d.safetensors", about)
    weights, style = str(tmp_path / "nnst_d.safetensors"), str(tmp_path / "a.png")
    options = StreamOptions(style=[style], model=weights, output=[str(tmp_path / "out") + "/"])
    for name, alone in (("one", True), ("two", False)):
        with planned(str(tmp_path / name), options) as plan:
            assert plan.look.alone == alone
    look = make_look(options, [read_style(style, weights)])
    seen = []
    for alone in (False, True):
        with closing(FramePool.create(2, 40, 48)) as pool:
            stylizer = Stylizer(pool.handle, replace(look, alone=alone))
            stylizer.open()
            pool[0][:] = to_pixels(picture(1, 40, 48))
            stylizer.stylize([Ticket(0, 0, Fraction(1, 25), 0)], [1])
            seen.append(pool[1].copy())
    assert not np.array_equal(*seen)
