"""Every model on the same scenes and the same clips, one measurement after another."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from evaluation.figures import Measurement
from evaluation.painters import Painter
from evaluation.scene import Judge, Scene
from evaluation.temporal import RANGES, Clip, Link, Step, mean_error, warp, warping_errors

Tick = Callable[[str], None]
"""Called with what was just done, once for each painting or clip of each model."""


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A scene and its paintings, {model: (1,3,H,W)}, to be shown."""

    scene: Scene
    paintings: dict[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """One clip in one style, to be shown: by model the late painting of the middle link of one
    frame, the early one warped to it, and the errors along all links."""

    clip: str
    style: str
    link: Link
    late: dict[str, Tensor]
    warped: dict[str, Tensor]
    steps: dict[str, list[Step]]


def judge_scene(
    scene: Scene, painters: dict[str, Painter], judges: list[Judge], tick: Tick
) -> tuple[Sheet, list[Measurement]]:
    """All paintings of one scene and what all judges say of them."""
    paintings, found = {}, []
    for name, paint in painters.items():
        painted = paintings[name] = paint(scene.picture, scene.style)
        for judge in judges:
            found += [
                Measurement(key, name, scene.photograph, scene.style, value)
                for key, value in judge(painted, scene).items()
            ]
        tick(f"{name}: {scene.photograph} in {scene.style}")
    return Sheet(scene, paintings), found


def judge_clip(
    clip: Clip, kind: str, style: str, painters: dict[str, Painter], tick: Tick
) -> tuple[Take, list[Measurement]]:
    """One clip in one style by all models; `kind` begins the names of its figures."""
    link = middle([each for each in clip.links if each.late - each.early == RANGES["short"]])
    take, found = Take(clip.name, style, link, {}, {}, {}), []
    for name, paint in painters.items():
        painted = paint(clip.frames, style)
        steps = take.steps[name] = warping_errors(painted, clip.links)
        take.late[name] = painted[link.late]
        take.warped[name] = warp(painted[link.early], link)
        found += [
            Measurement(key, name, clip.name, style, error) for key, error in errors(kind, steps)
        ]
        tick(f"{name}: {clip.name} in {style}")
    return take, found


def errors(kind: str, steps: list[Step]) -> Iterator[tuple[str, float]]:
    """(figure, value) for each range in which anything can be compared, and the share of the
    pixels that could be."""
    for reach, frames in RANGES.items():
        error = mean_error(steps, frames)
        if error is not None:
            yield f"{kind}_{reach}", error
    yield f"{kind}_seen", sum(step.seen for step in steps) / len(steps)


def middle(links: list[Link]) -> Link:
    return links[len(links) // 2]
