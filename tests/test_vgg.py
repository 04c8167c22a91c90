"""The VGG encoder, the decoder, and what every model made of them promises."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

import models
from models.mixing import mix
from models.padding import pad
from models.vgg import Encoder, mean_variance_norm, stacked_key

# The maps here are small: a second thread would only wait for a busy machine.
torch.set_num_threads(1)

State = dict[str, Tensor]
Layers = list[tuple[Tensor, Tensor]]

ENCODER = ["0", *(f"{b}_{i}" for b, n in enumerate((2, 2, 4, 4, 1), 1) for i in range(1, n + 1))]
DECODER = ["4_1", "3_4", "3_3", "3_2", "3_1", "2_2", "2_1", "1_2", "1_1"]
SYSTEMS = {
    "adaattn": ("adaattn", {}),
    "softmax": ("adaattn", {"attention": "softmax"}),
    "video": ("adaattn", {"levels": [3]}),
    "stya2k": ("stya2k", {}),
    "neat": ("neat", {}),
    "neat softmax": ("neat", {"attention": "softmax"}),
}


def picture(seed: int, *size: int) -> Tensor:
    """Random colours, some smooth and some not, (1,3,H,W) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    small, fine = (torch.rand(1, 3, *s, generator=generator) for s in ((6, 6), size))
    return (0.7 * F.interpolate(small, size, mode="bicubic") + 0.3 * fine).clamp(0, 1)


