"""Tables of medians, and how they are written: text, Markdown, CSV, HTML say the same cells."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from statistics import median

from evaluation.figures import UNAVAILABLE, Figure, Measurement
from evaluation.painters import UNTOUCHED

SHORT = {
    "style_ratio": "style ratio",
    "content": "content",
    "gram": "Gram",
    "chamfer": "Chamfer colour",
    "ssim": "SSIM",
    "halo": "halo",
    "lpips": "LPIPS",
    "lpips_like": "LPIPS-like",
    "exact_short": "moving, 1 frame",
    "exact_long": "moving, 10 frames",
    "filmed_short": "clips, 1 frame",
    "filmed_long": "clips, 10 frames",
    "noise_short": "flicker under noise",
}
"""Figures of figures.py by names that fit over a column."""
Medians = dict[tuple[str, str], float]
"""{(figure, model): median over all that was measured}"""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under a header; the first column is text, the others mostly figures."""

    header: list[str]
    rows: list[list[str]]

    def text(self) -> str:
        """Columns aligned by spaces."""
        lines = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
            for line in lines
        )

    def markdown(self) -> str:
        """A pipe table."""
        rule = ["---", *["---:"] * (len(self.header) - 1)]
        plain = [[c.replace("|", "\\|") for c in line] for line in (self.header, rule, *self.rows)]
        return "".join(f"| {' | '.join(line)} |\n" for line in plain)

    def csv(self) -> str:
        """Comma-separated values, lines ended by a line feed."""
        return to_csv([self.header, *self.rows])

    def html(self) -> str:
        """A <table> without style."""

        def line(tag: str, cells: list[str]) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(c)}</{tag}>" for c in cells) + "</tr>"

        body = "".join(line("td", row) for row in self.rows)
        return f"<table><thead>{line('th', self.header)}</thead><tbody>{body}</tbody></table>"


def medians(measurements: Iterable[Measurement]) -> Medians:
    """The median of each figure of each model."""
    values: dict[tuple[str, str], list[float]] = {}
    for m in measurements:
        values.setdefault((m.figure, m.model), []).append(m.value)
    return {key: median(found) for key, found in values.items()}


def summary(figures: list[Figure], models: list[str], measured: list[Measurement]) -> Table:
    """A line for each figure: the untouched photograph, the models, their ratios to the first."""
    middles, first = medians(measured), models[0]
    header = ["figure", "better", UNTOUCHED, *models, *[f"{m} / {first}" for m in models[1:]]]
    rows = []
    for figure in figures:
        values = [middles.get((figure.key, name)) for name in (UNTOUCHED, *models)]
        ratios = [ratio(value, values[1]) for value in values[2:]]
        rows.append([figure.title, figure.better, *map(shown, values), *ratios])
    return Table(header, rows)


def by_style(models: list[str], measured: list[Measurement]) -> Table:
    """A line for each style and the medians of all: style ratio and content of each model."""
    keys = [(figure, model) for model in models for figure in ("style_ratio", "content")]
    names = {"style_ratio": "style ratio", "content": "content"}
    header = ["style"]
    header += [names[f] if len(models) == 1 else f"{names[f]}, {m}" for f, m in keys]
    rows = []
    for style in dict.fromkeys(m.style for m in measured if m.figure == "style_ratio"):
        own = medians(m for m in measured if m.style == style)
        rows.append([style, *(f"{own[key]:.3f}" for key in keys)])
    pairs = sum((m.figure, m.model) == keys[0] for m in measured)
    middles = medians(measured)
    rows.append([f"median of {pairs} pairs", *(f"{middles[key]:.3f}" for key in keys)])
    return Table(header, rows)


def by_model(
    models: list[str], measured: list[Measurement], costs: list[tuple[float, float]]
) -> Table:
    """A line for each model: medians of the figures that were measured, and the seconds and MiB
    that a frame takes."""
    middles = medians(measured)
    there = {key: title for key, title in SHORT.items() if (key, UNTOUCHED) in middles}
    header = ["model", *there.values(), "s a frame", "MiB a frame"]
    rows = [
        [name, *(shown(middles.get((key, name))) for key in there), *map(shown, spent)]
        for name, spent in zip([UNTOUCHED, *models], [(None, None), *costs], strict=True)
    ]
    return Table(header, rows)


def every(measured: list[Measurement]) -> str:
    """All measurements as CSV, unrounded."""
    lines = [[m.figure, m.model, m.material, m.style, repr(m.value)] for m in measured]
    return to_csv([["figure", "model", "material", "style", "value"], *lines])


def to_csv(lines: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()


def shown(value: float | None) -> str:
    """Four digits, or that there is no such value."""
    return UNAVAILABLE if value is None else f"{value:.4g}"


def ratio(value: float | None, first: float | None) -> str:
    return f"{value / first:.3f}" if value is not None and first else UNAVAILABLE
