"""Adversarial losses: discriminators that learn beside the model, in the same backward pass.

Each is asked twice. Once with its weights held, for what the model has to learn; once with the
painting held, for what it has to learn itself. So the gradient of one sum serves both, and one
optimiser: they take their steps at the same time.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

PATCHES = 8
"""That are split by their edges."""
REFERENCES = 4
"""Of a style, that a patch is compared with; as many patches are."""
PATCH_PX = 32
SMALLEST, LARGEST = 1 / 8, 1 / 4
"""Sides of patches as shares of the picture's."""
SPLIT_TERMS = ("simple", "complex")
ADVERSARIAL = ("domain", *SPLIT_TERMS, "patches")
WIDTH = 32


class Domain(nn.Module):
    """Is it a painting? Patch by patch, at three scales (Chen et al., 2021; eq. 2 of NeAT)."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Sequential(strided(), nn.Conv2d(4 * WIDTH, 1, 3, padding=1)) for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Pictures NCHW in [0, 1] -> logits (N,places of all scales)."""
        logits = []
        for scale in self.scales:
            logits.append(scale(2 * x - 1).flatten(1))
            x = F.avg_pool2d(x, 2)
        return torch.cat(logits, 1)


class CoOccurrence(nn.Module):
    """Could these patches be of the picture that the reference patches are of? (Swapping
    Autoencoder, Park et al., 2020, section 3.2.)"""

    def __init__(self) -> None:
        super().__init__()
        places = (PATCH_PX // 8) ** 2
        self.describe = nn.Sequential(
            strided(), nn.Flatten(), nn.Linear(4 * WIDTH * places, 4 * WIDTH)
        )
        self.judge = nn.Sequential(
            nn.Linear(8 * WIDTH, 4 * WIDTH), nn.LeakyReLU(0.2), nn.Linear(4 * WIDTH, 1)
        )

    def forward(self, patches: Tensor, references: Tensor) -> Tensor:
        """Patches (B,K,3,P,P) and references (B,L,3,P,P), which count as one -> logits (B,K)."""
        described, known = (
            self.describe(2 * x.flatten(0, 1) - 1).unflatten(0, x.shape[:2])
            for x in (patches, references)
        )
        known = known.mean(1, keepdim=True).expand_as(described)
        logits: Tensor = self.judge(torch.cat([described, known], 2)).squeeze(2)
        return logits


def strided() -> nn.Sequential:
    """RGB -> features at an eighth of the size."""
    widths = (3, WIDTH, 2 * WIDTH, 4 * WIDTH)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


class Critics(nn.Module):
    """The discriminators of some of ADVERSARIAL's terms."""

    def __init__(self, terms: list[str]) -> None:
        super().__init__()
        self.each = nn.ModuleDict(
            {term: Domain() if term == "domain" else CoOccurrence() for term in terms}
        )

    def forward(self, painted: Tensor, content: Tensor, style: Tensor) -> dict[str, Tensor]:
        """A batch and its paintings NCHW -> what each term asks of the model, and `critics`, what
        all discriminators are asked. Logistic, as printed; the model's does not saturate."""
        found, learnt = {}, []
        shown = self._shown(painted, content, style)
        for term, critic in self.each.items():
            fake, real, references = shown[term]
            held = {name: p.detach() for name, p in critic.named_parameters()}
            verdict = functional_call(critic, held, (fake, *references))
            found[term] = F.softplus(-verdict).mean()
            learnt.append(F.softplus(critic(fake.detach(), *references)).mean())
            learnt.append(F.softplus(-critic(real, *references)).mean())
        return found | {"critics": torch.stack(learnt).sum()}

    def _shown(
        self, painted: Tensor, content: Tensor, style: Tensor
    ) -> dict[str, tuple[Tensor, Tensor, list[Tensor]]]:
        """For each term: what may be false, what is true, and references."""
        shown: dict[str, tuple[Tensor, Tensor, list[Tensor]]] = {"domain": (painted, style, [])}
        if self.each.keys() & set(SPLIT_TERMS):
            fake = split(painted, sobel(content))
            real, references = (split(style, sobel(style)) for _ in range(2))
            for term, f, r, known in zip(SPLIT_TERMS, fake, real, references, strict=True):
                shown[term] = f, r, [known]
        if "patches" in self.each:
            f, r, known = (cut(x, places(x, REFERENCES)) for x in (painted, style, style))
            shown["patches"] = f, r, [known]
        return shown


def sobel(x: Tensor) -> Tensor:
    """RGB NCHW -> strength of the edges of its mean channel (N,1,H,W)."""
    across = x.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    grey = F.pad(x.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    both = F.conv2d(grey, torch.stack([across, across.T])[:, None])
    return both.square().sum(1, keepdim=True).sqrt()


def split(x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """PATCHES random patches of pictures NCHW, scaled to PATCH_PX: the half of them with the
    weaker `edges` (N,1,H,W), and the half with the stronger ones, each (N,PATCHES/2,3,P,P).

    The edges are the content's where x is painted: simple places of the photograph are to be
    compared with simple places of the style (section 4.2, figure 4).
    """
    at = places(x, PATCHES)
    order = cut(edges, at).mean((2, 3, 4)).argsort(1)[..., None, None, None]
    weaker, stronger = cut(x, at).take_along_dim(order, 1).chunk(2, 1)
    return weaker, stronger


def places(x: Tensor, count: int) -> Tensor:
    """`count` random squares of random sizes in each of pictures NCHW: a grid to sample them by
    (N,count*P,P,2), one below the other."""
    n = len(x)
    half = SMALLEST + (LARGEST - SMALLEST) * torch.rand(n, count, 1, 1, 1, device=x.device)
    centre = (1 - half) * (2 * torch.rand(n, count, 1, 1, 2, device=x.device) - 1)
    unit = F.affine_grid(
        torch.eye(2, 3, device=x.device)[None], [1, 1, PATCH_PX, PATCH_PX], align_corners=False
    )
    return (centre + half * unit).flatten(1, 2)


def cut(x: Tensor, grid: Tensor) -> Tensor:
    """The squares of `places`, scaled to PATCH_PX: (N,count,C,P,P)."""
    drawn = F.grid_sample(x, grid, align_corners=False, padding_mode="reflection")
    return torch.unflatten(drawn, 2, (-1, PATCH_PX)).movedim(2, 1)
