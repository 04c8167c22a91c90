"""Runs a model's graph in TensorRT on a CUDA GPU, with torch beside it.

torch encodes and mixes styles, and paints as soon as the graph is traced (once for a model).
Meanwhile a thread builds the engine or reads it from the cache, holds its paintings against
torch's, and puts it in place between two frames. Whatever goes wrong there, torch paints on and
`why` says so.

Networks are strongly typed: what computes in which type stands in the graph (precision.py). The
builder flags for precisions, the precisions of layers and the calibrators that TensorRT 10 still
has are deprecated since 10.12 and gone in 11.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from hashlib import sha256
from importlib.metadata import version
from math import inf
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import onnx
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

import models
from engines import Arrays, Frames, cache, said
from engines.choice import psnr_db, scene
from engines.machine import driver
from engines.precision import cast_bytes_first, lower
from engines.pytorch import Code, TorchEngine
from engines.runtime import LEAST, MULTIPLE, graph, pad
from engines.sparing import shortage

PRECISION = "fp16"
"""Of the engine that a stream is painted with."""
LEAST_DB = 50.0
"""Peak signal to noise ratio to torch: on average less than a level of 255."""

Size = tuple[int, int]
"""Height and width, px."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Sizes that one set of kernels serves: from `least` to `most`, chosen for `best`."""

    least: Size
    best: Size
    most: Size

    def holds(self, size: Size) -> bool:
        """Whether a picture of this size can be run."""
        sides = zip(self.least, size, self.most, strict=True)
        return all(low <= side <= high for low, side, high in sides)


SMALLEST = (LEAST * MULTIPLE, LEAST * MULTIPLE)
PROFILES = (
    Profile(SMALLEST, (512, 512), (768, 768)),
    Profile(SMALLEST, (720, 1280), (1280, 1280)),
    Profile(SMALLEST, (1088, 1920), (1920, 1920)),
)
"""Upright videos fit as well. What is larger is painted by torch."""


def pick(profiles: Sequence[Profile], size: Size) -> int | None:
    """Index of the profile to run a size with: of those that hold it the one chosen for the nearest
    area; None when no profile does."""
    area = size[0] * size[1]
    fitting = [
        (abs(p.best[0] * p.best[1] - area), i) for i, p in enumerate(profiles) if p.holds(size)
    ]
    return min(fitting)[1] if fitting else None


def installed_version() -> str:
    """ValueError: TensorRT is not there."""
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise ValueError(
            f"TensorRT is not installed: pip install -e '.[tensorrt]' ({error})"
        ) from error
    # A package of type stubs alone can be imported too.
    if not hasattr(tensorrt, "Builder"):
        raise ValueError("TensorRT is not installed: pip install -e '.[tensorrt]'")
    return str(tensorrt.__version__)


@dataclass(frozen=True, slots=True)
class Gpu:
    """What an engine is bound to, beside the version of TensorRT."""

    name: str
    capability: str
    driver: str


def gpu_of(device: torch.device) -> Gpu:
    """The GPU that engines are built for and run on."""
    about = torch.cuda.get_device_properties(device)
    return Gpu(about.name, f"{about.major}.{about.minor}", driver())


def engine_name(
    model: str, gpu: Gpu, tensorrt: str, precision: str, profiles: Sequence[Profile]
) -> str:
    """The name of an engine in the cache; it changes with all that the engine is bound to."""
    about = {
        "weights": models.fingerprint(model),
        "code": [cache.code_version(), sha256(Path(__file__).read_bytes()).hexdigest()],
        "torch": version("torch"),
        "cuda": torch.version.cuda,
        "tensorrt": tensorrt,
        "gpu": astuple(gpu),
        "precision": precision,
        "profiles": [astuple(profile) for profile in profiles],
    }
    digest = sha256(json.dumps(about).encode()).hexdigest()[:32]
    return f"{Path(model).stem}-tensorrt{tensorrt}-{precision}-{digest}.engine"


@functools.cache
def logger() -> Any:
    """Of the whole process: TensorRT keeps to the first that it is given, for good. One in Python
    would be called for every line of a build, also while the process ends, which aborts it."""
    import tensorrt as trt

    return trt.Logger(trt.Logger.INTERNAL_ERROR)


