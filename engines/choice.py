"""`auto`: the fastest engine on this machine that paints the same picture as eager torch.

Every engine that is installed paints a test frame, on the GPU where there is one; what came of it
is kept in the cache, so that every later run, and every stylizer of one run, takes the same.
torch is imported only to measure.
"""

import json
import os
import platform
import time
from contextlib import suppress
from functools import partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import models
from engines import Engine, Frames, cache, make_engine, said

PACKAGES = {
    "onnx": ("onnxruntime", "onnxruntime-gpu"),
    "openvino": ("openvino",),
    "openvino-bf16": ("openvino",),
    "tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
}
"""What brings the runtimes beside torch: one of these each."""
HALVED = ("cuda", "openvino-bf16", "tensorrt")
"""They compute in half precision what bears it."""
ON_GPUS = {"cuda", "tensorrt"}
LEAST_DB = 40.0
"""That their painting is near torch's."""
SIDE = 384
BUDGET_S = 1.0
LEAST, LONGEST_S = 3, 3.0
"""So many frames of an engine at least, unless a busy machine takes too long over them."""
CLOSE = 1
"""Levels of 255 that a pixel may differ by, which rounding alone comes to."""


def choose(model: str, device: str, threads: int | None) -> Engine:
    """The engine, at once: where none is known yet, torch, which later gives way to it."""
    if is_known(model, device, threads):
        try:
            return taken(model, device, threads)
        except ValueError:  # what was there when it was measured is gone
            cache.forget(record(model, device, threads))
        except (RuntimeError, MemoryError):  # such as for memory that others have just now
            pass
    from engines.undecided import UndecidedEngine

    return UndecidedEngine(model, device, threads)


def taken(model: str, device: str, threads: int | None) -> Engine:
    """The engine that is known, else found now, with what was measured in its `why`."""
    found = known(model, device, threads)
    engine = make_engine(found["engine"], model, found["device"], threads)
    engine.why = found["why"]
    return engine


def known(model: str, device: str, threads: int | None, beside: bool = False) -> dict[str, Any]:
    """The choice: `engine`, `device` and `why`. Where it is not known yet, found now, in a minute
    or, where TensorRT builds, in some; `beside`: a painting that takes from all times alike."""
    make = partial(measure, model, device, threads, beside)
    try:
        found: dict[str, Any] = json.loads(
            cache.obtain(record(model, device, threads), make).read_text()
        )
    except OSError as error:
        why = f"engine torch: the cache cannot be written ({error.strerror})"
        found = {"engine": "torch", "device": device, "why": why}
    return found


def is_known(model: str, device: str, threads: int | None) -> bool:
    """Whether `known` has nothing to measure: it did, or will have to say why it cannot."""
    try:
        unmeasured = model == "identity" or models.optimises(model)
        return unmeasured or cache.holds(record(model, device, threads))
    except (OSError, ValueError):
        return True


def record(model: str, device: str, threads: int | None) -> str:
    """The name under which a choice is kept; it changes with all that could change the choice."""
    versions = [f"{package}{version(package)}" for package in ("torch", *installed().values())]
    about = [
        models.fingerprint(model),
        cache.engines_version(),
        device.replace(":", ""),
        f"{threads}threads",
        hardware(device),
        *versions,
    ]
    return "-".join(["choice", platform.machine(), *about]) + ".json"


def hardware(device: str) -> str:
    """Of the processor, its units, and the GPUs unless they are hidden or not asked for: another
    text on another machine, or when a GPU comes or goes. Asked without torch, before each run."""
    about = [platform.processor()]
    with suppress(OSError):
        cores = Path("/proc/cpuinfo").read_text().split("\n\n")
        named = ("model name", "flags", "Features", "CPU part")
        about += [line for line in cores[0].splitlines() if line.startswith(named)]
    # Not which of them are shown: Ray shows each stylizer of a film its own, and all of them are to
    # take one engine.
    if device != "cpu" and os.environ.get("CUDA_VISIBLE_DEVICES", "all") not in ("", "-1"):
        about += graphics()
    return sha256("\n".join(about).encode()).hexdigest()[:12]


def graphics() -> list[str]:
    """The models of the NVIDIA GPUs, and which of them can be opened."""
    about = []
    for card in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        with suppress(OSError):
            about += [line for line in card.read_text().splitlines() if line.startswith("Model")]
    return about + [str(path) for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]


