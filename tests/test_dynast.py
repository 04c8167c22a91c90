"""`dynast`: sparse attention is the dense one wherever its candidates are complete."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from looks import stylized
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

import models
from models.dynast import SHARPNESS, Block, Links, attend, children, shifted
from pipeline.errors import ConfigError
from pipeline.request import StreamOptions


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return models.build("dynast", width=0.0625).eval()


def style_maps(h: int, w: int) -> dict[str, Tensor]:
    names = {"key": 6, "prune": 3, "value": 8, "picture": 3}
    return {n: drawn(1, c, h, w, seed=i) / 6 for i, (n, c) in enumerate(names.items(), 1)}


def test_dense_attention_is_the_plain_formula() -> None:
    style, query, pruning = style_maps(3, 4), drawn(1, 6, 2, 3) / 6, drawn(1, 3, 2, 3, seed=9)
    q, p = (t.double().flatten(2).mT for t in (query, pruning))
    key, prune, value, picture = (
        style[n].double().flatten(2).mT for n in ("key", "prune", "value", "picture")
    )
    weights = (SHARPNESS * q @ key.mT).softmax(2) * (p @ prune.mT > 0)
    found = attend(query, pruning, style, None)
    assert torch.allclose(found.values.double(), weights @ value, atol=1e-5)
    kept = weights.sum(2, keepdim=True)
    assert torch.allclose(found.kept.double(), kept, atol=1e-5)
    assert torch.allclose(found.colours.double(), weights @ picture / (kept + 1e-8), atol=1e-3)
    assert torch.equal(found.best, (q @ key.mT).topk(4, 2).indices)


def test_a_complete_set_of_candidates_gives_the_dense_result() -> None:
    """In any order, some of them twice."""
    style, query, pruning = style_maps(4, 4), drawn(1, 6, 4, 6) / 6, drawn(1, 3, 4, 6, seed=9)
    generator = torch.Generator().manual_seed(3)
    every = torch.stack([torch.randperm(16, generator=generator) for _ in range(24)])[None]
    near = torch.cat([every, every[:, :, :5]], 2)
    sparse, dense = (attend(query, pruning, style, n) for n in (near, None))
    for ours, wanted in zip(sparse, dense, strict=True):
        assert torch.allclose(ours.float(), wanted.float(), atol=1e-5)


def test_candidates_are_the_children_of_matches_and_what_neighbours_suggest() -> None:
    here, there = torch.Size((4, 4)), torch.Size((6, 8))
    best = torch.tensor([[[0], [3], [8], [11]]])  # of a style of 3x4, for a content of 2x2
    found = children(best, here, there)
    assert found.shape == (1, 16, 4)
    assert sorted(found[0, 0].tolist()) == [0, 1, 8, 9]
    assert sorted(found[0, 15].tolist()) == [38, 39, 46, 47]
    # A content that lies in the style, moved by (1, 2): every neighbour suggests the same place.
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    true = ((rows + 1) * 8 + columns + 2).flatten()[None, :, None]
    inner = shifted(true, here, there).reshape(4, 4, 5)[1:-1, 1:-1]
    assert (inner == true.reshape(4, 4, 1)[1:-1, 1:-1]).all()


def test_what_no_link_gives_the_content_fills_in() -> None:
    """Equations 8 and 9, written out: SPADE (Park et al., 2019) weighed by the links that are
    missing, then a residual block."""
    torch.manual_seed(1)
    block = Block(8, 2)
    x, content, values = drawn(1, 8, 5, 6), drawn(1, 8, 5, 6, seed=1), drawn(1, 30, 8, seed=2)
    kept = drawn(1, 30, 1, seed=3).sigmoid()

    def conv(layer: torch.nn.Conv2d, y: Tensor) -> Tensor:
        return F.conv2d(F.pad(y, (1, 1, 1, 1), "reflect"), layer.weight, layer.bias)

    def by_place(y: Tensor) -> Tensor:
        centred = y - y.mean(1, keepdim=True)
        return centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()

    with torch.inference_mode():
        scale, shift = conv(block.modulate, content).split(8, 1)
        mean = x.mean((2, 3), keepdim=True)
        spade = (x - mean) / x.var((2, 3), keepdim=True).sqrt() * (1 + scale) + shift
        found, missing = values.mT.reshape(1, 8, 5, 6), 1 - kept.mT.reshape(1, 1, 5, 6)
        joint = by_place(found + missing * spade + x)
        expected = by_place(joint + conv(block.conv2, conv(block.conv1, joint).relu()))
        ours = block(x, content, Links(values, kept, *(torch.empty(0) for _ in range(2))))
    assert torch.allclose(ours, expected, atol=1e-4)


@pytest.mark.parametrize("size", [(16, 16), (31, 17), (61, 90)])
def test_any_size_of_content_and_style(model: torch.nn.Module, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        code = model.encode_style(drawn(1, 3, 50, 70).sigmoid())
        painted = model(drawn(1, 3, *size, seed=1).sigmoid(), code)
        moved = model.matches(drawn(1, 3, *size, seed=1).sigmoid(), code)
    assert painted.shape == (1, 3, *size)
    assert painted.isfinite().all()
    assert all(picture.isfinite().all() for picture in moved)


def test_the_gradient_reaches_every_parameter(model: torch.nn.Module) -> None:
    code = model.encode_style(drawn(1, 3, 32, 32).sigmoid())
    model.paint(drawn(1, 3, 32, 32, seed=1).sigmoid(), code).square().mean().backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    model.zero_grad()


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file: untrained, but what is alike in photograph and style looks alike to it."""
    torch.manual_seed(0)
    model = models.build("dynast", width=0.0625)
    for scale in model.scales:
        own = {n.replace("style", "content"): t for n, t in scale.state_dict().items()}
        scale.load_state_dict(own, strict=False)
        scale.position.data *= 5  # places differ, too
    path = tmp_path_factory.mktemp("weights") / "dynast.safetensors"
    about = {"model": "dynast", "model_options": '{"width": 0.0625}'}
    save_file(model.state_dict(), path, about)
    return path


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth blots; neither side can be divided by anything."""
    pixels = (3 * drawn(3, 4, 3)).sigmoid().mul(255).numpy().astype(np.uint8)
    picture = Image.fromarray(pixels).resize((101, 61), Image.Resampling.BICUBIC)
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    picture.save(path)
    return path


def test_show_matches_draws_what_every_layer_has_found(seeing: Path, photo: Path) -> None:
    """A photograph in its own style is found where it lies; last comes the painting."""
    options = StreamOptions(style=[str(photo)], model=str(seeing), device="cpu")
    (painted,) = stylized(photo, replace(options, engine="torch"))
    (sheet,) = stylized(photo, replace(options, show_matches=True))
    assert sheet.shape == painted.shape == (61, 101, 3)
    tiles = [sheet[61 * r // 3 :, 101 * c // 3 :][:20, :33] for r in range(3) for c in range(3)]
    own = np.asarray(Image.open(photo).resize((33, 20)), float)
    alike = [np.corrcoef(tile.ravel(), own.ravel())[0, 1] for tile in tiles[:8]]
    assert min(alike) > 0.6
    last = Image.fromarray(painted).resize((33, 20), Image.Resampling.BOX)
    assert np.abs(tiles[8] - np.asarray(last, float)).mean() < 8


def test_where_there_are_no_matches_to_show_is_said(photo: Path) -> None:
    options = StreamOptions(style=[str(photo)], device="cpu", show_matches=True)
    with pytest.raises(ConfigError, match="--show-matches is for dynast"):
        stylized(photo, options)
    for more in ({"mask": ["mask.png"]}, {"stabilize": True}):
        with pytest.raises(ConfigError, match="leave --mask and --stabilize"):
            stylized(photo, replace(options, **more))
