"""StyA2K against a literal, dense implementation of what the published code computes."""

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

import models
from models.mixing import mix, parts
from models.stya2k import A2K, PATCHES


def project(state: State, name: str, x: Tensor) -> Tensor:
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return torch.einsum("oi,bihw->bohw", weight.to(x)[:, :, 0, 0], x) + bias.to(x)[:, None, None]


def dense(state: State, content: Tensor, style: Tensor, p: int, heads: int = 8) -> Tensor:
    """One picture (C,H,W), sides divisible by p: head by head, patch by patch, as written down."""
    c, h, w = content.shape
    alpha, beta = state["sim_alpha"].to(content), state["sim_beta"].to(content)

    def projected(names: str, x: Tensor) -> Tensor:
        return project(state, names, x[None])[0]

    q1, q2 = (projected(n, norm(content[None])[0]) for n in ("q", "q2"))
    k1, k2 = (projected(n, norm(style[None])[0]) for n in ("k", "k2"))
    v1, v2 = (projected(n, style) for n in ("v", "v2"))

    def corners(x: Tensor) -> list[tuple[int, int]]:
        return [(i, j) for i in range(0, x.shape[1], p) for j in range(0, x.shape[2], p)]

    spread, found = torch.zeros_like(content), torch.zeros_like(content)
    width = c // heads
    for head in range(heads):
        channels = slice(head * width, (head + 1) * width)

        def cut(x: Tensor, at: tuple[int, int], channels: slice = channels) -> Tensor:
            i, j = at
            return x[channels, i : i + p, j : j + p].flatten(1)

        keys, values = [], []
        for at in corners(style):
            k, v = cut(k1, at), cut(v1, at)
            similar = torch.sigmoid(beta + alpha * (k.mean(1) @ k))
            keys.append(((k * similar).sum(1) + k.mean(1)) / (p * p + 1))
            values.append(((v * similar).sum(1) + v.mean(1)) / (p * p + 1))
        key, value = torch.stack(keys), torch.stack(values)
        a = (q1[channels].flatten(1).T @ key.T).softmax(1)
        spread[channels] = (a @ value).T.view(width, h, w)
        for i, j in corners(content):
            q = cut(q2, (i, j))
            best = max(corners(style), key=lambda at, q=q, cut=cut: float((q * cut(k2, at)).sum()))
            a = (q.T @ cut(k2, best)).softmax(1)
            found[channels, i : i + p, j : j + p] = (a @ cut(v2, best).T).T.view(width, p, p)
    return projected("fusion1", spread) + projected("fusion2", found) + content


def features(seed: int, *size: int) -> Tensor:
    return torch.randn(2, 16, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("content", "style"), [((8, 8), (8, 8)), ((12, 12), (12, 12)), ((8, 16), (20, 12))]
)
def test_attention_is_the_literal_formula(content: tuple[int, int], style: tuple[int, int]) -> None:
    module = scramble(A2K(16, 4))
    c, s = features(1, *content), features(2, *style)
    out = module(c, module.summarise(s))
    for i in range(2):
        expected = dense(module.state_dict(), c[i].double(), s[i].double(), 4)
        assert torch.allclose(out[i].double(), expected, atol=1e-5)


def test_maps_are_extended_to_whole_patches_by_their_edges() -> None:
    """The style: of its projections, after its statistics. The content: only for its patches."""
    module = scramble(A2K(16, 4))
    c, s = features(1, 8, 8), features(2, 8, 8)
    cropped = s[:, :, :7, :6]
    summary = module.summarise(cropped)
    assert summary["key"].shape == (2, 8, 4, 2)
    whole = module.k2(norm(cropped))
    whole = torch.cat([whole, whole[:, :, -1:]], 2)
    whole = torch.cat([whole, whole[..., -1:], whole[..., -1:]], 3)
    last = whole[0, 2:4, 4:, 4:].flatten(1).T  # second head, last patch
    assert torch.allclose(summary["patch_key"][0, 1, 3], last, atol=1e-6)
    out = module(c[:, :, :5, :7], summary)
    assert out.shape == (2, 16, 5, 7)
    for size in ((1, 1), (1, 9), (13, 3)):
        assert module(features(3, *size), summary).shape[2:] == size
        assert module(c, module.summarise(features(3, *size))).isfinite().all()


def test_summary_grows_with_the_style_alone_and_mixes_by_share() -> None:
    module = scramble(A2K(16, 4))
    c = features(1, 8, 12)
    summaries = [module.summarise(features(2, 8, 8)), module.summarise(features(3, 4, 12))]
    codes = [{f"level3.{n}": t for n, t in s.items()} for s in summaries]
    out = module(c, *parts(mix(codes, [1, 3]), "level3"))
    first, second = (module(c, s) for s in summaries)
    assert torch.allclose(out, 0.25 * first + 0.75 * second, atol=1e-5)


def test_parameters_are_named_as_published() -> None:
    names = {name.removesuffix(".weight").removesuffix(".bias") for name in A2K(16, 4).state_dict()}
    assert names == {*"qkv", "q2", "k2", "v2", "fusion1", "fusion2", "sim_alpha", "sim_beta"}


def test_whole_model_is_the_published_one() -> None:
    model = scramble(models.build("stya2k"))
    state = model.state_dict()
    photo, style = picture(1, 64, 64), picture(2, 64, 128)
    content, of_style = (
        plain_encoder(x.double(), layers(state, "encoder", ENCODER)) for x in (photo, style)
    )
    styled = []
    for level, patch in PATCHES.items():
        prefix = f"attention.{level}."
        own = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        styled.append(dense(own, content[level - 1][0], of_style[level - 1][0], patch)[None])
    merge = [(state["decoder.merge.weight"].double(), state["decoder.merge.bias"].double())]
    expected = plain_decoder(styled, merge, layers(state, "decoder", DECODER))
    assert expected.std() > 0.1
    out = model.paint(photo, model.encode_style(style))
    assert torch.allclose(out.double(), expected, atol=2e-4)
