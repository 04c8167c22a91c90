"""NeAT against plain formulas, and what it lets one choose."""

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_vgg import (
    DECODER,
    ENCODER,
    State,
    layers,
    norm,
    picture,
    plain_decoder,
    plain_encoder,
    scramble,
)
from torch import Tensor
from torch.nn import functional as F

import models
from models import neat
from models.color import second_moments
from models.neat import PAMA
from pipeline.pool import FramePool
from pipeline.queues import Ticket
from pipeline.stylizer import Look, Stylizer
from pipeline.timeline import Span, Timeline


def plain_pama(state: State, content: Tensor, style: Tensor, kind: str) -> Tensor:
    """A block as Luo et al. print it, with the whole attention map, in float64."""
    w = {name.removesuffix(".weight"): t.double() for name, t in state.items() if "weight" in name}
    b = {name.removesuffix(".bias"): t.double() for name, t in state.items() if "bias" in name}

    def conv(name: str, x: Tensor, around: int = 0) -> Tensor:
        if around:
            x = F.pad(x, (around,) * 4, mode="reflect")
        return F.conv2d(x, w[name], b[name])

    fc, fs = (conv("conv_in", x, 1).clamp(0, 6) for x in (content, style))
    q = conv("f", norm(fc)).clamp(0, 6).flatten(2).mT
    k = conv("g", norm(fs)).clamp(0, 6).flatten(2)
    v = conv("h", fs).clamp(0, 6).flatten(2)
    if kind == "softmax":
        a = (q @ k).softmax(2)
    else:
        a = 0.1 + F.normalize(q, dim=2) @ F.normalize(k, dim=1)
        a = a / a.sum(2, keepdim=True)
    found = (v @ a.mT).reshape(len(v), -1, *fc.shape[2:])
    found = conv("conv_out", conv("out_conv", found).clamp(0, 6), 1).clamp(0, 6)
    both = conv("proj1", torch.cat([fc, found], 1))
    share = sum(conv(f"fuse.{i}", both, i).sigmoid() for i in range(3)) / 3
    return share * conv("proj2", fc) + (1 - share) * conv("proj3", found)


@pytest.mark.parametrize("kind", ["softmax", "cosine"])
def test_a_block_is_the_printed_one(kind: str) -> None:
    block = scramble(PAMA(16, kind))
    content, style = (
        torch.randn(2, 16, *size, generator=torch.Generator().manual_seed(n))
        for n, size in enumerate([(7, 9), (5, 11)])
    )
    out = block(content, block.summarise(style))
    expected = plain_pama(block.state_dict(), content.double(), style.double(), kind)
    assert expected.std() > 0.1
    assert torch.allclose(out.double(), expected, atol=1e-4)


def levels(x: Tensor) -> np.ndarray:
    """One picture as OpenCV takes it: float32 (H,W,3), 0 to 255."""
    return np.ascontiguousarray(x[0].permute(1, 2, 0).numpy() * 255)


def test_the_filters_are_those_of_opencv() -> None:
    x = picture(1, 40, 56)
    blurred = cv2.GaussianBlur(levels(x), (7, 7), 1.4, borderType=cv2.BORDER_REFLECT_101)
    assert np.abs(levels(neat.blur(x)) - blurred).max() < 0.01
    dense = cv2.bilateralFilter(blurred, 25, 100, 100, borderType=cv2.BORDER_REPLICATE)
    assert np.abs(levels(neat.bilateral(neat.blur(x), step=1)) - dense).max() < 0.01
    # What we leave out of it is not to be seen; what it does is.
    apart = np.abs(levels(neat.bilateral(neat.blur(x))) - dense)
    assert apart.mean() < 0.5
    assert apart.max() < 4
    assert np.abs(dense - blurred).mean() > 5


