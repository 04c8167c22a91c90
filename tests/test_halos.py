"""What NeAT's Sobel split is for: fewer halos than the same training without it (section 4.2)."""

import os
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from PIL import Image
from skimage import data
from torch import Tensor
from torch.nn import functional as F

import models
from evaluation.halos import halo

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket", "camera", "coins", "moon", "clock")
SIDE = 256
STEPS = 500
FAR = 0.2
"""Of the short side: as far from edges as the model cannot see them, where halos end."""
LOSSES = {
    "style_weight": 3.0,
    "style_layers": {"1_1": 1.0, "2_1": 1.0, "3_1": 1.0},
    "content_weight": 1.0,
    "content_layers": {"3_1": 1.0},
    "identity_weight": 5.0,
    "covariance_weight": 0.0,
    "nearest_weight": 0.0,
    "local_weight": 0.0,
    "consistency_weight": 0.0,
    "grid_weight": 0.0,
    "alive_weight": 10.0,
}
"""Little beside the discriminators, so that what they ask for shows in a few hundred steps."""
COURSE = {"steps": STEPS, "batch": 4, "side": 96, "short_side": 192, "rate": 0.0004, "warmup": 20}
COURSE |= {"decay": 0.3, "average": 0.95, "longest": 2.0, "sample_every": STEPS, "critic_rate": 4.0}


def trained(folder: Path, **discriminators: float) -> torch.nn.Module:
    """`neat` as it ships, after STEPS more with these discriminators."""
    config, out = folder / "config.yaml", folder / "out"
    about = {
        "model": "neat",
        "init": ["neat"],
        "frozen": ["encoder"],
        "content": [str(folder.parent / "content")],
        "style": [str(ROOT / "styles")],
        "vgg": str(ROOT / "models/weights/parts/vgg_narrow.safetensors"),
        "out": str(out),
    }
    folder.mkdir()
    config.write_text(yaml.safe_dump(about | COURSE | LOSSES | discriminators))
    command = [sys.executable, "-m", "training", "--config", str(config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=PATIENT)
    assert done.returncode == 0, done.stderr
    return models.load(out / "weights.safetensors")


PATIENT = os.environ | {"OMP_WAIT_POLICY": "passive"}


def pictures(paths: list[Path]) -> list[Tensor]:
    """Each (1,3,H,W) in [0, 1], with a short side of SIDE."""
    found = []
    for path in paths:
        pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None]
        scale = SIDE / min(pixels.shape[2:])
        found.append(F.interpolate(pixels / 255, scale_factor=scale, mode="area"))
    return found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_patches_that_are_split_by_their_edges_leave_fewer_halos(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    for name in PHOTOGRAPHS:
        Image.fromarray(getattr(data, name)()).convert("RGB").save(tmp_path / f"content/{name}.png")
    split = trained(tmp_path / "split", simple_weight=5.0, complex_weight=15.0)
    plain = trained(tmp_path / "plain", patches_weight=20.0)
    halos: list[tuple[float, float]] = []
    with torch.inference_mode():
        for style in pictures(sorted((ROOT / "styles").glob("*.jpg"))):
            codes = [(model, model.encode_style(style)) for model in (split, plain)]
            for photograph in pictures(sorted((tmp_path / "content").glob("*.png"))):
                first, second = (
                    halo(model(photograph, code), photograph, FAR) for model, code in codes
                )
                if first is not None and second is not None:
                    halos.append((first, second))
    of_split, of_plain = map(fmean, zip(*halos, strict=True))
    print(f"halo with the split {of_split:.3f}, without {of_plain:.3f}, of {len(halos)} paintings")
    assert len(halos) >= 50
    assert of_split < 0.97 * of_plain
