"""The importer on made-up checkpoints with the keys and shapes of the published ones."""

import json
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from test_adaattn import dense, key_of, norm
from test_stya2k import dense as dense_a2k
from test_vgg import Layers, picture, plain_decoder, plain_encoder
from torch import Tensor

import models
from models.import_published import main
from training.weights import begin

State = dict[str, Tensor]
PLACES = (1, 4, 7, 10, 14, 17, 21, 24)
NARROWING = (*[(256, 256)] * 3, (128, 256), (128, 128), (64, 128), (64, 64), (3, 64))


def convolutions(shapes: dict[str, tuple[int, ...]]) -> State:
    """Random weights and biases under these names."""
    state = {}
    for name, shape in shapes.items():
        fan = shape[1] * shape[2] * shape[3]
        state[f"{name}.weight"] = torch.randn(shape) * 1.2 * fan**-0.5
        state[f"{name}.bias"] = torch.randn(shape[0]) * 0.2
    return state


def square(names: str, channels: int, prefix: str = "") -> State:
    return convolutions({f"{prefix}{n}": (channels, channels, 1, 1) for n in names.split()})


def a2k(channels: int, prefix: str = "") -> State:
    scalars = {f"{prefix}sim_alpha": torch.tensor([1.27]), f"{prefix}sim_beta": torch.rand(1)}
    return scalars | square("q k v q2 k2 v2 fusion1 fusion2", channels, prefix)


def vgg() -> State:
    widths = [3, 64, 64, 128, 128, *[256] * 4, *[512] * 6]
    places = (2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42, 45)
    shapes = {f"{i}": (b, a, 3, 3) for i, (a, b) in zip(places, pairwise(widths), strict=True)}
    return convolutions({"0": (3, 3, 1, 1)} | shapes)


def decoder(skip: bool) -> State:
    prefix = "decoder_layer_2." if skip else "decoder."
    shapes = {f"{prefix}{i}": (*s, 3, 3) for i, s in zip(PLACES, NARROWING, strict=True)}
    if skip:
        shapes |= {"decoder_layer_1.1": (256, 512, 3, 3), f"{prefix}1": (256, 512, 3, 3)}
    return convolutions(shapes)


def merge() -> State:
    return convolutions({"merge_conv": (512, 512, 3, 3)})


def level3() -> State:
    return square("f g", 448) | square("h", 256)


def transformer() -> State:
    four, five = "attn_adain_4_1.", "attn_adain_5_1."
    state = square("f g", 960, four) | square("h", 512, four)
    return state | square("f g", 1472, five) | square("h", 512, five) | merge()


def transform() -> State:
    return a2k(512, "attn_adain_4_1.") | a2k(512, "attn_adain_5_1.") | merge()