def test_the_prior_has_the_colours_of_the_style_and_the_detail_that_is_asked_for() -> None:
    # Colours away from black and white, so that none is cut.
    photo, style = 0.3 + 0.4 * picture(1, 40, 56), 0.4 + 0.2 * picture(2, 30, 30)
    mean, square = second_moments(style)

    def prior(detail: float) -> Tensor:
        about = {"color.mean": mean, "color.square": square, "prior.detail": torch.tensor([detail])}
        return neat.prior(photo, about)

    for ours, wanted in zip(second_moments(prior(1.0)), (mean, square), strict=True):
        assert torch.allclose(ours, wanted, atol=1e-3)
    expected = neat.bilateral(neat.blur(prior(1.0)))
    assert torch.allclose(prior(0.0), expected, atol=1e-5)
    assert torch.allclose(prior(0.5), (expected + prior(1.0)) / 2, atol=1e-5)
    sharp = [prior(d).diff(dim=3).abs().mean() for d in (0.0, 0.5, 1.0)]
    assert sharp == sorted(sharp)


@pytest.mark.parametrize("kind", ["softmax", "cosine"])
@pytest.mark.parametrize("strength", [1.0, 1.5])
def test_whole_model_is_prior_and_deltas(kind: str, strength: float) -> None:
    model = scramble(models.build("neat", attention=kind))
    state = model.state_dict()
    photo, style = picture(1, 48, 64), picture(2, 64, 40)
    content, of_style = (
        [m.clamp_max(6) for m in plain_encoder(x.double(), layers(state, "encoder", ENCODER))[2:4]]
        for x in (photo, style)
    )

    def moved(level: int, *blocks: str) -> Tensor:
        styled = content[level]
        for block in blocks:
            start = f"{block}."
            own = {n.removeprefix(start): t for n, t in state.items() if n.startswith(start)}
            styled = plain_pama(own, styled, of_style[level], kind)
        return content[level] + strength * (styled - content[level])

    seen = [moved(0, "fine"), moved(1, *(f"blocks.{i}" for i in range(4)))]
    deltas = plain_decoder(seen, [], layers(state, "decoder", DECODER))
    code = model.encode_style(style)
    traced = photo + strength * (neat.prior(photo, code) - photo)
    assert deltas.std() > 0.05
    out = model.paint(photo, code, strength)
    assert torch.allclose(out.double(), 0.5 * traced + deltas, atol=2e-4)


def test_only_cosine_codes_have_a_fixed_size() -> None:
    def floats(kind: str, side: int) -> int:
        code = models.build("neat", attention=kind, width=0.125).encode_style(
            picture(1, side, side)
        )
        return sum(t.numel() for t in code.values())

    assert floats("cosine", 32) == floats("cosine", 64)
    assert floats("softmax", 32) < floats("softmax", 64)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    model = scramble(models.build("neat", width=0.0625))
    about = {"model": "neat", "model_options": '{"width": 0.0625}'}
    save_file(model.state_dict(), tmp_path / "neat.safetensors", about)
    return tmp_path / "neat.safetensors"


def painted(weights: Path, detail: float | None) -> np.ndarray:
    """One frame by a stylizer."""
    rng = np.random.default_rng(0)
    style, frame = (rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(2))
    line = Timeline([(Span(), 1.0)])
    look = Look(
        str(weights), "cpu", [style], ["a"], line, [], 1.0, False, 1, "torch", detail=detail
    )
    with closing(FramePool.create(2, 48, 64)) as pool:
        stylizer = Stylizer(pool.handle, look)
        stylizer.open()
        pool[0][:] = frame
        stylizer.stylize([Ticket(0, 0, Fraction(1, 25), 0)], [1])
        return pool[1].astype(int)


def test_detail_reaches_the_frames_of_neat(weights: Path) -> None:
    plain, same, sharp = (painted(weights, d) for d in (None, 0.0, 1.0))
    assert np.array_equal(plain, same)
    assert np.abs(np.diff(sharp, axis=1)).mean() > 1.5 * np.abs(np.diff(plain, axis=1)).mean()


def test_only_two_kinds_of_attention_are_known() -> None:
    with pytest.raises(ValueError, match="attention must be softmax or cosine"):
        models.build("neat", attention="linear")
