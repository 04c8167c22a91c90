"""The training loop: resumes from its checkpoint, logs to TensorBoard, writes sample sheets."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

import models
from training import losses
from training.data import Pictures, second_view
from training.loss_network import LossNetwork, load_loss_network
from training.options import TrainingOptions
from training.sheet import write_sheet

Loss = Callable[[Tensor, Tensor], Tensor]


class Trainer:
    """One run in one folder. `run()` goes on from where the folder's checkpoint stands."""

    def __init__(self, options: TrainingOptions) -> None:
        self.options = o = options
        self.out = Path(o.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(o.seed)
        self.rng = np.random.default_rng(o.seed)
        self.motion = torch.Generator().manual_seed(o.seed)
        self.content = Pictures([Path(p) for p in o.content], o.short_side)
        self.style = Pictures([Path(p) for p in o.style], o.short_side)
        self.network = self._loss_network()
        model = self._fresh()
        if o.init:
            adopt(model, Path(o.init))
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.shadow = self._fresh().to(self.device).requires_grad_(False).eval()
        self.shadow.load_state_dict(self.model.state_dict())
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=o.rate, fused=True)
        self.step = 0
        self._resume()

    def _fresh(self) -> nn.Module:
        return models.build(self.options.model, **self.options.model_options)

    def _loss_network(self) -> LossNetwork:
        o = self.options
        network = load_loss_network(o.vgg, o.deep).to(self.device)
        rng = np.random.default_rng(0)
        pictures = (
            self.content.batch(o.batch, o.side, 1.0, rng).to(self.device) for _ in range(32)
        )
        network.calibrate(pictures, o.layers)
        return network.to(getattr(torch, o.precision))

    # -- the loop ------------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the last step; the running mean of the weights ends in `weights.safetensors`."""
        o = self.options
        log = SummaryWriter(str(self.out))
        started, first = time.monotonic(), self.step
        while self.step < o.steps:
            terms = self._update()
            self.step += 1
            if self.step % 50 == 0:
                pace = (time.monotonic() - started) / (self.step - first)
                values = {name: t.item() for name, t in terms.items()}
                for name, value in values.items():
                    log.add_scalar(name, value, self.step)
                shown = " ".join(f"{n} {v:.3f}" for n, v in values.items())
                print(f"step {self.step}/{o.steps} {pace:.2f} s/step {shown}", flush=True)
            if self.step % o.save_every == 0 or self.step == o.steps:
                self._save()
            if self.step % o.sample_every == 0 or self.step == o.steps:
                write_sheet(self.shadow, self.content, self.style, self.out, self.step)
        log.close()

    def _update(self) -> dict[str, Tensor]:
        o = self.options
        for group in self.optimiser.param_groups:
            group["lr"] = o.rate * self._schedule()
        content = self.content.batch(o.batch, o.side, o.closest, self.rng).to(self.device)
        style = self.style.batch(o.batch, o.side, o.closest, self.rng).to(self.device)
        terms = self._terms(content, style)
        total = sum(getattr(o, f"{name}_weight") * t for name, t in terms.items())
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        decay = min(o.average, (self.step + 1) / (self.step + 10))
        now = [p.detach() for p in self.model.parameters()]
        torch._foreach_lerp_(list(self.shadow.parameters()), now, 1 - decay)
        # Running figures inside the model belong to its weights: they are averaged alike.
        torch._foreach_lerp_(list(self.shadow.buffers()), list(self.model.buffers()), 1 - decay)
        return terms

    def _schedule(self) -> float:
        """Warm up, hold, then fall to zero: the end can be moved without starting again."""
        o = self.options
        left = (o.steps - self.step) / max(1, round(o.steps * o.decay))
        return min((self.step + 1) / o.warmup, 1.0, left)

    def _terms(self, content: Tensor, style: Tensor) -> dict[str, Tensor]:
        view, grid = second_view(content[:1].cpu(), self.motion)
        view, grid = view.to(self.device), grid.to(self.device)
        # In turn: a picture in its own look, and a photograph at strength 0, must come back.
        strength = float(self.step % 2)
        same = style[-1:] if strength else content[-1:]
        with self._autocast():
            code = self.model.encode_style(style)
            painted = self.model.paint(content, code).float()
            again = self.model.paint(view, take(code, 0)).float()
            back = self.model.paint(same, take(code, -1), strength).float()
        terms = self._feature_terms(painted, content, style)
        terms["identity"] = (back - same).abs().mean()
        terms["consistency"] = losses.consistency_loss(again, painted[:1], grid)
        terms["range"] = (painted - painted.clamp(0, 1)).square().mean()
        return terms

    def _feature_terms(self, painted: Tensor, content: Tensor, style: Tensor) -> dict[str, Tensor]:
        o = self.options
        with torch.no_grad():
            wanted = self.network(style, o.layers)
            kept = self.network(content, list(o.content_layers))
        have = self.network(painted, o.layers)

        def summed(layers: dict[str, float], loss: Loss, target: dict[str, Tensor]) -> Tensor:
            parts = [weight * loss(have[n], target[n]) for n, weight in layers.items()]
            return torch.stack(parts).sum() / sum(layers.values())

        return {
            "content": summed(o.content_layers, losses.content_loss, kept),
            "style": summed(o.style_layers, losses.statistics_loss, wanted),
            "covariance": summed(o.covariance_layers, losses.covariance_loss, wanted),
            "nearest": summed(o.nearest_layers, losses.nearest_loss, wanted),
        }

    def _autocast(self) -> AbstractContextManager[object]:
        if self.options.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.options.precision))

    # -- state ---------------------------------------------------------------------------------

    def _save(self) -> None:
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "shadow": self.shadow.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": self.rng.bit_generator.state,
            "motion": self.motion.get_state(),
        }
        part = self.out / "checkpoint.part"
        torch.save(state, part)
        part.replace(self.out / "checkpoint.pt")
        weights = {k: v.half().contiguous() for k, v in self.shadow.state_dict().items()}
        about = {k: str(v) for k, v in asdict(self.options).items()} | {"step": str(self.step)}
        about["model_options"] = json.dumps(self.options.model_options)
        for private in ("content", "style", "vgg", "deep", "out", "init"):
            about.pop(private)
        save_file(weights, self.out / "weights.safetensors", metadata=about)

    def _resume(self) -> None:
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.shadow.load_state_dict(state["shadow"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.bit_generator.state = state["rng"]
        self.motion.set_state(state["motion"].cpu())
        print(f"resumed at step {self.step}", flush=True)


def take(code: dict[str, Tensor], index: int) -> dict[str, Tensor]:
    """The code of one picture of a batch."""
    return {name: t[index][None] for name, t in code.items()}


def adopt(model: nn.Module, path: Path) -> None:
    """Begin from the weights of a file; tensors that do not fit stay fresh."""
    own = model.state_dict()
    fitting = {
        name: t.float()
        for name, t in load_file(path).items()
        if name in own and own[name].shape == t.shape
    }
    model.load_state_dict(fitting, strict=False)
    print(f"{len(fitting)} of {len(own)} tensors begin from {path}", flush=True)
