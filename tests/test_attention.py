"""The linear form of cosine attention against the dense formula, and the algebra of summaries."""

import pytest
import torch
from torch import Tensor

from models import attention, mixing


def dense(q: Tensor, k: Tensor, v: Tensor, weights: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """Weighted mean and deviation by the full attention map, in float64; flat (B,C,N) inputs."""
    a = (floor + q.double().mT @ k.double()) * weights.double()
    a = a / a.sum(2, keepdim=True)
    values = v.double().mT
    mean = a @ values
    deviation = (a @ values.square() - mean.square()).clamp_min(0)
    return mean.mT.float(), (deviation + attention.EPS).sqrt().mT.float()


def random_style(seed: int, size: tuple[int, int], offset: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    key = attention.unit(torch.randn(2, 16, *size, generator=generator))
    return key, torch.randn(2, 24, *size, generator=generator) + offset


@pytest.mark.parametrize("offset", [0.0, 10.0, 100.0])
def test_linear_form_is_exact(offset: float) -> None:
    key, value = random_style(1, (9, 7), offset)
    query = attention.unit(torch.randn(2, 16, 5, 6, generator=torch.Generator().manual_seed(2)))
    mean, deviation = attention.attend(query, attention.summarise(key, value))
    even = torch.ones(key.flatten(2).shape[2])
    m, s = dense(query.flatten(2), key.flatten(2), value.flatten(2), even, 1.0)
    assert torch.allclose(mean.flatten(2), m, atol=1e-5 * max(1, offset))
    assert torch.allclose(deviation.flatten(2), s, atol=2e-5)


def test_mixed_summaries_are_the_summary_of_both_pictures() -> None:
    (k1, v1), (k2, v2) = random_style(1, (4, 5), 3.0), random_style(2, (6, 3), -2.0)
    query = attention.unit(torch.randn(2, 16, 5, 6, generator=torch.Generator().manual_seed(3)))
    mixed = mixing.summaries([attention.summarise(k1, v1), attention.summarise(k2, v2)], [0.3, 0.7])
    mean, deviation = attention.attend(query, mixed)
    weights = torch.cat([torch.full((20,), 0.3 / 20), torch.full((18,), 0.7 / 18)])
    k = torch.cat([k1.flatten(2), k2.flatten(2)], 2)
    v = torch.cat([v1.flatten(2), v2.flatten(2)], 2)
    m, s = dense(query.flatten(2), k, v, weights, 1.0)
    assert torch.allclose(mean.flatten(2), m, atol=1e-5)
    assert torch.allclose(deviation.flatten(2), s, atol=1e-4)


def test_summary_survives_autocast() -> None:
    key, value = random_style(1, (9, 7), 50.0)
    plain = attention.summarise(key, value)
    with torch.autocast("cpu", torch.bfloat16):
        cast = attention.summarise(key, value)
    assert all(torch.equal(plain[name], cast[name]) for name in plain)
