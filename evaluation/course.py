"""The course of an evaluation: read the material, judge paintings, then clips, gather findings."""

from pathlib import Path

import torch

from evaluation.appearance import AppearanceJudge
from evaluation.clips import Order, orders
from evaluation.figures import UNAVAILABLE, Measurement, figures, named
from evaluation.lpips import Lpips, LpipsJudge
from evaluation.material import matched, read_folder, spaced
from evaluation.measure import Sheet, Take, judge_clip, judge_scene
from evaluation.options import EvaluationOptions
from evaluation.page import Findings
from evaluation.painters import UNTOUCHED, KeyFramePainter, Painter, load_painters, untouched
from evaluation.progress import Progress
from evaluation.quality import VggJudge
from evaluation.scene import Judge, Scene
from pipeline.errors import ConfigError
from training.loss_network import load_loss_network
from training.names import printable

SHEETS = 6
"""Scenes that the page shows."""


@torch.no_grad()  # not inference mode: nnst paints by gradients
def run(options: EvaluationOptions) -> Findings:
    """Judge all models on the same material; when no report is wanted, by VGG-19 alone."""
    # Folders first: a wrong one is told before a network that is missing.
    photographs = read_folder(Path(options.content or ""), options.side, options.pairs)
    styles = read_folder(Path(options.style or ""), options.side, options.pairs)
    plan = orders(options, photographs, list(styles)) if options.output else []
    vgg, lpips = load_vgg(options.vgg), load_lpips(options)
    painters: dict[str, Painter] = dict(load_painters(options.model, styles))
    models = list(painters)
    judges: list[Judge] = [vgg]
    if options.output:
        painters = {UNTOUCHED: untouched, **painters}
        judges += [AppearanceJudge(options.seed), *([LpipsJudge(lpips)] if lpips else [])]
    scenes = [
        Scene(photograph, style, photographs[photograph], styles[style])
        for photograph, style in matched(list(photographs), list(styles), options.pairs)
        # Its distance to the style, which others are shares of, would be 0.
        if not torch.equal(photographs[photograph], styles[style])
    ]
    if not scenes:
        raise ConfigError("every photograph would be painted in itself: give other styles")
    clips = sum(len(order.styles) for order in plan)
    tick = Progress(len(painters) * (len(scenes) + clips))
    sheets, measured = judge_scenes(scenes, painters, judges, tick)
    takes, more = judge_clips(plan, painters, tick)
    by_keys = ", ".join(n for n, paint in painters.items() if isinstance(paint, KeyFramePainter))
    at_length = ", ".join(n for n, p in painters.items() if getattr(p, "paints_stills", False))
    like = lpips is not None and lpips.figure == "lpips_like"
    return Findings(
        models,
        figures(vgg.style_layers, vgg.content_layers, like),
        measured + more,
        sheets,
        takes,
        setting(options, scenes, plan, vgg, lpips)
        | {
            "painted by key frames": by_keys or "none",
            "pictures in several passes, clips and cost in one": at_length or "none",
        },
    )


def judge_scenes(
    scenes: list[Scene], painters: dict[str, Painter], judges: list[Judge], tick: Progress
) -> tuple[list[Sheet], list[Measurement]]:
    """All scenes; a few of them are kept to be shown."""
    measured: list[Measurement] = []
    sheets, kept = [], spaced(scenes, SHEETS)
    for scene in scenes:
        sheet, found = judge_scene(scene, painters, judges, tick)
        measured += found
        sheets += [sheet] if scene in kept else []
    return sheets, measured


def judge_clips(
    plan: list[Order], painters: dict[str, Painter], tick: Progress
) -> tuple[list[Take], list[Measurement]]:
    """All clips; the first take of each kind is kept to be shown."""
    measured: list[Measurement] = []
    takes: dict[str, Take] = {}
    for order in plan:
        clip = order.make()
        for style in order.styles:
            take, found = judge_clip(clip, order.kind, style, painters, tick)
            measured += found
            takes.setdefault(order.kind, take)
    return list(takes.values()), measured


def load_vgg(name: str) -> VggJudge:
    """The judge that sees with VGG-19; ConfigError when the weights are none."""
    try:
        return VggJudge(load_loss_network(name))
    except (ValueError, OSError) as error:
        raise ConfigError(f"--vgg {name}: {error}") from error


def load_lpips(options: EvaluationOptions) -> Lpips | None:
    """LPIPS where its weights were given."""
    if not options.squeeze or not options.lpips:
        return None
    return Lpips(Path(options.squeeze), Path(options.lpips))


def setting(
    options: EvaluationOptions,
    scenes: list[Scene],
    plan: list[Order],
    vgg: VggJudge,
    lpips: Lpips | None,
) -> dict[str, str]:
    """What the figures were measured on and with: enough to measure them again."""

    def count(kind: str) -> str:
        chosen = [order for order in plan if order.kind == kind]
        return f"{sum(len(o.styles) for o in chosen)} paintings of {len(chosen)} clips"

    photographs, styles = {s.photograph for s in scenes}, {s.style for s in scenes}
    told = {
        "models": ", ".join(options.model),
        "paintings": f"{len(scenes)} of {len(photographs)} photographs in {len(styles)} styles",
        "content": str(options.content),
        "style": str(options.style),
        "motion of exact flow": count("exact"),
        "still pictures under noise": count("noise"),
        "clips": f"{count('filmed')} from {options.clips}" if options.clips else UNAVAILABLE,
        "VGG-19": f"{options.vgg}: {named(vgg.layers)}",
        "LPIPS": f"{options.squeeze}, {options.lpips}" if lpips else UNAVAILABLE,
        "short side, frames, seed": f"{options.side} px, {options.frames}, {options.seed}",
        "torch": torch.__version__,
    }
    return {name: printable(value) for name, value in told.items()}
