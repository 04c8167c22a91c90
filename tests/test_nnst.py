"""NNST's parts against the formulas written out densely, and pictures of awkward sizes."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import models
from engines import load_engine
from models import codes, hypercolumns, import_published, matching, nnst, oklab, pyramid, styles


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Every 1 - cos(a_i - mean, b_j - mean), one pair at a time, whole."""
    a, b = a - a.mean(0), b - b.mean(0)
    return 1 - (a @ b.T) / (a.norm(dim=1)[:, None] * b.norm(dim=1)[None])


def test_nearest_is_the_minimum_of_all_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = drawn(50, 7), drawn(90, 7, seed=1) + 3
    wanted = distances(a, b).argmin(1)
    # A pair at a time, a row at a time, blocks of both, all: the same.
    for entries, keys in ((1, 1), (1, 4096), (70, 7), (1000, 4096), (1 << 24, 4096)):
        monkeypatch.setattr(matching, "MAP_SIZE", entries)
        monkeypatch.setattr(matching, "KEYS", keys)
        found = matching.nearest(matching.directions(a), matching.directions(b))
        assert torch.equal(found, wanted)


def test_of_equal_neighbours_the_first_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = torch.eye(9).repeat(5, 1)  # whose products are exact
    for width in (4, 9, 11, 45):
        monkeypatch.setattr(matching, "KEYS", width)
        assert matching.nearest(keys[9:27], keys).tolist() == [*range(9), *range(9)]


def test_guides_add_their_squared_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = drawn(40, 5), drawn(60, 5, seed=1)
    wanted, there = drawn(40, 3, seed=2).sigmoid(), drawn(60, 3, seed=3).sigmoid()
    apart = (wanted[:, None] - there[None]).square().sum(2)
    both = 0.5 * distances(a, b) + 0.5 * apart
    for width in (4096, 7):
        monkeypatch.setattr(matching, "KEYS", width)
        found = matching.nearest(matching.directions(a), matching.directions(b), (wanted, there))
        assert torch.equal(found, both.argmin(1))


def test_gathering_has_the_gradient_of_the_whole_map() -> None:
    ours, theirs = drawn(80, 6).requires_grad_(), drawn(80, 6).requires_grad_()
    style = drawn(120, 6, seed=1)
    loss, dense = matching.pull(ours, style), distances(theirs, style).min(1).values.mean()
    loss.backward()
    dense.backward()
    assert abs(loss - dense) < 1e-12
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-13, rtol=0)