def recorder() -> Any:
    """Keeps the errors of a builder or a runtime and of all that it makes."""
    import tensorrt as trt

    class Recorder(trt.IErrorRecorder):
        def __init__(self) -> None:
            super().__init__()
            self._found: list[tuple[Any, str]] = []

        def reason(self) -> str:
            """One line for the user: the first error and the last, which is the cause more often.
            That memory is short stands in either."""
            lines = [text.partition("\n")[0] for _, text in self._found]
            return "; ".join(dict.fromkeys(lines[:1] + lines[-1:])) or "it gives no reason"

        def report_error(self, code: Any, text: str) -> bool:
            self._found.append((code, text))
            return True  # as NVIDIA's own recorders say of all errors

        def num_errors(self) -> int:
            return len(self._found)

        get_num_errors = num_errors  # by this name the binding calls it

        def get_error_code(self, index: int) -> Any:
            return self._found[index][0]

        def get_error_desc(self, index: int) -> str:
            return self._found[index][1]

        def has_overflowed(self) -> bool:
            return False

        def clear(self) -> None:
            self._found.clear()

    return Recorder()


def started(make: Callable[[Any], Any], errors: Any) -> Any:
    """A builder or a runtime that reports to `errors`. RuntimeError: there is none."""
    try:
        made = make(logger())
    except TypeError as error:  # of their binding, which says that a function returned nothing
        # Only its log would say which. As a shortage it costs no engine of the cache.
        why = "the driver may be too old for it, or memory is short"
        raise RuntimeError(f"TensorRT does not start: {why}") from error
    made.error_recorder = errors
    return made


def build(
    model: onnx.ModelProto,
    profiles: Sequence[Profile],
    device: torch.device,
    path: Path,
    portable: bool = False,
) -> None:
    """Build an engine for the GPU and write it. RuntimeError says what TensorRT could not do.

    `portable`: also for later versions of TensorRT, and for other GPUs from Ampere on where this
    one is; somewhat slower.
    """
    import tensorrt as trt

    errors = recorder()
    with torch.cuda.device(device):
        builder = started(trt.Builder, errors)
        typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(typed)
        parser = trt.OnnxParser(network, logger())
        if not parser.parse(model.SerializeToString()):
            why = parser.get_error(0).desc() if parser.num_errors else errors.reason()
            raise RuntimeError(f"TensorRT cannot read the graph: {why}")
        config = builder.create_builder_config()
        # Unasked it counts on all memory of the GPU, where torch may be painting at the same time.
        free, _ = torch.cuda.mem_get_info(device)
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, free // 2)
        # It would make float32 one of 10 bits.
        config.clear_flag(trt.BuilderFlag.TF32)
        if portable:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if portable and torch.cuda.get_device_capability(device) >= (8, 0):
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        for profile in profiles:
            shapes = builder.create_optimization_profile()
            sides = (profile.least, profile.best, profile.most)
            shapes.set_shape(model.graph.input[0].name, *(trt.Dims([1, *s, 3]) for s in sides))
            config.add_optimization_profile(shapes)
        about = json.dumps([astuple(gpu_of(device)), torch.version.cuda])
        bound = sha256(about.encode()).hexdigest()[:16]
        name = f"timings-tensorrt{trt.__version__}-{bound}.cache"
        # Held by a name of its own: it must live as long as the building takes. There is none of
        # what TensorRT cannot read.
        timings = config.create_timing_cache(kept(name)) or config.create_timing_cache(b"")
        taken = config.set_timing_cache(timings, ignore_mismatch=False)
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise RuntimeError(f"TensorRT cannot build the engine: {errors.reason()}")
        if taken:
            keep(name, bytes(config.get_timing_cache().serialize()))
    path.write_bytes(engine)


def kept(name: str) -> bytes:
    """A file of the cache that grows with use; empty when it is missing or damaged."""
    return (cache.folder() / name).read_bytes() if cache.holds(name) else b""


def keep(name: str, data: bytes) -> None:
    """Replace such a file; of two processes the later one wins."""
    path = cache.folder() / name
    with FileLock(path.with_name(name + ".lock")):
        part = path.with_name("part-" + name)
        part.write_bytes(data)
        path.with_name(name + ".sha256").write_text(sha256(data).hexdigest())
        part.replace(path)


