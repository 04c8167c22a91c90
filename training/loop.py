"""The training loop of every task: resumes from its checkpoint, logs to TensorBoard, saves.

All chance in a step follows from its number, and a checkpoint holds all else: a run that was killed
and goes on ends with the weights of a run that was not, bit by bit on a CPU.
"""

import copy
import math
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from engines.sparing import shortage
from pipeline.errors import ConfigError, SinkError, StreamError
from training.options import RunOptions, changes, stated

STAIR = 0.3
CRITIC_BETAS = (0.5, 0.999)
"""Adam's, for what learns beside the model: what it is shown changes with every step."""
MOST_CHANGES = 3
"""That are named where a run is to go on with other options."""


def train(
    task: str,
    options: RunOptions,
    device: torch.device,
    rank: int = 0,
    wrap: Callable[[nn.Module], nn.Module] = lambda module: module,
) -> None:
    """Make the task of the module `task` and run its loop. StreamError; what the task refuses is a
    ConfigError."""
    torch.manual_seed(options.seed)
    try:
        with shortage(cv2.error):  # which makes the crops
            try:
                loop = Loop(import_module(task).create(options, device), options, rank, wrap)
            except (ValueError, OSError) as error:
                raise ConfigError(str(error)) from error
            loop.run()
    except MemoryError as error:
        raise StreamError(
            "memory is too short: a smaller --batch or --side needs less, and --accumulate makes "
            f"up for the smaller batch ({error})"
        ) from error