def scramble(module: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights and biases of a size that keeps features near their scale; no gradients."""
    generator = torch.Generator().manual_seed(seed)
    for p in module.parameters():
        deviation = p[0].numel() ** -0.5 if p.dim() > 1 else 0.2
        p.data = torch.randn(p.shape, generator=generator) * deviation * 1.2
    return module.eval().requires_grad_(False)


def layers(state: State, part: str, names: list[str]) -> Layers:
    """Weights and biases of convolutions of a part of a model, in float64."""
    names = [f"{part}.conv{n}" for n in names if f"{part}.conv{n}.weight" in state]
    return [(state[f"{n}.weight"].double(), state[f"{n}.bias"].double()) for n in names]


def reflected(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight, bias)


def norm(x: Tensor) -> Tensor:
    """Zero mean and unit deviation of each channel, as the published codes have it."""
    variance, mean = torch.var_mean(x, (2, 3), keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def plain_encoder(x: Tensor, layers: Layers) -> list[Tensor]:
    """relu1_1 ... relu5_1 as the published layer list has them."""
    maps = []
    x = F.conv2d(x, *layers[0])
    for number, layer in enumerate(layers[1:], 1):
        if number in (3, 5, 9, 13):
            x = F.max_pool2d(x, 2, 2, ceil_mode=True)
        x = reflected(x, *layer).relu()
        if number in (1, 3, 5, 9, 13):
            maps.append(x)
    return maps


def plain_decoder(levels: list[Tensor], merge: Layers, layers: Layers) -> Tensor:
    """The published decoder, with a skip when there are three levels, or two: nothing to merge."""

    def up(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    x, *rest = levels
    if rest:
        deep = reflected(rest[0] + up(rest[1]), *merge[0]) if rest[1:] else rest[0]
        x = torch.cat([up(reflected(deep, *layers[0]).relu()), x], 1)
        layers = layers[1:]
    for number, layer in enumerate(layers[:-1], 1):
        x = reflected(x, *layer).relu()
        if number in (4, 6):
            x = up(x)
    return reflected(x, *layers[-1])


@pytest.fixture(scope="module", params=SYSTEMS)
def model(request: pytest.FixtureRequest) -> nn.Module:
    system, options = SYSTEMS[request.param]
    return scramble(models.build(system, **options))


@pytest.mark.parametrize("size", [(33, 49), (64, 32)])
def test_encoder_is_the_published_layer_list(size: tuple[int, int]) -> None:
    encoder = scramble(Encoder(width=0.25))
    state = {f"encoder.{name}": t for name, t in encoder.state_dict().items()}
    maps = encoder(picture(1, *size))
    expected = plain_encoder(picture(1, *size).double(), layers(state, "encoder", ENCODER))
    assert [m.shape for m in maps] == [m.shape for m in expected]
    assert [m.shape[1] for m in maps] == [16, 32, 64, 128, 128]
    for m, e in zip(maps, expected, strict=True):
        assert torch.allclose(m.double(), e, atol=1e-5)


def test_encoder_stops_at_its_depth_and_loads_a_deeper_file(tmp_path: Path) -> None:
    deep, shallow = scramble(Encoder(width=0.25)), Encoder(depth=3, width=0.25)
    save_file(deep.state_dict(), tmp_path / "encoder.safetensors")
    shallow.load(tmp_path / "encoder.safetensors")
    maps = shallow(picture(1, 32, 32))
    assert len(maps) == 3
    assert torch.equal(maps[2], deep(picture(1, 32, 32))[2])
    assert not hasattr(shallow, "conv3_2")
    save_file({"conv0.weight": torch.zeros(3, 3, 1, 1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="does not hold this encoder: conv0"):
        shallow.load(tmp_path / "other.safetensors")


def test_norm_has_the_published_variance_and_survives_what_the_published_code_does_not() -> None:
    x = picture(1, 5, 7)
    variance, mean = torch.var_mean(x, (2, 3), keepdim=True)
    assert torch.allclose(mean_variance_norm(x), (x - mean) / (variance + 1e-5).sqrt(), atol=1e-6)
    assert mean_variance_norm(torch.full((1, 2, 3, 3), 7.0)).eq(0).all()
    assert mean_variance_norm(torch.rand(1, 2, 1, 1)).eq(0).all()
    far = mean_variance_norm(x + 1000)
    assert far.std() == pytest.approx(1, abs=0.01)


def test_keys_are_resized_to_the_nearest_position_and_then_normalised() -> None:
    maps = [picture(1, 8, 8), picture(2, 4, 4), picture(3, 2, 2)]
    key = stacked_key(maps, 3)
    assert key.shape == (1, 9, 2, 2)
    assert torch.equal(key[:, :3], mean_variance_norm(maps[0][:, :, ::4, ::4]))
    assert torch.equal(key[:, 3:6], mean_variance_norm(maps[1][:, :, ::2, ::2]))
    assert torch.equal(key[:, 6:], mean_variance_norm(maps[2]))


def test_padding_reflects_and_repeats_only_where_it_cannot() -> None:
    x = picture(1, 12, 20)
    assert torch.equal(pad(x, 16), F.pad(x, (0, 12, 0, 4), mode="reflect"))
    assert torch.equal(pad(x, 4), x)
    assert torch.equal(pad(x[:, :, :3], 16), F.pad(x[:, :, :3], (0, 12, 0, 13), mode="replicate"))


@pytest.mark.parametrize(
    ("size", "style"),
    [((1, 1), (1, 1)), ((16, 16), (2, 40)), ((17, 31), (50, 70)), ((33, 90), (1, 1))],
)
def test_any_size_comes_back_in_range(
    model: nn.Module, size: tuple[int, int], style: tuple[int, int]
) -> None:
    out = model(picture(1, *size), model.encode_style(picture(2, *style)))
    assert out.shape == (1, 3, *size)
    assert out.isfinite().all()
    assert out.min() >= 0
    assert out.max() <= 1


def test_frames_and_codes_of_a_batch_do_not_depend_on_each_other(model: nn.Module) -> None:
    a, b = picture(1, 40, 56), picture(2, 40, 56)
    code, other = (model.encode_style(picture(s, 30, 30)) for s in (8, 9))
    both = model.paint(torch.cat([a, b]), code)
    assert torch.allclose(both[:1], model.paint(a, code), atol=1e-4)
    assert torch.allclose(both[1:], model.paint(b, code), atol=1e-4)
    pair = model.encode_style(torch.cat([picture(s, 30, 30) for s in (8, 9)]))
    assert all(len(t) == 2 and t.dtype == torch.float32 for t in pair.values())
    both = model.paint(torch.cat([a, b]), pair)
    assert torch.allclose(both[:1], model.paint(a, code), atol=1e-4)
    assert torch.allclose(both[1:], model.paint(b, other), atol=1e-4)


def test_strength_goes_from_the_photograph_through_the_style_and_beyond(model: nn.Module) -> None:
    photo, code = picture(1, 32, 48), model.encode_style(picture(2, 40, 40))
    plain = model.paint(photo, model.encode_style(picture(3, 50, 30)), 0.0)
    assert torch.allclose(model.paint(photo, code, 0.0), plain, atol=1e-5)
    full = model.paint(photo, code, 1.0)
    assert torch.allclose(model.paint(photo, code), full)
    beyond = model.paint(photo, code, torch.tensor(1.5))
    assert (beyond - plain).abs().mean() > (full - plain).abs().mean()


def test_mixing_ends_at_its_parts(model: nn.Module) -> None:
    photo = picture(1, 32, 32)
    a, b = (model.encode_style(picture(s, 30, 40)) for s in (5, 6))
    of_a, of_b = model.paint(photo, a), model.paint(photo, b)
    assert torch.equal(model.paint(photo, mix([a, b], [1, 0])), of_a)
    assert torch.allclose(model.paint(photo, mix([a, a], [1, 3])), of_a, atol=1e-4)
    half = model.paint(photo, mix([a, b], [1, 1]))
    assert (half - of_a).abs().max() > 1e-3
    assert (half - of_b).abs().max() > 1e-3
    again = model.paint(photo, mix([mix([b, a], [1, 1]), mix([a, b], [2, 2])], [1, 1]))
    assert torch.allclose(half, again, atol=1e-4)


def test_a_frame_costs_one_encoding_and_nothing_of_the_style(model: nn.Module) -> None:
    calls: list[str] = []
    for name, module in model.named_modules():
        if name == "encoder" or name.rsplit(".", 1)[-1] in {"g", "h", "k", "v", "k2", "v2"}:
            module.register_forward_hook(lambda *_, name=name: calls.append(name))
    code = model.encode_style(picture(2, 40, 40))
    assert calls.count("encoder") == 1
    assert len(calls) > 1
    calls.clear()
    model(picture(1, 32, 32), code)
    assert calls == ["encoder"]


def test_only_what_comes_after_the_encoder_learns(model: nn.Module) -> None:
    model.requires_grad_(True).encoder.requires_grad_(False)
    code = model.encode_style(picture(2, 40, 40))
    model.paint(picture(1, 32, 32), code).square().mean().backward()
    for name, p in model.named_parameters():
        assert (p.grad is None) == name.startswith("encoder."), name
        assert p.grad is None or p.grad.isfinite().all(), name
    model.requires_grad_(False)


def test_channels_last_and_autocast_change_little(model: nn.Module) -> None:
    photo, style = picture(1, 32, 32), picture(2, 40, 40)
    expected = model.paint(photo, model.encode_style(style))
    other = model.to(memory_format=torch.channels_last)
    code = other.encode_style(style)
    assert all(t.is_contiguous() for t in code.values())  # as files of codes need them
    assert torch.allclose(other.paint(photo, code), expected, atol=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        code = other.encode_style(style)
        out = other.paint(photo, code)
    assert all(t.dtype == torch.float32 for t in code.values())
    assert out.isfinite().all()
    model.to(memory_format=torch.contiguous_format)