class Plan:
    """A built engine, ready to run; for one thread at a time."""

    def __init__(self, path: Path, device: torch.device, portable: bool = False) -> None:
        """RuntimeError: TensorRT does not take the file. `portable`: it was built so, here: such
        files hold code, which is run."""
        import tensorrt as trt

        self._errors, self._device = recorder(), device
        with torch.cuda.device(device):
            self._runtime = started(trt.Runtime, self._errors)
            self._runtime.engine_host_code_allowed = portable
            self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
            if self._engine is None:
                raise RuntimeError(f"TensorRT cannot load the engine: {self._errors.reason()}")
            self._context = self._engine.create_execution_context()
            if self._context is None:
                raise RuntimeError(f"TensorRT cannot run the engine: {self._errors.reason()}")
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        mode = self._engine.get_tensor_mode
        self._outputs = [n for n in names if mode(n) == trt.TensorIOMode.OUTPUT]
        self._types = {trt.DataType.UINT8: torch.uint8, trt.DataType.FLOAT: torch.float32}
        of_bytes = [n for n in names if self._engine.get_tensor_dtype(n) == trt.DataType.UINT8]
        (self._picture,) = set(of_bytes) - set(self._outputs)
        self.profiles = [
            Profile(
                *((s[1], s[2]) for s in self._engine.get_tensor_profile_shape(self._picture, i))
            )
            for i in range(self._engine.num_optimization_profiles)
        ]

    def __call__(
        self, inputs: Mapping[str, NDArray[np.generic] | Tensor]
    ) -> dict[str, NDArray[np.generic]]:
        """All inputs by name, the picture (1,H,W,3) -> all outputs. ValueError: it has a size that
        is in no profile; RuntimeError: TensorRT fails."""
        h, w = inputs[self._picture].shape[1:3]
        profile = pick(self.profiles, (h, w))
        if profile is None:
            raise ValueError(f"no profile of the engine holds {w}x{h}")
        self._errors.clear()
        with torch.cuda.device(self._device):
            # Codes may still be in the making on the stream of the caller.
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                given = {
                    n: aligned(torch.as_tensor(v, device=self._device)) for n, v in inputs.items()
                }
                outputs = self._enqueue(given, profile)
                # Waits for the stream: until then nothing that it uses may be let go.
                return {name: tensor.cpu().numpy() for name, tensor in outputs.items()}

    def _enqueue(self, inputs: dict[str, Tensor], profile: int) -> dict[str, Tensor]:
        context, stream = self._context, self._stream.cuda_stream
        picture = inputs[self._picture]
        if profile != context.active_optimization_profile:
            self._must(context.set_optimization_profile_async(profile, stream))
        self._must(context.set_input_shape(self._picture, tuple(picture.shape)))
        outputs = {
            name: torch.empty(
                tuple(context.get_tensor_shape(name)),
                dtype=self._types[self._engine.get_tensor_dtype(name)],
                device=self._device,
            )
            for name in self._outputs
        }
        for name, tensor in (inputs | outputs).items():
            self._must(context.set_tensor_address(name, tensor.data_ptr()))
        self._must(context.execute_async_v3(stream))
        return outputs

    def _must(self, succeeded: bool) -> None:
        if not succeeded:
            raise RuntimeError(f"TensorRT failed: {self._errors.reason()}")


def aligned(tensor: Tensor) -> Tensor:
    """In plain memory order, at an address that TensorRT takes: a multiple of 256 bytes."""
    plain = tensor.contiguous()
    return plain.clone() if plain.data_ptr() % 256 else plain