@pytest.mark.parametrize("size", [(256, 256), (37, 91), (5, 300), (1, 1)])
def test_a_pyramid_holds_its_picture(size: tuple[int, int]) -> None:
    picture = drawn(1, 3, *size)
    levels = pyramid.split(picture, 8)
    assert torch.allclose(pyramid.join(levels), picture, atol=1e-12)
    for fine, coarse in pairwise(levels):
        assert [max(1, n // 2) for n in fine.shape[2:]] == list(coarse.shape[2:])


def test_a_level_is_what_a_halving_loses() -> None:
    picture = drawn(1, 1, 8, 8)
    small = picture.reshape(1, 1, 4, 2, 4, 2).mean((3, 5))  # halved bilinearly: means of 2 x 2
    finest, rest = pyramid.split(picture, 2)
    assert torch.allclose(rest, small)
    inner = (9 * small[0, 0, 0, 0] + 3 * small[0, 0, 0, 1] + 3 * small[0, 0, 1, 0]) / 16
    inner += small[0, 0, 1, 1] / 16
    assert torch.allclose(finest[0, 0, 1, 1], picture[0, 0, 1, 1] - inner)


def test_oklab_has_the_published_values_and_an_inverse() -> None:
    # CSS Color 4 prints them: red and white.
    colours = torch.tensor([[1.0, 0, 0], [1, 1, 1], [0.2, 0.5, 0.7]], dtype=torch.float64)
    x = colours.T[None, :, :, None]
    lab = oklab.to_oklab(x)[0, :, :, 0].T
    wanted = torch.tensor([[0.62796, 0.22486, 0.12585], [1, 0, 0]], dtype=torch.float64)
    assert torch.allclose(lab[:2], wanted, atol=1e-4)
    for linear in (True, False):
        assert torch.allclose(oklab.from_oklab(oklab.to_oklab(x, linear), linear), x, atol=1e-6)


def test_colours_get_the_mean_and_the_covariance_of_the_style() -> None:
    x, style = drawn(1, 3, 30, 20), drawn(1, 3, 25, 31, seed=1) * 3 + 2
    style[:, 0] += style[:, 1]
    mean, covariance = oklab.moments(oklab.matched(x, style))
    flat = style[0].flatten(1).numpy()
    assert np.allclose(mean[:, 0], flat.mean(1))
    assert np.allclose(covariance, np.cov(flat, bias=True), rtol=1e-3)  # of the ridges


def test_chroma_is_filtered_along_the_lightness() -> None:
    chroma, light = drawn(1, 2, 6, 7), drawn(1, 1, 6, 7, seed=1)
    wanted = chroma.clone()
    for _ in range(5):
        before = torch.nn.functional.pad(wanted, (1, 1, 1, 1), mode="replicate")
        around = torch.nn.functional.pad(light, (1, 1, 1, 1), mode="replicate")
        for y in range(6):
            for x in range(7):
                near = around[0, 0, y : y + 3, x : x + 3]
                weight = torch.exp(-10 * (near - light[0, 0, y, x]).abs())
                part = before[0, :, y : y + 3, x : x + 3]
                wanted[0, :, y, x] = (part * weight).sum((1, 2)) / weight.sum()
    assert torch.allclose(oklab.along(chroma, light), wanted)


def test_published_colours_of_a_grey_style_clamp_the_lightness_alone() -> None:
    painted, content, grey = (drawn(1, 3, 20, 30, seed=i).sigmoid() for i in range(3))
    style = 0.3 + 0.3 * grey[:, :1] + 0.01 * grey
    o, s = (oklab.to_oklab(x, linear=False)[0].flatten(1).numpy() for x in (painted, style))
    low, high = s.min(1, keepdims=True), s.max(1, keepdims=True)
    x = np.concatenate([o[:1].clip(low[0], high[0]), o[1:]])
    assert (x[1:] > high[1:]).any()
    assert np.cov(s)[1:, 1:].max() < 6e-5

    def root(flat: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(np.cov(flat, bias=True) + 1e-4 * np.eye(3))
        return vectors * np.sqrt(values) @ vectors.T

    lab = root(s) @ np.linalg.inv(root(x)) @ (x - x.mean(1, keepdims=True))
    lab = (lab + s.mean(1, keepdims=True)).clip(low, high)
    wanted = oklab.from_oklab(torch.from_numpy(lab).view(1, 3, 20, 30), linear=False)
    assert torch.allclose(oklab.repainted(painted, content, style, published=True), wanted)


@pytest.mark.parametrize(("size", "scales", "reduced"), [((128, 192), 4, 3), ((256, 1024), 5, 2)])
def test_painting_starts_from_the_reduced_photograph(
    size: tuple[int, int], scales: int, reduced: int
) -> None:
    content = drawn(1, 3, *size)
    begun = nnst.beginning(content)
    assert nnst.scales_of(content) == scales
    assert not any(level.any() for level in begun[:reduced])
    # Halved bilinearly time and again: means of squares.
    small = nn.functional.avg_pool2d(content, 2**reduced)
    assert torch.allclose(pyramid.join(begun[reduced:]), small)


def test_published_samples_are_used_again_for_64_places_a_side_and_fewer() -> None:
    shapes = [(4, 130, 10), (8, 65, 4), (8, 64, 5), (16, 32, 2), (7, 32, 2)]
    maps = [drawn(1, *shape, seed=i) for i, shape in enumerate(shapes)]
    own = [m.view(m.shape[1], -1).T for m in maps]
    found = nnst.reused(own, maps)
    assert [a is b for a, b in zip(found, own, strict=True)] == [True, True, False, False, True]
    assert torch.equal(found[2].T, maps[1].view(8, -1))
    assert torch.equal(found[3].T, maps[1].view(16, -1))
    assert nnst.reused(own[2:], maps[2:])[0] is own[2]  # none larger


def test_published_main_pass_is_the_released_one_written_plainly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nnst, "PUBLISHED_STEPS", 2)
    monkeypatch.setattr(nnst, "pull", lambda now, *_: 0 * now.sum())  # nothing in the last pass
    model = models.build("nnst", published=True).double()
    content, style = (scaled(drawn(1, 3, 16, 18, seed=i), (64, 72)).sigmoid() for i in (0, 1))
    painted = released(content, style, model, scales=3, steps=2).clamp(0, 1)
    wanted = oklab.repainted(painted, content, style, published=True)
    assert torch.allclose(model(content, model.encode_style(style)), wanted, atol=1e-9, rtol=0)


def released(content: Tensor, style: Tensor, model: nnst.NNST, scales: int, steps: int) -> Tensor:
    """Up to the last pass, before the colours."""
    original, sought, looks = (decomposed(x, 8) for x in (content, content, style))
    sought[:3] = [level * 0 for level in sought[:3]]
    for scale in reversed(range(scales)):
        alpha = 0.0 if scale == scales - 1 else 0.25
        seen = alpha * composed([original[scale], *sought[scale + 1 :]])
        query = stacked(seen + (1 - alpha) * composed(original[scale:]), model)
        look = composed(looks[scale:])
        keys = torch.cat([stacked(look.rot90(turn, (2, 3)), model) for turn in range(4)])
        target = keys[distances(query, keys).argmin(1)]
        levels = [level.clone().requires_grad_() for level in sought[scale:]]
        adam = torch.optim.Adam(levels, 2e-3)
        for _ in range(steps):
            adam.zero_grad()
            picture = composed(levels)
            alike = torch.cosine_similarity(stacked(picture, model), target)
            (1 - alike.mean()).backward()
            adam.step()
        sought[scale:] = decomposed(picture.detach(), 8 - scale)  # the last step is lost
    return composed(sought)


def stacked(x: Tensor, model: nnst.NNST) -> Tensor:
    """Hypercolumns (N,C), each layer divided by its channels."""
    size = (x.shape[2] // 4, x.shape[3] // 4)
    maps = [m / m.shape[1] for m in hypercolumns.layers(model.encoder, x)]
    large = [nn.functional.interpolate(m, size, mode="bilinear", align_corners=True) for m in maps]
    return torch.cat(large, 1).flatten(2)[0].T


def decomposed(x: Tensor, count: int) -> list[Tensor]:
    """So many details while a side is left to halve, and the rest."""
    levels = []
    while len(levels) < count and min(x.shape[2:]) > 1:
        small = scaled(x, (x.shape[2] // 2, x.shape[3] // 2))
        levels.append(x - scaled(small, x.shape[2:]))
        x = small
    return [*levels, x]


def composed(levels: list[Tensor]) -> Tensor:
    *details, x = levels
    for detail in reversed(details):
        x = detail + scaled(x, detail.shape[2:])
    return x


def scaled(x: Tensor, size: Sequence[int]) -> Tensor:
    return nn.functional.interpolate(x, tuple(size), mode="bilinear")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> nnst.NNST:
    """The model that ships, for pictures that are not looked at."""
    monkeypatch.setattr(nnst, "STEPS", 2)
    monkeypatch.setattr(nnst, "PUBLISHED_STEPS", 2)
    return models.load("nnst")


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("size", [(32, 32), (33, 150), (96, 64)])
def test_any_size_is_painted_twice_the_same(
    hasty: nnst.NNST, size: tuple[int, int], published: bool
) -> None:
    hasty.published = published
    content = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    code = hasty.encode_style(content.flip(1).repeat(1, 1, 2, 1))
    with torch.inference_mode():  # as a stream does
        first, second = hasty(content, code), hasty(content, code)
    assert first.shape == content.shape
    assert torch.equal(first, second)
    assert 0 <= first.min() <= first.max() <= 1


def test_a_painting_can_pause_after_every_block(
    hasty: nnst.NNST, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever paints may be killed if it does not come back for long, and matching is long."""
    monkeypatch.setattr(matching, "MAP_SIZE", 4096)
    monkeypatch.setattr(matching, "KEYS", 64)
    content = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    shares = list(hasty.paint(content, hasty.encode_style(content.flip(3))))
    # 128 places at the full size, found among those of four turns, by blocks of 64 x 64.
    assert len(shares) > 2 * 8
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_vgg16_of_torchvision_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its keys and shapes; the features are those of its plain list of layers."""
    layers, inputs = [], 3
    for block, count in enumerate((2, 2, 3, 3, 3)):
        for _ in range(count):
            outputs = min(512, 64 << block)
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    plain = nn.Sequential(*layers)
    state = {f"features.{key}": t for key, t in plain.state_dict().items()}
    torch.save(state | {"classifier.6.bias": torch.zeros(1000)}, tmp_path / "vgg16.pth")
    out = tmp_path / "vgg16.safetensors"
    assert import_published.main([str(tmp_path / "vgg16.pth"), "-o", str(out)]) == 0
    model = models.load(out)
    assert models.optimises(out)
    picture = torch.rand(1, 3, 37, 50)
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    x, wanted = (picture - mean) / deviation, []
    for place, layer in enumerate(plain[:23]):
        x = layer(x)
        if place in (1, 3, 6, 8, 11, 13, 15, 18, 20, 22):  # the published list
            wanted.append(x)
    maps = dict(model.encoder.walk(picture)).values()
    assert len(maps) == 10
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(maps, wanted, strict=True))
    monkeypatch.setattr(nnst, "STEPS", 1)
    content = torch.rand(1, 3, 32, 40)
    assert model(content, model.encode_style(content.flip(2))).isfinite().all()


def test_weights_as_torchvision_has_them_are_not_loaded(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "vgg16.pth")
    with pytest.raises(ValueError, match="must first become one of ours"):
        models.load(tmp_path / "vgg16.pth")


def test_a_code_paints_as_its_picture_does(tmp_path: Path) -> None:
    """However large it is: both are kept at the same size."""
    large = np.random.default_rng(0).integers(0, 255, (600, 1300, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "large.png"), cv2.cvtColor(large, cv2.COLOR_RGB2BGR))
    assert styles.main(["make", str(tmp_path / "large.png"), "--model", "nnst"]) == 0
    engine = load_engine("nnst", "cpu")
    made = engine.encode_style(codes.read(tmp_path / "large.style", "nnst"))
    whole = engine.encode_style(large)
    assert made.keys() == whole.keys()
    assert made["picture.pixels"].shape == (1, 3, 473, 1024)
    assert all(torch.equal(made[name], whole[name]) for name in whole)
