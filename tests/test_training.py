"""Training and evaluation for real, a few steps of them, on pictures made here.

The loss network has VGG-19's shape and random weights: its features are no good, but everything
that computes with them is the real thing.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from safetensors.torch import load_file, save_file

from pipeline.options import build, read_yaml
from training.loss_network import CONVS, load_loss_network
from training.losses import nearest_loss
from training.options import TrainingOptions

WIDTHS = {"1": 64, "2": 128, "3": 256}


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `content` and `style` of small pictures, and `vgg.safetensors`."""
    folder = tmp_path_factory.mktemp("material")
    rng = np.random.default_rng(0)
    for kind in ("content", "style"):
        (folder / kind).mkdir()
        for i in range(3):
            rough = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
            rough.resize((120, 90)).save(folder / kind / f"{i}.png")
    generator, weights, last = torch.Generator().manual_seed(0), {}, 3
    for name in CONVS[:8]:
        width = WIDTHS[name[0]]
        filters = torch.randn(width, last, 3, 3, generator=generator) * (2 / (9 * last)) ** 0.5
        weights |= {f"conv{name}.weight": filters, f"conv{name}.bias": torch.zeros(width)}
        last = width
    save_file(weights, folder / "vgg.safetensors")
    config = (ROOT / "configs/train_compact.yaml").read_text()
    for deep in (', "4_1": 1.0', ', "5_1": 1.0'):
        config = config.replace(deep, "")
    (folder / "config.yaml").write_text(config)
    return folder


def run(module: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *map(str, words)]
    # Threads that do not spin: a busy machine must not make this crawl.
    patient = os.environ | {"OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        command, cwd=ROOT, env=patient, capture_output=True, text=True, timeout=170
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def train(material: Path, out: Path, steps: int) -> subprocess.CompletedProcess[str]:
    return run(
        "training", "--config", material / "config.yaml", "--content", material / "content",
        "--style", material / "style", "--vgg", material / "vgg.safetensors", "--out", out,
        "--steps", steps, "--batch", 2, "--side", 64, "--precision", "float32",
        "--save-every", 2, "--sample-every", 4,
    )  # fmt: skip


def test_training_saves_samples_logs_and_resumes(material: Path, tmp_path: Path) -> None:
    first = train(material, tmp_path, 4)
    assert first.returncode == 0, first.stderr
    before = load_file(tmp_path / "weights.safetensors")
    second = train(material, tmp_path, 6)
    assert "resumed at step 4" in second.stdout
    after = load_file(tmp_path / "weights.safetensors")
    assert any(not torch.equal(before[name], after[name]) for name in before)
    names = {p.name.split(".")[0] for p in tmp_path.iterdir()}
    assert {"checkpoint", "weights", "sheet_000004", "sheet_000006", "events"} <= names


def test_evaluation_of_the_shipped_model_prints_its_table(material: Path) -> None:
    done = run(
        "evaluation", "--content", material / "content", "--style", material / "style",
        "--vgg", material / "vgg.safetensors", "--side", 64,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "median of 9 pairs" in done.stdout.splitlines()[-1]


def test_the_shipped_config_states_the_defaults() -> None:
    values = read_yaml(ROOT / "configs/train_compact.yaml")
    assert build(TrainingOptions, values) == TrainingOptions()
    assert set(values) == set(TrainingOptions.__dataclass_fields__)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--content", "nowhere", "--style", "nowhere"], "no pictures in nowhere"),
        (["--stile", "x"], "did you mean --style"),
        (["--precision", "int4"], "none of float32, bfloat16"),
    ],
)
def test_mistakes_get_one_line(words: list[str], message: str) -> None:
    done = run("training", *words)
    assert done.returncode == 2
    assert message in done.stderr


def test_loss_network_is_scaled_to_its_photographs(material: Path) -> None:
    network = load_loss_network(str(material / "vgg.safetensors"))
    pictures = torch.rand(4, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    layers = ["1_1", "2_1", "3_1", "3_4"]
    network.calibrate([pictures], layers)
    means = {n: m.mean().item() for n, m in network(pictures, layers).items()}
    assert means == {n: pytest.approx(1, abs=1e-3) for n in layers}


def test_nearest_loss_has_the_gradient_of_the_dense_minimum() -> None:
    generator = torch.Generator().manual_seed(3)
    style = torch.randn(1, 8, 6, 6, generator=generator)
    x = torch.randn(1, 8, 5, 5, generator=generator).requires_grad_()
    centre = style.flatten(2).mean(2, keepdim=True)
    a, b = (torch.nn.functional.normalize((t.flatten(2) - centre).mT, dim=2) for t in (x, style))
    (dense,) = torch.autograd.grad((1 - a @ b.mT).min(2).values.mean(), x)
    (ours,) = torch.autograd.grad(nearest_loss(x, style), x)
    assert torch.allclose(dense, ours, atol=1e-6)