def installed() -> dict[str, str]:
    """The engines beside torch whose packages are there, and the package of each."""
    found = {}
    for kind, packages in PACKAGES.items():
        for package in packages:
            with suppress(PackageNotFoundError):
                version(package)
                found[kind] = package
    return found


def measure(model: str, device: str, threads: int | None, beside: bool, path: Path) -> None:
    """Time torch and the others on one frame, and write which is taken and why."""
    from engines.pytorch import pick_device

    where = str(pick_device(device))
    style, frame = scene()
    reference = make_engine("torch", model, where, threads)
    code = reference.encode_style(style)
    wanted = reference(frame, code, 1.0, False)
    sound: dict[str, tuple[Engine, Any]] = {"torch": (reference, code)}
    refused = []
    kinds = {"cuda", *installed()}
    for kind in sorted(kinds if where.startswith("cuda") else kinds - ON_GPUS):
        try:
            engine: Any = make_engine(kind, model, where, threads)
            if kind == "tensorrt" and not engine.settle():
                raise ValueError(engine.why)
            code = engine.encode_style(style)
            check(kind, engine(frame, code, 1.0, False), wanted)
            sound[kind] = engine, code
        except Exception as error:  # noqa: BLE001  whatever a runtime raises, torch paints
            refused.append(f"{kind}: {said(error)}")
    times = paces_ms(sound, frame, refused)
    best = min(times, key=times.__getitem__)
    others = [f"{kind} {ms:.0f}" for kind, ms in times.items() if kind != best]
    on = "" if where == "cpu" else f" on {where}"
    why = f"engine {best}{on}: {times[best]:.0f} ms a frame at {SIDE}x{SIDE}"
    why += f" ({', '.join([*others, *refused])})" if others or refused else ""
    why += ", timed beside a painting" if beside else ""
    path.write_text(json.dumps({"engine": best, "device": where, "why": why}))


def check(kind: str, painted: Frames, wanted: Frames) -> None:
    """ValueError: what an engine of this kind painted is not the picture that torch paints."""
    if kind in HALVED:
        if (near := psnr_db(painted, wanted)) < LEAST_DB:
            raise ValueError(f"{near:.0f} dB from torch")
    elif (apart := int(np.abs(painted.astype(int) - wanted).max())) > CLOSE:
        raise ValueError(f"differs from torch by {apart} levels")


def psnr_db(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Peak signal to noise ratio of uint8 pictures, dB; 108 where they are the same."""
    noise = float(np.square(a.astype(float) - b).mean())
    return 10 * log10(255**2 / max(noise, 1e-6))


def scene() -> tuple[Frames, Frames]:
    """A style picture and a frame (1,SIDE,SIDE,3), always the same."""
    y, x = np.mgrid[:SIDE, :SIDE]
    bands = np.stack([np.sin(x / 17) * 90, np.cos(y / 23) * 90, np.sin((x + y) / 31) * 90], 2)
    smooth = (bands + 128).astype(np.uint8)
    rough = np.random.default_rng(0).integers(0, 64, smooth.shape, np.uint8)
    return smooth[::-1] // 2 + rough, smooth[None]


def paces_ms(
    engines: dict[str, tuple[Engine, Any]], frame: Frames, refused: list[str]
) -> dict[str, float]:
    """Time of a frame of each engine with its code, ms: the lower quartile of rounds in which all
    take turns, so that whatever else the machine does takes from all alike. Those that fail are
    among the refused."""
    spans: dict[str, list[float]] = {kind: [] for kind in engines}
    began = time.perf_counter()
    rounds = 0
    while (spent := time.perf_counter() - began) < BUDGET_S * len(engines) or rounds < LEAST:
        if rounds and spent > LONGEST_S * len(engines):
            break  # of a busy machine, or of a model that takes seconds a frame
        # Each follows another in turn, whose threads may still be about.
        for kind in sorted(spans, reverse=rounds % 2 == 0):
            engine, code = engines[kind]
            before = time.perf_counter()
            try:
                engine(frame, code, 1.0, False)
            except Exception as error:  # noqa: BLE001  whatever a runtime raises
                refused.append(f"{kind}: {said(error)}")
                del spans[kind]
                continue
            spans[kind].append(time.perf_counter() - before)
        rounds += 1
    return {kind: float(np.quantile(taken, 0.25)) * 1000 for kind, taken in spans.items()}
