"""Where memory runs out: smaller batches, then tiles that agree with the whole frame."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors.torch import save_file

import models
from engines import Frames
from engines.choice import psnr_db
from engines.pytorch import TorchEngine
from engines.sparing import Sparing

SHORT = """
import json, resource, sys
import cv2, numpy as np, torch
from engines import load_engine
from engines.choice import psnr_db

kind, count, height, width, mib = sys.argv[1], *map(int, sys.argv[2:])
engine = load_engine("compact", "cpu", 2, kind)
picture = cv2.imread("styles/wave.jpg", cv2.IMREAD_COLOR_RGB)
code = engine.encode_style(picture)
frame = cv2.resize(picture[::-1], (width, height), interpolation=cv2.INTER_AREA)
frames = np.stack([np.roll(frame, 20 * i, 1) for i in range(count)])
engine(frames[:1, :64, :64], code, 1.0, False)
had = resource.getrlimit(resource.RLIMIT_AS)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (mib << 20), had[1]))
try:
    painted, said = engine(frames, code, 1.0, False), ""
except MemoryError as error:
    said = str(error)
resource.setrlimit(resource.RLIMIT_AS, had)
if not said:
    fresh = load_engine("compact", "cpu", 2, "torch")
    wanted = fresh(frames, fresh.encode_style(picture), 1.0, False)
    print(json.dumps([engine.why, psnr_db(painted, wanted)]))
else:
    print(json.dumps([said, None]))
"""
"""Paints with so many MiB more than the process has."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are as on Linux")


def short(kind: str, count: int, height: int, width: int, mib: int) -> tuple[str, Any]:
    """What the engine said, and how near the painting came, dB."""
    words = [kind, *map(str, (count, height, width, mib))]
    done = subprocess.run(
        [sys.executable, "-c", SHORT, *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    said, near = json.loads(done.stdout)
    return said, near


@linux
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["torch", "onnx", "openvino"])
def test_a_frame_that_does_not_fit_is_painted_in_tiles(kind: str) -> None:
    """How much is too little for the whole and enough for tiles differs by machine and runtime."""
    for mib in range(600, 0, -20):
        said, near_db = short(kind, 1, 256, 3584, mib)
        if said.startswith("memory is short"):
            break
    assert said.startswith("memory is short: frames of 3584x256 are painted in tiles of"), mib
    assert said.endswith("px" if kind == "torch" else "px by torch")
    assert near_db > 38


@linux
@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_halved() -> None:
    for mib in range(300, 0, -25):
        said, near_db = short("torch", 8, 192, 256, mib)
        if said.startswith("memory is short"):
            break
    assert said.startswith("memory is short: frames of 256x192 are painted"), mib
    assert said.removesuffix(" at a time")[-2:] in (" 4", " 2", " 1")
    assert near_db > 60


def test_what_did_not_fit_once_is_not_tried_again() -> None:
    tried: list[int] = []

    def paint(frames: Frames) -> Frames:
        tried.append(len(frames))
        if len(frames) > 2:
            raise MemoryError("can't allocate memory")
        return 255 - frames

    sparing = Sparing(paint, in_tiles=lambda *_: pytest.fail("it fits without tiles"))
    frames = np.arange(7 * 64 * 64 * 3).astype(np.uint8).reshape(7, 64, 64, 3)
    assert (sparing(frames) == 255 - frames).all()
    assert tried == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert sparing.notice == "memory is short: frames of 64x64 are painted 1 at a time"
    assert (sparing(frames) == 255 - frames).all()
    assert tried[9:] == [1] * 7


@linux
def test_what_does_not_fit_in_any_way_is_one_line() -> None:
    said, _ = short("torch", 1, 256, 1536, 2)
    assert said.startswith("memory is too short to paint frames of 1536x256, however small")
    assert said.endswith("--size paints smaller ones")
    assert "\n" not in said


def uneven(height: int, width: int) -> np.ndarray:
    """A frame (1,H,W,3) whose parts differ in brightness, colour and detail."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = np.sin(x * x * 400) * np.cos(y * y * 300)
    channels = [y * 200 + 40 * waves * x, x * 200 + 30 * waves * y, 220 * x * y + 20 * waves]
    return np.stack(channels, 2).clip(0, 255).astype(np.uint8)[None]


@pytest.mark.parametrize(
    ("system", "options"),
    [
        ("adaattn", {"width": 0.125, "recolor": True}),
        ("adaattn", {"width": 0.125, "attention": "softmax"}),
        ("stya2k", {"width": 0.125}),
        ("dynast", {"width": 0.125}),
        ("neat", {"width": 0.125}),
        ("nnst_d", {"width": 0.125, "hidden": 16}),
        ("compact", None),
    ],
)
def test_tiles_of_every_model_agree_with_the_whole_frame(
    system: str, options: dict[str, object] | None, tmp_path: Path
) -> None:
    """With fresh weights too: it is how a model is built that decides."""
    name = system
    if options is not None:
        torch.manual_seed(1)
        path = tmp_path / "fresh.safetensors"
        state = models.build(system, **options).state_dict()
        about = {"model": system, "model_options": json.dumps(options)}
        save_file({k: v.contiguous() for k, v in state.items()}, path, metadata=about)
        name = str(path)
    engine = TorchEngine(name, "cpu")
    picture = cv2.imread(str(ROOT / "styles/wave.jpg"), cv2.IMREAD_COLOR_RGB)
    code, frame = engine.encode_style(cv2.resize(picture, (192, 128))), uneven(150, 395)
    whole = engine.at_once(frame, code, 1.0, True)
    alone = np.concatenate(
        [
            engine.at_once(frame[:, :, part], code, 1.0, True)
            for part in (slice(192), slice(192, None))
        ],
        2,
    )
    tiles = engine.in_tiles(frame, 256, code, 1.0, True)
    assert psnr_db(tiles, whole) > max(35, psnr_db(alone, whole) + 6)
    # What was known of a frame is forgotten with it.
    assert (engine.at_once(frame, code, 1.0, True) == whole).all()
