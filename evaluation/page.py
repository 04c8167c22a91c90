"""The report as one HTML page that needs no other file: tables, plots, paintings, motion."""

import base64
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np
from torch import Tensor

from evaluation import plots
from evaluation.appearance import to_pixels
from evaluation.figures import Figure, Measurement
from evaluation.measure import Sheet, Take
from evaluation.painters import UNTOUCHED
from evaluation.table import Table, by_style, medians, summary
from evaluation.temporal import RANGES

SHORT_SIDE_PX = 256
ERROR_GAIN = 5
UNSEEN = (70, 90, 150)

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff }
h1, h2 { font-weight: 600; line-height: 1.2 } h2 { margin-top: 2.5rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #8883 }
th:first-child, td:first-child { text-align: left } th { border-bottom: 2px solid #8888 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1.2rem }
dt { font-weight: 600 } dd { margin: 0 }
.row { display: flex; flex-wrap: wrap; gap: 10px; margin: 0 0 18px }
figure { margin: 0 } figure img { display: block; height: 190px } figcaption { font-size: 13px }
.plots { display: flex; flex-wrap: wrap; gap: 24px } .plots figure { width: 560px; max-width: 100% }
svg { font: 12px system-ui, sans-serif; width: 100% } svg text { fill: currentColor }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin: 0 .3em 0 1em }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } }
"""


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a report tells. `models` without the untouched photograph, which is measured too."""

    models: list[str]
    figures: list[Figure]
    measured: list[Measurement]
    sheets: list[Sheet]
    takes: list[Take]
    setting: dict[str, str]

    def summary(self) -> Table:
        """A line for each figure."""
        return summary(self.figures, self.models, self.measured)

    def by_style(self) -> Table:
        """A line for each style."""
        return by_style(self.models, self.measured)

    def inks(self) -> dict[str, str]:
        """The colour of each name."""
        return {UNTOUCHED: plots.QUIET} | {m: plots.colour(i) for i, m in enumerate(self.models)}


def markdown(found: Findings) -> str:
    """The tables of the report, as Markdown."""
    setting = "".join(f"- {name}: {value}\n" for name, value in found.setting.items())
    return (
        f"# Evaluation: {', '.join(found.models)}\n\nMedians over all that was measured.\n\n"
        f"{found.summary().markdown()}\n## By style\n\n{found.by_style().markdown()}\n"
        f"## Setting\n\n{setting}"
    )


def page(found: Findings) -> str:
    """The whole page."""
    title = f"Evaluation: {', '.join(found.models)}"
    about = {figure.title: figure.about for figure in found.figures}
    parts = [
        f"<h1>{escape(title)}</h1>{listed(found.setting)}",
        f"<h2>Figures</h2><p>Medians over all that was measured. <b>{UNTOUCHED}</b> is the "
        "photograph or clip itself: the floor, or the ceiling, of each figure.</p>",
        found.summary().html(),
        f"<details><summary>What they say</summary>{listed(about)}</details>",
        f"<h2>Plots</h2><p>{legend(found)}</p><div class=plots>{plotted(found)}</div>",
        "<h2>Paintings</h2>",
        *(sheet_row(sheet) for sheet in found.sheets),
        f"<h2>Motion</h2><p>Left a late frame, then the one before it, warped to it, then their "
        f"difference times {ERROR_GAIN}; blue does not count: outside or covered.</p>"
        if found.takes
        else "",
        *(take_rows(take) for take in found.takes),
        f"<h2>By style</h2>{found.by_style().html()}",
    ]
    head = (
        f'<meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
    )
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def listed(entries: dict[str, str]) -> str:
    rows = (f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in entries.items())
    return f"<dl>{''.join(rows)}</dl>"


def legend(found: Findings) -> str:
    keys = found.inks().items()
    return "".join(f'<span class=key style="background:{c}"></span>{escape(n)}' for n, c in keys)


def plotted(found: Findings) -> str:
    """Trade-off of style and content, temporal errors, and errors along the clips shown."""
    inks, middles = found.inks(), medians(found.measured)
    drawn = {
        "Every painting: how much style arrived against how much content was lost; medians large. "
        "Lower left is better.": plots.dots(trade_off(found), "style ratio", "content"),
    }
    groups = {
        kind.split("_")[0] + " " + kind.split("_")[1]: heights
        for kind in ("exact_short", "exact_long", "filmed_short", "filmed_long", "noise_short")
        if (heights := {n: middles[kind, n] for n in inks if (kind, n) in middles})
    }
    if groups:
        words = "Temporal errors: 1 frame (short) and 10 frames (long) apart."
        drawn[words] = plots.bars(groups, inks, "mean absolute error")
    for take in found.takes:
        series = {
            name: (inks[name], [(s.late, s.error) for s in steps if s.frames == RANGES["short"]])
            for name, steps in take.steps.items()
        }
        drawn[f"{take.clip} in {take.style}: error to the frame before."] = plots.lines(
            series, "frame", "mean absolute error"
        )
    figures = (
        f"<figure>{p}<figcaption>{escape(w)}</figcaption></figure>" for w, p in drawn.items()
    )
    return "".join(figures)


def trade_off(found: Findings) -> dict[str, tuple[str, plots.Points]]:
    """{model: (colour, a point for each painting and the medians at the end)}."""
    series = {}
    for name in found.models:
        own = [m for m in found.measured if m.model == name]
        columns = [[m.value for m in own if m.figure == f] for f in ("style_ratio", "content")]
        middle = tuple(float(np.median(column)) for column in columns)
        series[name] = found.inks()[name], [*zip(*columns, strict=True), middle]
    return series


def sheet_row(sheet: Sheet) -> str:
    """Style, photograph and the paintings."""
    paintings = {n: p for n, p in sheet.paintings.items() if n != UNTOUCHED}
    shown = {sheet.scene.style: sheet.scene.wanted, sheet.scene.photograph: sheet.scene.picture}
    pictures = [image(to_pixels(p), name) for name, p in (shown | paintings).items()]
    return f"<div class=row>{''.join(pictures)}</div>"


def take_rows(take: Take) -> str:
    """A row for each model."""
    rows = []
    for name in take.late:
        late, warped = take.late[name], take.warped[name]
        step = next(s for s in take.steps[name] if s.late == take.link.late and s.frames == 1)
        pictures = [
            image(to_pixels(late), f"{name}, frame {take.link.late}"),
            image(to_pixels(warped), f"frame {take.link.early}, warped"),
            image(error_map(late, warped, take.link.seen), f"error {step.error:.4f}"),
        ]
        rows.append(f"<div class=row>{''.join(pictures)}</div>")
    return f"<h3>{escape(take.clip)} in {escape(take.style)}</h3>{''.join(rows)}"


def error_map(late: Tensor, warped: Tensor, seen: Tensor) -> np.ndarray:
    """Mean absolute difference times ERROR_GAIN, white on black, (H,W,3) uint8."""
    error = (late - warped).abs().mean(0, keepdim=True).mul(ERROR_GAIN).expand(3, -1, -1)
    pixels = to_pixels(error).copy()
    pixels[~seen.numpy()] = UNSEEN
    return pixels


def image(pixels: np.ndarray, caption: str) -> str:
    """A figure with the picture inside, as JPEG of at most SHORT_SIDE_PX."""
    scale = min(1.0, SHORT_SIDE_PX / min(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    data = base64.b64encode(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])[1]).decode()
    words = escape(caption)
    return (
        f'<figure><img alt="{words}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{words}</figcaption></figure>"
    )
