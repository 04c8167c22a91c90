"""Filters that no longer answer: before a ReLU such a one has no gradient, and would stay dead.

Nothing in a loss on pictures keeps what enters a ReLU from drifting below zero at every place. It
has happened to half of the deep filters of networks that were trained here without this.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn
from torch.nn import functional as F

LEAST_Z = -1.5
"""What the mean of an answer should at least be, in deviations: 7 of 100 places of a normal one are
then above zero."""


def asleep(answer: Tensor) -> Tensor:
    """What enters a ReLU (N,C,H,W) -> mean over channels of log(1 + how far below LEAST_Z it lies),
    whose slope is about one over the size of the answer, however constant that is."""
    x = answer.float()
    z = x.mean((0, 2, 3)) / (x.std((0, 2, 3)) + 1e-6)
    return F.relu(LEAST_Z - z).log1p().mean()


@contextmanager
def listening(model: nn.Module) -> Iterator[list[Tensor]]:
    """Meanwhile every answer of a 3x3 convolution that is trained adds how much of it is asleep;
    what enters no ReLU is hardly ever that far below zero."""
    silence: list[Tensor] = []
    with ExitStack() as stack:
        for conv in model.modules():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
                if not conv.weight.requires_grad:
                    continue
                hear = conv.register_forward_hook(lambda *call: silence.append(asleep(call[2])))
                stack.callback(hear.remove)
        yield silence