class TensorRtEngine:
    """One model on one GPU, with float32 kept where statistics need it."""

    batch = 1

    def __init__(self, model: str, device: str = "auto", threads: int | None = None) -> None:
        """ValueError: no TensorRT, no CUDA GPU, or a model without a graph for every style."""
        tensorrt = installed_version()
        wanted = "cuda" if device == "auto" else device
        if not wanted.startswith("cuda"):
            raise ValueError("TensorRT runs on a CUDA GPU: --device cuda, or another --engine")
        self._torch = TorchEngine(model, wanted, threads)
        gpu = gpu_of(self._torch.device)
        self._about = f"tensorrt {tensorrt} {PRECISION} on {gpu.name}"
        self.fingerprint = f"{model} {self._about}"
        self.why = f"engine torch: {self._about} is being built, once, for some minutes"
        self._plan: Plan | None = None
        # Not in the thread: tracing replaces builtins for a while, which painting uses too.
        source = graph(model, "frame")
        name = engine_name(model, gpu, tensorrt, PRECISION, PROFILES)
        there = cache.holds(name)
        read = Event()

        def make(path: Path) -> None:
            read.set()
            network = onnx.load(source)
            cast_bytes_first(network)
            lower(network, PRECISION)
            build(network, PROFILES, self._torch.device, path)

        def prepare() -> None:
            self._prepare(name, make)
            read.set()

        self._thread = Thread(target=prepare, daemon=True)
        self._thread.start()
        if there:
            read.wait()

    def settle(self) -> bool:
        """Wait until the engine is built and in place. False: there will be none, as `why` says."""
        self._thread.join()
        return self._plan is not None

    def _prepare(self, name: str, make: Callable[[Path], None]) -> None:
        """Put the engine in place, if it can be had and paints the same."""
        try:
            plan = self._obtain(name, make)
            near_db = self._nearness_db(plan)
        except Exception as error:  # noqa: BLE001  whatever it is, torch paints on
            self.why = f"engine torch: no {self._about} ({said(error)})"
            return
        if near_db < LEAST_DB:
            self.why = f"engine torch: {self._about} paints otherwise ({near_db:.0f} dB)"
            return
        self.why = f"engine {self._about}: {near_db:.0f} dB to torch"
        self._plan = plan

    def _obtain(self, name: str, make: Callable[[Path], None]) -> Plan:
        """From the cache, or built. What lies there and TensorRT refuses is built anew, once."""
        there = cache.holds(name)
        path = cache.obtain(name, make)
        try:
            with shortage():  # for which nothing is to be built
                return Plan(path, self._torch.device)
        except RuntimeError:
            if not there:
                raise
        cache.forget(name)
        return Plan(cache.obtain(name, make), self._torch.device)

    def _nearness_db(self, plan: Plan) -> float:
        """The least peak signal to noise ratio to torch, over all profiles at their best size."""
        style, frame = scene()
        code, nearest = self._torch.encode_style(style), inf
        for profile in plan.profiles:
            extra = [
                (0, side - had) for side, had in zip(profile.best, frame.shape[1:3], strict=True)
            ]
            picture = np.pad(frame, [(0, 0), *extra, (0, 0)], "wrap")
            # Not in portions: what has failed before is the business of who paints meanwhile.
            wanted = self._torch.at_once(picture, code, 1.0, False)
            nearest = min(nearest, psnr_db(paint(plan, picture, code, 1.0, False), wanted))
        return nearest

    def encode_style(self, style: Frames | Arrays) -> Code:
        """A style picture (H,W,3), or the arrays of a saved code -> its code on the GPU."""
        return self._torch.encode_style(style)

    def mix(self, codes: list[Code], weights: list[float]) -> Code:
        """The weighted sum of codes."""
        return self._torch.mix(codes, weights)

    def __call__(self, frames: Frames, code: Code, strength: float, keep_color: bool) -> Frames:
        """uint8 RGB (N,H,W,3) -> painted; `keep_color` takes only the brightness."""
        how, lacks = (code, strength, keep_color), ""
        if (plan := self._plan) is not None:
            try:
                with shortage():
                    return np.concatenate([paint(plan, f[None], *how) for f in frames])
            except MemoryError:
                lacks = "memory is short"
            except ValueError as error:
                lacks = said(error)
            except RuntimeError as error:  # it would fail again
                self._plan, lacks = None, said(error)
        painted = self._torch(frames, *how)
        if lacks:
            h, w = frames.shape[1:3]
            self.why = f"engine torch paints {w}x{h}, not {self._about} ({lacks})"
        if self._torch.why:
            self.why = f"{self._torch.why} by torch"
        return painted


def paint(plan: Plan, frame: Frames, code: Code, strength: float, keep_color: bool) -> Frames:
    """One frame (1,H,W,3) by the plan of a frame side."""
    h, w = frame.shape[1:3]
    about = {
        "strength": np.array(strength, np.float32),
        "keep_color": np.array(keep_color, np.float32),
    }
    painted = plan({"frames": pad(frame[0])[None], **about, **code})["painted"]
    return np.asarray(painted[:, :h, :w], np.uint8)
