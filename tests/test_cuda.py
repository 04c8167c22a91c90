"""The engine for CUDA GPUs. To record and replay takes one, to see that a model can be does not."""

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from threading import Thread

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import models
from engines import load_engine
from engines.choice import psnr_db, scene
from engines.cuda import LEAST_DB, CudaEngine
from engines.pytorch import painted
from pipeline.style import read_style

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
WAITS = {
    torch.ops.aten.equal.default,
    torch.ops.aten.is_nonzero.default,
    torch.ops.aten.item.default,
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.lift_fresh.default,  # of numbers that the host holds
    torch.ops.aten.masked_select.default,
    torch.ops.aten.nonzero.default,
}
DEVICES = (torch.device("cpu"), torch.device("meta"))
"""Numbers that the host holds are seen on the one; on the other, ways from device to device, and
values are asked for in vain."""


class Watch(TorchDispatchMode):
    """Collects what would make GPU and host wait for one another, were this device the GPU."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self.found: list[object] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        """Note it, and go on."""
        result = func(*args, **(kwargs or {}))
        given, made = (
            [x for x in tree_leaves(tree) if isinstance(x, Tensor)]
            for tree in ((args, kwargs), result)
        )
        elsewhere = any(tensor.device != self._device for tensor in (*given, *made))
        # They are first turned into places.
        masks = "index" in str(func) and any(
            x.dtype in (torch.bool, torch.uint8) for x in given[1:]
        )
        self.found += [func] if func in WAITS or elsewhere or masks else []
        return result


def waits(work: Callable[[torch.device], object]) -> list[object]:
    """What of this work would have to wait, or is refused where there are no values."""
    found: list[object] = []
    for device in DEVICES:
        # Not in inference mode, where some of it is not seen.
        with torch.no_grad(), Watch(device) as watch:
            try:
                work(device)
            except (RuntimeError, NotImplementedError) as error:
                found.append(error)
        found += watch.found
    return found


@pytest.mark.parametrize("model", [name for name in models.names() if not models.optimises(name)])
def test_painting_a_frame_can_be_recorded(model: str) -> None:
    loaded = {device: models.load(model).to(device) for device in DEVICES}
    strength, frames = torch.tensor(0.7), torch.zeros(2, 96, 128, 3, dtype=torch.uint8)
    with torch.no_grad():
        code = loaded[DEVICES[0]].encode_style(torch.rand(1, 3, 64, 64))
    given = {
        device: (frames.to(device), {n: t.to(device) for n, t in code.items()}, strength.to(device))
        for device in DEVICES
    }
    assert not waits(lambda device: painted(loaded[device], *given[device], keep_color=True))


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(lambda x: x.sum().item(), id="item"),
        pytest.param(lambda x: x if x.sum() > 0 else -x, id="if"),
        pytest.param(lambda x: x.nonzero(), id="nonzero"),
        pytest.param(lambda x: x[x > 0], id="mask"),
        pytest.param(lambda x: x.masked_select(x > 0), id="masked select"),
        pytest.param(lambda x: torch.equal(x, x), id="equal"),
        pytest.param(lambda x: x.cpu(), id="down"),
        pytest.param(lambda x: x + torch.ones(3).to(x.device), id="up"),
        pytest.param(lambda x: x + torch.tensor([1, 2, 3], device=x.device), id="numbers"),
    ],
)
def test_what_cannot_be_recorded_is_seen(work: Callable[[Tensor], object]) -> None:
    given = {device: torch.ones(3, device=device) for device in DEVICES}
    assert waits(lambda device: work(given[device]))
    assert not waits(lambda device: given[device].mul(2).relu())


def test_without_a_gpu_it_says_so() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA GPU")
    with pytest.raises(ValueError, match=r"not on this machine|need a CUDA GPU"):
        load_engine("compact", kind="cuda")
    with pytest.raises(ValueError, match="need a CUDA GPU"):
        load_engine("compact", "cpu", kind="cuda")


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^device 'cuda:99' is not on this machine \(found: .*\)$"
    ):
        load_engine("compact", "cuda:99", kind="torch")


def recorder(monkeypatch: pytest.MonkeyPatch, record: Callable[..., object]) -> CudaEngine:
    """As much of an engine as records, without a GPU: it calls `record` instead."""
    monkeypatch.setattr("torch.cuda.device", lambda _: nullcontext())
    monkeypatch.setattr("engines.cuda.Recording", record)
    engine = object.__new__(CudaEngine)
    engine.device, engine._recorded = torch.device("cpu"), OrderedDict()
    return engine


def test_a_shape_that_cannot_be_recorded_is_painted_unrecorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said, tried = "CUDA error: operation not permitted when stream is capturing", []

    def record(compute: object, frames: Tensor, *_: object) -> None:
        tried.append(tuple(frames.shape))
        raise RuntimeError(f"{said}\nCUDA kernel errors might be reported later.")

    def paint(*_: object) -> Tensor:
        return torch.ones(1)

    engine = recorder(monkeypatch, record)
    small, large = torch.zeros(1, 4, 6, 3), torch.zeros(1, 8, 6, 3)
    for frames in (small, small, large, small):
        assert engine._recording("model", paint, frames, {}, torch.ones(())) is paint
    assert tried == [small.shape, large.shape]
    assert engine.why == f"frames of 6x8 are painted without CUDA graphs ({said})"


def test_a_recording_that_lacks_memory_is_no_reason_to_paint_unrecorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def record(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    engine = recorder(monkeypatch, record)
    with pytest.raises(MemoryError):
        engine._recording("model", torch.add, torch.zeros(1, 4, 6, 3), {}, torch.ones(()))


def test_one_is_recorded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, most = 0, 0

    def record(*_: object) -> object:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        time.sleep(0.05)
        under_way -= 1
        return torch.add

    engines = [recorder(monkeypatch, record) for _ in range(4)]
    given = "model", torch.add, torch.zeros(1, 4, 6, 3), {}, torch.ones(())
    threads = [Thread(target=engine._recording, args=given) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(engine._recorded) for engine in engines] == [1] * 4
    assert most == 1


@gpu
@pytest.mark.gpu
@pytest.mark.parametrize("model", ["compact", "adaattn", "stya2k"])
def test_it_paints_what_torch_paints(model: str) -> None:
    """Also where shapes, styles, strengths and colours change from one call to the next."""
    made, reference = (load_engine(model, "cuda", kind=kind) for kind in ("cuda", "torch"))
    assert not torch.backends.cudnn.allow_tf32  # the reference computes in float32
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
