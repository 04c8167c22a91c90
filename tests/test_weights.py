"""Weights files: what ships, what they leave out, and what they may not ask for."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import models
from training import soup
from training.ship import main

SHIPPED = sorted((models.FOLDER / "weights").rglob("*.safetensors"))


def test_all_that_ships_is_less_than_25_megabytes() -> None:
    assert sum(path.stat().st_size for path in SHIPPED) < 25e6


def test_no_file_repeats_a_part_that_ships() -> None:
    part = load_file(models.weights_file("vgg_narrow"))
    for path in SHIPPED:
        if path.parent.name != "parts":
            assert not any(
                torch.equal(tensor, part[name.partition(".")[2]])
                for name, tensor in load_file(path).items()
                if name.partition(".")[2] in part
            )


def test_what_is_left_out_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = models.load("adaattn")
    with safe_open(models.weights_file("adaattn"), "pt") as file:
        about = file.metadata()
    whole, small = tmp_path / "whole.safetensors", tmp_path / "small.safetensors"
    tensors = {name: t.half().contiguous() for name, t in model.state_dict().items()}
    save_file(tensors, whole, metadata={n: v for n, v in about.items() if n != "parts"})
    assert main([str(whole), str(small)]) == 0
    assert "left out: encoder (vgg_narrow)" in capsys.readouterr().out
    assert small.stat().st_size < whole.stat().st_size - 1_500_000
    for path in (whole, small):
        again = models.load(path).state_dict()
        assert all(torch.equal(again[name], t) for name, t in model.state_dict().items())
    # Nor is it forgotten when that is done once more.
    assert main([str(small), str(whole)]) == 0
    assert "left out: encoder (vgg_narrow)" in capsys.readouterr().out
    assert models.load(whole).state_dict().keys() == model.state_dict().keys()


def test_a_trained_encoder_is_kept(tmp_path: Path) -> None:
    model = models.build("adaattn")
    whole, other = tmp_path / "whole.safetensors", tmp_path / "other.safetensors"
    save_file(
        {n: t.half().contiguous() for n, t in model.state_dict().items()},
        whole,
        metadata={"model": "adaattn", "model_options": "{}"},
    )
    assert main([str(whole), str(other)]) == 0
    assert load_file(other).keys() == load_file(whole).keys()
    (tmp_path / "plain").touch()
    assert other.stat().st_mode == (tmp_path / "plain").stat().st_mode
    models.load(other)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (json.dumps({"encoder": "nowhere"}), "leaves out a part that is not here: nowhere"),
        (json.dumps({"encoder": "../compact"}), "leaves out a part that is not here"),
        (json.dumps(["encoder"]), "what cannot be read"),
        (json.dumps({"encoder": 7}), "leaves out a part that is not here"),
        ("{", "what cannot be read"),
        (json.dumps({"decoder": "vgg_narrow"}), "does not fit its architecture"),
    ],
)
def test_parts_that_are_none_are_refused(parts: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    save_file(
        {"decoder.weight": torch.zeros(1)}, path, metadata={"model": "adaattn", "parts": parts}
    )
    with pytest.raises(ValueError, match=said):
        models.load(path)


def test_what_is_no_weights_file_is_not_shipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none.safetensors"
    path.write_text("none")
    with pytest.raises(ValueError, match="is not a weights file"):
        models.fingerprint(path)
    assert main([str(path), str(tmp_path / "out.safetensors")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {path}: ")
    assert main([str(tmp_path / "missing"), str(tmp_path / "out.safetensors")]) == 2


def test_a_soup_lies_between_two_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = load_file(models.weights_file("compact"))
    tuned, out = tmp_path / "tuned.safetensors", tmp_path / "soup.safetensors"
    save_file({n: t + 1 for n, t in begun.items()}, tuned, metadata=models.metadata("compact"))
    assert soup.main(["compact", str(tuned), "--share", "0.25", "-o", str(out)]) == 0
    found = load_file(out)
    assert all(
        torch.allclose(found[n] - t, torch.tensor(0.25).half(), atol=0.02) for n, t in begun.items()
    )
    assert models.load(out).encode_style(torch.rand(1, 3, 32, 32))
    assert soup.main(["compact", "adaattn", "-o", str(out)]) == 2
    assert "not weights of one model" in capsys.readouterr().err
    assert soup.main(["compact", str(tuned), "--share", "2", "-o", str(out)]) == 2