class Task(Protocol):
    """What is trained, and how a step of it is judged."""

    model: nn.Module
    """What is trained, averaged over the steps, and shipped."""
    module: nn.Module
    """What `terms` calls; it holds the model, and what learns beside it but does not ship."""
    weights: dict[str, float]
    """{term: weight} of the loss."""
    critic_rate: float
    """Of what learns beside the model, as a multiple of the rate."""

    def terms(self, module: nn.Module, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """The terms of the loss on one batch. Chance comes from `rng` and torch's generator."""
        ...

    def sheet(self, model: nn.Module, folder: Path, step: int) -> None:
        """Show what the model can do."""
        ...

    def shipped(self, model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors and metadata of the weights file."""
        ...


class Loop:
    """One run in one folder. `run()` goes on from where the folder's checkpoint stands.

    Of several processes that run side by side each has its `rank`, and `wrap` makes their gradients
    one; the first writes.
    """

    def __init__(
        self,
        task: Task,
        options: RunOptions,
        rank: int = 0,
        wrap: Callable[[nn.Module], nn.Module] = lambda module: module,
    ) -> None:
        self.task, self.options, self.rank = task, options, rank
        self.out = made(options.out)
        self.model = task.model
        self.device = next(self.model.parameters()).device
        self.shadow = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        own = set(map(id, self.model.parameters()))
        self.beside = {n: p for n, p in task.module.named_parameters() if id(p) not in own}
        self.optimiser = torch.optim.Adam(self.trained, lr=options.rate, fused=True)
        if self.beside:
            group = {"params": list(self.beside.values()), "betas": CRITIC_BETAS}
            self.optimiser.add_param_group(group)
        self.step = 0
        self._resume()
        self.module = wrap(task.module)

    def run(self) -> None:
        """Train to the last step; the running mean of the weights ends in `weights.safetensors`.

        SinkError where that cannot be written.
        """
        try:
            self._run()
        except OSError as error:  # pictures are in memory: what is left to fail is to write
            raise unwritten(self.out, error) from error

    def _run(self) -> None:
        o = self.options
        log = SummaryWriter(str(self.out), purge_step=self.step + 1) if self.rank == 0 else None
        began_s, first = time.monotonic(), self.step
        recent: dict[str, list[Tensor]] = {}
        while self.step < o.steps:
            for name, values in self._update().items():
                recent.setdefault(name, []).extend(values)
            self.step += 1
            last = self.step == o.steps
            if self.step % o.log_every == 0 or last:
                pace_s = (time.monotonic() - began_s) / (self.step - first)
                self._report(log, recent, pace_s)
                recent = {}
            shows, saves = (last or self.step % n == 0 for n in (o.sample_every, o.save_every))
            if self.rank == 0 and (shows or saves):
                self._check()
                # The checkpoint comes last: a run that was killed before it does all this again.
                if shows:
                    self.task.sheet(self.shadow, self.out, self.step)
                if saves:
                    self._save()
        if log is not None:
            log.close()

    def _update(self) -> dict[str, list[Tensor]]:
        """One step -> the terms of its batches."""
        o, weights = self.options, self.task.weights
        rng = np.random.default_rng([o.seed, self.rank, self.step])
        torch.manual_seed(int(rng.integers(1 << 62)))
        rates = 1.0, self.task.critic_rate
        for group, times in zip(self.optimiser.param_groups, rates, strict=False):
            group["lr"] = o.rate * times * schedule(o, self.step)
        self.optimiser.zero_grad(set_to_none=True)
        seen: dict[str, list[Tensor]] = {}
        for _ in range(o.accumulate):
            terms = self.task.terms(self.module, self.step, rng)
            total = torch.stack([weights[name] * t for name, t in terms.items()]).sum()
            torch.autograd.backward(total / o.accumulate)
            for name, t in terms.items():
                seen.setdefault(name, []).append(t.detach())
        for group in self.optimiser.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], o.longest)
        self.optimiser.step()
        self._average()
        return seen

    def _average(self) -> None:
        """Running figures inside the model belong to its weights: they are averaged alike."""
        decay = min(self.options.average, (self.step + 1) / (self.step + 10))
        for mine, theirs in (
            (self.shadow.parameters(), self.model.parameters()),
            (self.shadow.buffers(), self.model.buffers()),
        ):
            if kept := list(mine):
                torch._foreach_lerp_(kept, [t.detach() for t in theirs], 1 - decay)

    def _report(
        self, log: SummaryWriter | None, recent: dict[str, list[Tensor]], pace_s: float
    ) -> None:
        means = {name: torch.stack(values).mean().item() for name, values in recent.items()}
        for name, value in means.items():
            if not math.isfinite(value):
                raise self._broken(f"{name} is {value}")
        if log is not None:
            for name, value in means.items():
                log.add_scalar(name, value, self.step)
            shown = " ".join(f"{n} {v:.3g}" for n, v in means.items())
            print(f"step {self.step}/{self.options.steps} {pace_s:.2f} s/step {shown}", flush=True)

    def _broken(self, what: str) -> StreamError:
        return StreamError(
            f"step {self.step}: {what}; the last checkpoint may be better, and a lower --rate"
        )

    # -- state ---------------------------------------------------------------------------------

    def _check(self) -> None:
        """StreamError where the weights are broken, which the log may not have told yet: what was
        saved before stays."""
        if not finite(self._learnt()):
            raise self._broken("weights are not finite")

    def _learnt(self) -> list[Tensor]:
        """All that a checkpoint goes on from; the mean too, for it can break alone."""
        models = (self.model, self.shadow)
        return [t for m in models for t in m.state_dict().values()] + list(self.beside.values())

    def _save(self) -> None:
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "shadow": self.shadow.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "beside": self.beside,
            "options": stated(self.options),
        }
        tensors, about = self.task.shipped(self.shadow)
        halves = {name: t.half().contiguous() for name, t in tensors.items()}
        if not finite(halves.values()):
            raise self._broken("weights are not finite in half precision, in which they ship")
        put(self.out / "weights.safetensors", save(halves, about | {"step": str(self.step)}))
        checkpoint = BytesIO()
        torch.save(state, checkpoint)
        put(self.out / "checkpoint.pt", checkpoint.getbuffer())

    def _resume(self) -> None:
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except OSError:
            raise
        except Exception as error:  # there is no end to the ways in which a damaged pickle fails
            raise ValueError(f"{path} is damaged; remove it, or choose another --out") from error
        differ: list[str] = []
        try:
            begun, now = state.get("options", {}), stated(self.options)
            differ = changes(begun, now, movable=False)[:MOST_CHANGES]
            self.model.load_state_dict(state["model"])
            self.shadow.load_state_dict(state["shadow"])
            self.optimiser.load_state_dict(state["optimiser"])
            self._resume_beside(state.get("beside", {}))
            self.step = state["step"]
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
            why = f" ({', '.join(differ)})" if differ else ""
            raise ValueError(
                f"{path} is of another model, or of other terms of the loss{why}; choose another "
                "--out"
            ) from error
        if differ:
            raise ValueError(
                f"{path} was begun with {', '.join(differ)}: give the same, or another --out"
            )
        if not finite(self._learnt()):
            raise ValueError(f"{path} has weights that are not finite; choose another --out")
        moved = "".join(f", {change}" for change in changes(begun, now, movable=True))
        print(f"resumed at step {self.step}{moved}", flush=True)
        if self.step >= self.options.steps:
            print(f"{self.out} is done: more --steps go on, another --out begins anew", flush=True)

    @torch.no_grad()
    def _resume_beside(self, saved: dict[str, Tensor]) -> None:
        """ValueError where other things learnt beside the model."""
        if saved.keys() != self.beside.keys():
            raise ValueError("other terms of the loss")
        for name, p in self.beside.items():
            p.copy_(saved[name])


def finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all their numbers are numbers."""
    return all(bool(t.isfinite().all()) for t in tensors)


def made(out: str) -> Path:
    """The folder of a run; SinkError where there can be none."""
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritten(Path(out), error) from error
    return Path(out)


def unwritten(out: Path, error: OSError) -> SinkError:
    return SinkError(f"cannot write into {out}: {error.strerror or error}")


def put(path: Path, content: bytes | memoryview) -> None:
    """Write a file as a whole or not at all; OSError. What it held before stays until then."""
    part = path.with_suffix(".part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def schedule(options: RunOptions, step: int) -> float:
    """Share of the full rate: warm up, hold, then fall. The end can be moved without starting
    again."""
    o = options
    gone = max(0.0, 1 - (o.steps - step) / max(1, round(o.steps * o.decay)))
    late = STAIR ** math.ceil(o.stairs * gone) if o.stairs else 1 - gone
    return min((step + 1) / o.warmup, late)