MAKERS: dict[str, Callable[[], State]] = {
    "vgg": vgg,
    "level3": level3,
    "transformer": transformer,
    "decoder": lambda: decoder(True),
    "video_decoder": lambda: decoder(False),
    "a2k": lambda: a2k(256),
    "transform": transform,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file of each kind, with names that say nothing."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(1)
    paths = {}
    for number, (kind, make) in enumerate(MAKERS.items()):
        paths[kind] = folder / f"{number}.pth"
        torch.save(make(), paths[kind])
    return paths


def pairs(state: State, names: list[str]) -> Layers:
    return [(state[f"{n}.weight"].double(), state[f"{n}.bias"].double()) for n in names]


def published(state: State, levels: tuple[int, ...], photo: Tensor, style: Tensor) -> Tensor:
    """What the authors' code makes of all keys of a set of checkpoints, densely in float64."""
    places = [0, 2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42]
    encoder = pairs(state, [str(i) for i in places])
    content, of_style = (plain_encoder(x.double(), encoder) for x in (photo, style))
    prefixes = {3: "", 4: "attn_adain_4_1.", 5: "attn_adain_5_1."}
    styled = []
    for level in levels:
        prefix = prefixes[level]
        own = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        c, s = content[level - 1], of_style[level - 1]
        if "q2.weight" in own:
            styled.append(dense_a2k(own, c[0], s[0], {3: 8, 4: 8, 5: 4}[level])[None])
            continue
        kind = "softmax" if len(levels) > 1 else "cosine"
        mean, deviation = dense(own, c, key_of(content, level), s, key_of(of_style, level), kind)
        styled.append(deviation * norm(c) + mean)
    if levels == (3,):
        return plain_decoder(styled, [], pairs(state, [f"decoder.{i}" for i in PLACES]))
    names = ["decoder_layer_1.1", *(f"decoder_layer_2.{i}" for i in PLACES)]
    return plain_decoder(styled, pairs(state, ["merge_conv"]), pairs(state, names))


@pytest.mark.parametrize(
    ("kinds", "model", "levels"),
    [
        (("decoder", "transformer", "vgg", "level3"), "adaattn", (3, 4, 5)),
        (("vgg", "video_decoder", "level3"), "adaattn", (3,)),
        (("a2k", "transform", "decoder", "vgg"), "stya2k", (3, 4, 5)),
    ],
)
def test_imported_model_paints_as_the_published_one(
    files: dict[str, Path],
    tmp_path: Path,
    kinds: tuple[str, ...],
    model: str,
    levels: tuple[int, ...],
) -> None:
    out = tmp_path / "imported.safetensors"
    assert main([*(str(files[k]) for k in kinds), "-o", str(out)]) == 0
    assert [p.name for p in tmp_path.iterdir()] == [out.name]
    with safe_open(out, "pt") as file:
        about = file.metadata()
    assert about["model"] == model
    sources = json.loads(about["files"])
    assert [s["name"] for s in sources] == [files[k].name for k in kinds]
    assert all(len(s["sha256"]) == 64 for s in sources)
    state: State = {}
    for kind in kinds:
        state |= torch.load(files[kind], weights_only=True)
    photo, style = picture(1, 64, 64), picture(2, 64, 64)
    imported = models.load(out)
    expected = published(state, levels, photo, style)
    assert expected.std() > 0.1
    painted = imported.paint(photo, imported.encode_style(style))
    assert torch.allclose(painted.double(), expected, atol=2e-4)


def test_prefix_of_parallel_training_and_published_sampling(
    files: dict[str, Path], tmp_path: Path
) -> None:
    state = torch.load(files["level3"], weights_only=True)
    path, out = tmp_path / "prefixed.pth", tmp_path / "out.safetensors"
    torch.save({f"module.{key}": tensor.half() for key, tensor in state.items()}, path)
    given = [str(p) for p in (files["vgg"], path, files["video_decoder"])]
    assert main([*given, "-o", str(out), "--published"]) == 0
    attention = models.load(out).attention["3"]
    assert attention.sample == 65536
    assert torch.equal(attention.f.weight, state["f.weight"].half().float())


def test_the_encoder_alone_is_a_part_for_training(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "encoder.safetensors"
    assert main([str(files["vgg"]), "-o", str(out)]) == 0
    (tmp_path / "plain").touch()
    assert out.stat().st_mode == (tmp_path / "plain").stat().st_mode
    model = models.build("adaattn", width=1.0)
    begin(model, f"encoder={out}")
    theirs = torch.load(files["vgg"], weights_only=True)
    assert torch.equal(model.encoder.conv1_1.weight, theirs["2.weight"])


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (("vgg", "decoder"), "AdaAttN lacks latest_net_adaattn_3.pth"),
        (("vgg", "decoder"), "StyA2K lacks latest_net_A2K.pth, latest_net_transform.pth"),
        (("level3", "transformer"), "AdaAttN lacks vgg_normalised.pth, latest_net_decoder.pth"),
        (("level3",), "AdaAttN for video lacks vgg_normalised.pth"),
        (("a2k", "transformer"), "belong to different models"),
        (("level3", "level3"), "hold the same part of a model"),
        (("a2k", "transform", "decoder", "vgg", "--published"), "is for AdaAttN, not for StyA2K"),
    ],
)
def test_wrong_sets_are_refused(
    files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kinds: tuple[str, ...],
    message: str,
) -> None:
    out = tmp_path / "out.safetensors"
    copies = []
    for number, kind in enumerate(kinds):
        copies.append(str(files[kind]) if kind in files else kind)
        if kind in kinds[:number]:
            copies[-1] = str(tmp_path / "again.pth")
            os.link(files[kind], copies[-1])
    refused(capsys, [*copies, "-o", str(out)], message)
    assert not out.exists()


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    """Status 2 and one line that says this."""
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert message in said.err


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("new_format", [True, False])
def test_pickled_code_is_refused_and_never_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], new_format: bool
) -> None:
    path, victim = tmp_path / "evil.pth", tmp_path / "victim"
    torch.save(level3() | {"x": Malicious(victim)}, path, _use_new_zipfile_serialization=new_format)
    refused(capsys, [str(path), "-o", str(tmp_path / "out.safetensors")], "plain tensors")
    assert not victim.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a checkpoint of plain tensors"),
        (b"PK\x03\x04 broken", "not a checkpoint of plain tensors"),
        (b"\x80\x02}q\x00.", "not a checkpoint of plain tensors"),
        ({"a": 1}, "not a plain list of named tensors"),
        ([torch.zeros(3)], "not a plain list of named tensors"),
        ({}, "none of the published files"),
        ({"conv.weight": torch.zeros(3)}, "none of the published files (its keys: conv.weight"),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object, message: str
) -> None:
    path = tmp_path / "other.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    refused(capsys, [str(path), "-o", str(tmp_path / "out.safetensors")], message)


def test_a_part_of_a_file_is_told_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, path = level3(), tmp_path / "level3.pth"
    del state["f.bias"], state["h.weight"]
    torch.save(state, path)
    message = "level3.pth is a part of latest_net_adaattn_3.pth"
    refused(capsys, [str(path), "-o", str(tmp_path / "out.safetensors")], message)
    refused(capsys, [str(path), "-o", str(tmp_path / "out.safetensors")], "lacks f.bias, h.weight")


def test_missing_files_and_bad_outputs_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing.pth")
    refused(capsys, [missing, "-o", str(tmp_path / "out.safetensors")], "missing.pth")
    refused(capsys, [missing, "-o", str(tmp_path / "out.pth")], "must be a .safetensors file")
    refused(capsys, [missing, "-o", str(tmp_path / "no" / "o.safetensors")], "folder that exists")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.fill_(float("nan")), "f.bias has values that are not finite"),
        (lambda t: t[:100], "f.bias is (100,), not (448,)"),
        (lambda t: t.int(), "f.bias has values that are not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Tensor], Tensor],
    message: str,
) -> None:
    state, path = level3(), tmp_path / "level3.pth"
    state["f.bias"] = change(state["f.bias"]).clone()
    torch.save(state, path)
    out = tmp_path / "out.safetensors"
    given = [str(p) for p in (files["vgg"], path, files["video_decoder"])]
    refused(capsys, [*given, "-o", str(out)], message)
    assert not out.exists()
