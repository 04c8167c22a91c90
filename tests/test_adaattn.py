"""AdaAttN against the dense formulas of the paper and of the published code."""

import pytest
import torch
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
from models import adaattn
from models.adaattn import AdaAttN
from models.bands import split
from models.mixing import mix, parts

SMALL = {0.0: 1e-5, 30.0: 1e-4}
"""Error allowed to values of an offset: one part in a million."""


def key_of(maps: list[Tensor], level: int) -> Tensor:
    size = maps[level - 1].shape[2:]
    return torch.cat([norm(F.interpolate(m, size)) for m in maps[:level]], 1)


def project(state: State, name: str, x: Tensor) -> Tensor:
    """A 1x1 convolution as a matrix product, (B,C,H*W)."""
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return weight.to(x.dtype)[:, :, 0, 0] @ x.flatten(2) + bias.to(x.dtype)[:, None]


def dense(
    state: State,
    content: Tensor,
    content_key: Tensor,
    style: Tensor,
    style_key: Tensor,
    kind: str,
    epsilon: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    """M and S by the full attention map, as in the published code, in the inputs' precision."""
    q, k = project(state, "f", content_key).mT, project(state, "g", style_key)
    value = project(state, "h", style).mT
    if kind == "softmax":
        a = (q @ k).softmax(2)
    else:
        lengths = (q.norm(dim=2, keepdim=True) + 1e-5) * (k.norm(dim=1, keepdim=True) + 1e-5)
        a = (q @ k / lengths + 1).relu()
        a = a / (a.sum(2, keepdim=True) + epsilon)
    mean = a @ value
    deviation = (a @ value.square() - mean.square()).relu().sqrt()
    return mean.mT.view(content.shape), deviation.mT.view(content.shape)


def example(seed: int, *size: int, offset: float = 0.0) -> tuple[Tensor, Tensor]:
    """Features (2,8,H,W) and keys (2,20,H,W)."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 8, *size, generator=generator) + offset
    return features, norm(torch.randn(2, 20, *size, generator=generator))


@pytest.mark.parametrize("kind", ["softmax", "cosine"])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_attention_is_the_dense_formula(kind: str, offset: float) -> None:
    module = scramble(AdaAttN(8, 20, kind))
    content, content_key = example(1, 9, 7)
    style, style_key = example(2, 11, 6, offset=offset)
    inputs = [x.double() for x in (content, content_key, style, style_key)]
    # The published rows sum to a little less than 1, which biases S of far-off values.
    mean, deviation = dense(module.state_dict(), *inputs, kind, epsilon=0 if offset else 1e-5)
    summary = module.summarise(style, style_key)
    flat = torch.ones_like(content)  # 0 when normalised: what is left is M
    assert torch.allclose(module(flat, content_key, summary).double(), mean, atol=SMALL[offset])
    out = module(content, content_key, summary).double()
    expected = deviation * norm(content.double()) + mean
    assert torch.allclose(out, expected, atol=2e-3 if kind == "softmax" else SMALL[offset])


@pytest.mark.parametrize("sharpness", [3.0, 30.0])
def test_deviation_stays_good_where_softmax_chooses_one_position(sharpness: float) -> None:
    module = scramble(AdaAttN(8, 20, "softmax"))
    module.f.weight.data *= sharpness
    content, content_key = example(1, 9, 7)
    style, style_key = example(2, 11, 6, offset=1.0)
    inputs = [x.double() for x in (content, content_key, style, style_key)]
    mean, deviation = dense(module.state_dict(), *inputs, "softmax")
    summary = module.summarise(style, style_key)
    ours = adaattn.attend(module.f(content_key), [summary])
    assert torch.allclose(ours[0].double(), mean, atol=1e-4)
    assert torch.allclose(ours[1].double(), deviation, atol=2e-3)


def test_a_map_made_in_pieces_is_the_whole_map(monkeypatch: pytest.MonkeyPatch) -> None:
    module = scramble(AdaAttN(8, 20, "softmax"))
    content, style = example(1, 9, 7), example(2, 11, 6)
    whole = module(*content, module.summarise(*style))
    sizes = []
    softmax = torch.Tensor.softmax

    def watched(x: Tensor, dim: int) -> Tensor:
        sizes.append(x.numel())
        return softmax(x, dim)

    monkeypatch.setattr(torch.Tensor, "softmax", watched)
    monkeypatch.setattr(adaattn, "MAP_SIZE", 1000)
    assert torch.allclose(module(*content, module.summarise(*style)), whole, atol=1e-6)
    assert max(sizes) <= 1000
    assert sum(sizes) == 2 * 63 * 66


def test_a_map_made_in_pieces_is_not_kept_for_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    module = scramble(AdaAttN(8, 20, "softmax")).requires_grad_()
    content, style = example(1, 9, 7), example(2, 11, 6)
    kept: list[torch.Size] = []

    def keep(x: Tensor) -> Tensor:
        kept.append(x.shape)
        return x

    def slopes() -> tuple[Tensor, ...]:
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            out = module(*content, module.summarise(*style))
        return torch.autograd.grad(out.square().mean(), [*module.parameters()])

    whole = slopes()
    assert (2, 63, 66) in kept
    monkeypatch.setattr(adaattn, "MAP_SIZE", 1000)
    pieces = slopes()
    assert (2, 7, 66) not in kept  # nine of them are the whole map
    for a, b in zip(whole, pieces, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["softmax", "cosine"])
def test_published_sampling_is_the_authors_and_leaves_the_common_generator(kind: str) -> None:
    module = scramble(AdaAttN(8, 20, kind, sample=25))
    content, style = example(1, 5, 4), example(2, 11, 6)
    before = torch.get_rng_state()
    out = module(*content, module.summarise(*style))
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.manual_seed(6666)
        chosen = torch.randperm(66)[:25]
    drawn = [x.flatten(2)[:, :, chosen, None].double() for x in style]
    mean, deviation = dense(module.state_dict(), *(x.double() for x in content), *drawn, kind)
    expected = deviation * norm(content[0].double()) + mean
    assert torch.allclose(out.double(), expected, atol=2e-3 if kind == "softmax" else 1e-5)


def test_only_the_published_switch_samples() -> None:
    def samples(**options: object) -> list[int | None]:
        return [m.sample for m in models.build("adaattn", **options).attention.values()]

    assert samples() == [None, None, None]
    assert samples(published=True) == [4096, 65536, 65536]
    assert samples(published=True, levels=[3]) == [65536]


def test_mixed_styles_average_mean_and_deviation() -> None:
    module = scramble(AdaAttN(8, 20, "softmax"))
    content, content_key = example(1, 5, 4)
    styles = [example(2, 6, 6), example(3, 4, 9, offset=2.0)]
    codes = [{f"level3.{n}": t for n, t in module.summarise(*s).items()} for s in styles]
    out = module(content, content_key, *parts(mix(codes, [1, 3]), "level3"))
    (m1, s1), (m2, s2) = (
        dense(module.state_dict(), content, content_key, *s, "softmax") for s in styles
    )
    expected = (0.25 * s1 + 0.75 * s2) * norm(content) + 0.25 * m1 + 0.75 * m2
    assert torch.allclose(out, expected, atol=2e-3)


@pytest.mark.parametrize("levels", [(3, 4, 5), (3,)])
@pytest.mark.parametrize("kind", ["softmax", "cosine"])
def test_whole_model_is_the_published_one(kind: str, levels: tuple[int, ...]) -> None:
    model = scramble(models.build("adaattn", attention=kind, levels=levels))
    state = model.state_dict()
    photo, style = picture(1, 48, 64), picture(2, 60, 45)
    content, of_style = (
        plain_encoder(x.double(), layers(state, "encoder", ENCODER)) for x in (photo, style)
    )
    styled = []
    for level in levels:
        prefix = f"attention.{level}."
        own = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        c, s = content[level - 1], of_style[level - 1]
        mean, deviation = dense(own, c, key_of(content, level), s, key_of(of_style, level), kind)
        styled.append(deviation * norm(c) + mean)
    merge = [(state["decoder.merge.weight"], state["decoder.merge.bias"])] if levels[1:] else []
    merge = [(w.double(), b.double()) for w, b in merge]
    expected = plain_decoder(styled, merge, layers(state, "decoder", DECODER))
    assert expected.std() > 0.1
    out = model.paint(photo, model.encode_style(style))
    assert torch.allclose(out.double(), expected, atol=2e-4)


def test_recolored_paintings_have_the_colors_of_the_style_at_every_scale() -> None:
    plain = scramble(models.build("adaattn", width=0.0625))
    plain.decoder.conv1_1.weight.data *= 50.0  # such contrast as paintings have
    model = models.build("adaattn", width=0.0625, recolor=True)
    model.load_state_dict(plain.state_dict())
    photo, style = (
        picture(1, 48, 64),
        picture(2, 64, 48) * torch.tensor([0.9, 0.4, 0.2])[:, None, None],
    )
    code = model.encode_style(style)
    before, after = plain.paint(photo, plain.encode_style(style)), model.paint(photo, code)

    def moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        flat = x[0].detach().flatten(1).double()
        return flat.mean(1), flat.cov(correction=0)

    def bands_of(x: torch.Tensor) -> list[torch.Tensor]:
        return [moments(band)[1] for band in split(x)]

    for painted in (after, model.paint(photo, code, 1.5)):  # strokes may go beyond the style
        assert torch.allclose(moments(painted)[0], moments(style)[0], atol=2e-3)
        # A step of the pyramid puts a little of each band into its neighbours.
        bands = [bands_of(x) for x in (painted, before, style)]
        off = [(own - wanted).abs().max() for own, _, wanted in zip(*bands, strict=True)]
        was = [(own - wanted).abs().max() for _, own, wanted in zip(*bands, strict=True)]
        assert off[0] < 2e-4 < was[0] / 20
        assert sum(off) < sum(was) / 2
    assert not torch.allclose(moments(before)[0], moments(style)[0], atol=0.05)
    assert torch.allclose(model.paint(photo, code, 0.0), plain.paint(photo, code, 0.0), atol=1e-6)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match="attention must be softmax or cosine, not 'linear'"):
        models.build("adaattn", attention="linear")
    with pytest.raises(ValueError, match=r"levels must be \(3, 4, 5\) or \(3,\), not \(4, 5\)"):
        models.build("adaattn", levels=[4, 5])
