"""The engine for CUDA GPUs. To record and replay takes one, to see that a model can be does not."""

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch.utils._python_dispatch import TorchDispatchMode

from engines import load_engine
from engines.choice import psnr_db, scene
from engines.cuda import LEAST_DB
from engines.pytorch import painted
from models import load
from models.styles import encode
from pipeline.style import read_style

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
WAITS = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.is_nonzero.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.lift_fresh.default,  # of numbers that the host holds
}


class Watch(TorchDispatchMode):
    """Collects what would make a GPU and its host wait for one another."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[object] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        """Note it, and go on."""
        self.found += [func] if func in WAITS else []
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("model", ["compact", "adaattn", "stya2k"])
def test_painting_a_frame_can_be_recorded(model: str) -> None:
    loaded = load(model)
    with torch.inference_mode():
        code = encode(loaded, scene()[0])
        frames, strength = torch.zeros(2, 96, 128, 3, dtype=torch.uint8), torch.tensor(0.7)
        with Watch() as watch:
            painted(loaded, frames, code, strength, keep_color=True)
    assert not watch.found


def test_without_a_gpu_it_says_so() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA GPU")
    with pytest.raises(ValueError, match=r"not on this machine|need a CUDA GPU"):
        load_engine("compact", kind="cuda")
    with pytest.raises(ValueError, match="need a CUDA GPU"):
        load_engine("compact", "cpu", kind="cuda")


@gpu
@pytest.mark.gpu
@pytest.mark.parametrize("model", ["compact", "adaattn", "stya2k"])
def test_it_paints_what_torch_paints(model: str) -> None:
    """Also where shapes, styles, strengths and colours change from one call to the next."""
    made, reference = (load_engine(model, "cuda", kind=kind) for kind in ("cuda", "torch"))
    pictures = [read_style(str(ROOT / f"styles/{name}.jpg")).look for name in ("wave", "ink")]
    frames = np.concatenate([scene()[1]] * 5)
    frames += np.arange(5, dtype=np.uint8)[:, None, None, None] * 9
    for picture in pictures * 2:
        for shown in (frames, frames[:1, :90, :170]):
            for strength, keep_color in ((1.0, False), (0.4, True)):
                ours, theirs = (
                    e(shown, e.encode_style(picture), strength, keep_color)
                    for e in (made, reference)
                )
                assert psnr_db(ours, theirs) >= LEAST_DB
