"""torch on a CUDA GPU used to its limit.

Frames go up, are painted and come down on three streams at the same time; what is painted of frames
of one shape is recorded once as a CUDA graph and replayed, so that launches cost nothing; layers
compute in half precision where the painting stays the same.
"""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from engines import Frames, said
from engines.choice import LEAST_DB, psnr_db, scene
from engines.pytorch import Code, Paint, TorchEngine, painted
from engines.sparing import shortage
from engines.tiles import in_tiles

CHUNK = 2
"""Frames of a batch that go through together: while these are painted the next ones go up."""
RECORDINGS = 8
"""Shapes whose graphs are kept; each holds the memory of a painting."""
WARM_UPS = 3
HALVES = (torch.float16, torch.bfloat16)
ALONE = Lock()
"""Two recordings at once in one process break each other."""

Compute = Callable[[Tensor, Code, Tensor], Tensor]


class CudaEngine(TorchEngine):
    """One model on one CUDA GPU. ValueError: there is none."""

    def __init__(self, model: str, device: str = "auto", threads: int | None = None) -> None:
        super().__init__(model, "cuda" if device == "auto" else device, threads)
        if self.device.type != "cuda":
            raise ValueError("CUDA graphs need a CUDA GPU: --device cuda, or another --engine")
        self._up, self._down = stream(self.device), stream(self.device)
        self._recorded: OrderedDict[object, Compute] = OrderedDict()
        self._half: torch.dtype | None = None
        self._half = self._sound()
        kind = str(self._half or torch.float32).removeprefix("torch.")
        self.fingerprint = f"{model} cuda graphs {torch.__version__} {self.device} {kind}"

    @torch.inference_mode()
    def _sound(self) -> torch.dtype | None:
        """The first half precision in which a test frame is painted as in float32."""
        style, frame = scene()
        code = self.encode_style(style)
        wanted = super()._painted(self.model, frame, code, 1.0, False)
        for half in HALVES:
            if half == torch.bfloat16 and not torch.cuda.is_bf16_supported():
                continue
            with torch.autocast("cuda", half):
                found = super()._painted(self.model, frame, code, 1.0, False)
            if psnr_db(found, wanted) >= LEAST_DB:
                return half
        return None

    def in_tiles(
        self, frame: Frames, side: int, code: Code, strength: float, keep_color: bool
    ) -> Frames:
        """As of TorchEngine. Not recorded: tiles hear from one another while they are painted."""

        def paint(tile: Frames) -> Frames:
            with torch.inference_mode(), shortage():
                return super(CudaEngine, self)._painted(
                    self.model, tile, code, strength, keep_color
                )

        return in_tiles(paint, frame, side)

    @torch.inference_mode()
    @shortage()
    def _at_length(self, frames: Frames, code: Code, strength: float, keep_color: bool) -> Frames:
        """As of TorchEngine. Not recorded: it draws places at random, and goes by the strength."""
        return super()._painted(self.model.still, frames, code, strength, keep_color)

    def _painted(
        self, paint: Paint, frames: Frames, code: Code, strength: float, keep_color: bool
    ) -> Frames:
        def compute(shown: Tensor, code: Code, strength: Tensor) -> Tensor:
            half = self._half or torch.float16
            # Kept casts would outlive the recording that made them.
            with torch.autocast("cuda", half, self._half is not None, cache_enabled=False):
                return painted(paint, shown, code, strength, keep_color).contiguous()

        source = torch.from_numpy(np.ascontiguousarray(frames)).pin_memory()
        result = torch.empty(frames.shape, dtype=torch.uint8, pin_memory=True)
        amount = torch.full((), strength, device=self.device)
        named = getattr(paint, "__name__", ""), keep_color
        main = torch.cuda.current_stream(self.device)
        for at in range(0, len(frames), CHUNK):
            with torch.cuda.stream(self._up):
                shown = source[at : at + CHUNK].to(self.device, non_blocking=True)
            main.wait_stream(self._up)
            shown.record_stream(main)
            found = self._recording(named, compute, shown, code, amount)(shown, code, amount)
            self._down.wait_stream(main)
            with torch.cuda.stream(self._down):
                result[at : at + CHUNK].copy_(found, non_blocking=True)
            found.record_stream(self._down)
        self._down.synchronize()
        pixels: Frames = result.numpy()
        return pixels

    def _recording(
        self, named: object, compute: Compute, frames: Tensor, code: Code, strength: Tensor
    ) -> Compute:
        """The one for these shapes, made where there is none; `compute` where none can be made."""
        shapes = tuple((name, tuple(value.shape)) for name, value in sorted(code.items()))
        key = (named, tuple(frames.shape), shapes)

        def record() -> None:
            try:
                # The GPU, of several, where it is recorded.
                with torch.cuda.device(self.device), shortage(), ALONE:
                    self._recorded[key] = Recording(compute, frames, code, strength)
            except RuntimeError as error:
                self._recorded[key] = compute
                h, w = frames.shape[1:3]
                reason = said(error.__context__ or error)  # not what follows from it
                self.why = f"frames of {w}x{h} are painted without CUDA graphs ({reason})"

        if key not in self._recorded:
            while len(self._recorded) >= RECORDINGS:
                self._recorded.popitem(last=False)
            with suppress(MemoryError):
                record()
        if key not in self._recorded:  # memory is short, of which the others hold much
            self._recorded.clear()
            record()
        self._recorded.move_to_end(key)
        return self._recorded[key]


def give_up(pool: tuple[int, int]) -> None:
    """Of a recording that failed, which torch takes for one under way: it would let go of no memory
    for the next."""
    device = torch.cuda.current_device()
    with suppress(RuntimeError):  # it had come to an end
        torch._C._cuda_endAllocateToPool(device, pool)
        torch._C._cuda_releasePool(device, pool)


def stream(device: torch.device) -> torch.cuda.Stream:
    """A new one."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class Recording:
    """A computation on tensors of fixed shapes as a CUDA graph. Its inputs lie at fixed places, and
    so does what comes of it: both are copied, on the device."""

    def __init__(self, compute: Compute, frames: Tensor, code: Code, strength: Tensor) -> None:
        self._frames, self._strength = frames.clone(), strength.clone()
        self._code = {name: value.clone() for name, value in code.items()}
        self._given = code
        given = self._frames, self._code, self._strength
        main = torch.cuda.current_stream(frames.device)
        beside = stream(frames.device)
        beside.wait_stream(main)
        with torch.cuda.stream(beside):  # libraries make themselves ready, which cannot be recorded
            for _ in range(WARM_UPS):
                compute(*given)
        main.wait_stream(beside)
        self._graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
        # Unasked it records on a stream of the GPU that came first, where of several there is
        # nothing to record of another.
        graph = torch.cuda.graph(
            self._graph, pool, stream=beside, capture_error_mode="thread_local"
        )
        try:
            with torch.cuda.stream(main), graph:  # which leaves another one behind if it fails
                self._painted = compute(*given)
        except RuntimeError:
            give_up(pool)
            raise

    def __call__(self, frames: Tensor, code: Code, strength: Tensor) -> Tensor:
        """What `compute` gives for these, on the current stream."""
        self._frames.copy_(frames)
        self._strength.copy_(strength)
        if code is not self._given:
            self._given = code
            for name, value in code.items():
                self._code[name].copy_(value)
        self._graph.replay()
        return self._painted.clone()
