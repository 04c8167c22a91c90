"""Plots as SVG text: dots, lines and bars on plain axes. Colours are by model, in given order."""

import math
from collections.abc import Callable
from html import escape

COLOURS = ("#0b6e99", "#c4501b", "#3c7a3c", "#8a4fa0", "#a8891a", "#5a5a5a")
QUIET = "#9a9a9a"
WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 16, 46

Points = list[tuple[float, float]]
Place = Callable[[float, float], tuple[float, float]]


def colour(number: int) -> str:
    """The colour of the model `number`, from 0."""
    return COLOURS[number % len(COLOURS)]


def dots(series: dict[str, tuple[str, Points]], x_title: str, y_title: str) -> str:
    """{name: (colour, points)}: a dot for each point; the last of each series is drawn large."""
    everything = [p for _, points in series.values() for p in points]
    place, frame = axes(everything, x_title, y_title)
    parts = []
    for name, (ink, points) in series.items():
        for i, (x, y) in enumerate(points):
            cx, cy = place(x, y)
            large = i == len(points) - 1
            look = 'r="7" stroke="#fff" stroke-width="2"' if large else 'r="3" opacity="0.5"'
            title = f"{escape(name)}: {x:.4g}, {y:.4g}"
            parts.append(
                f'<circle cx="{cx:.1f}" cy="{cy:.1f}" {look} fill="{ink}">'
                f"<title>{title}</title></circle>"
            )
    return svg(frame + "".join(parts))


def lines(series: dict[str, tuple[str, Points]], x_title: str, y_title: str) -> str:
    """{name: (colour, points)}: a line through the points of each."""
    place, frame = axes([p for _, ps in series.values() for p in ps], x_title, y_title)
    parts = []
    for name, (ink, points) in series.items():
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*p) for p in points))
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{ink}" stroke-width="2">'
            f"<title>{escape(name)}</title></polyline>"
        )
    return svg(frame + "".join(parts))


def bars(groups: dict[str, dict[str, float]], inks: dict[str, str], y_title: str) -> str:
    """{group: {name: height}} as upright bars side by side, {name: colour}."""
    top = max((v for group in groups.values() for v in group.values()), default=1.0)
    place, frame = axes([(0, 0), (len(groups), top)], "", y_title, x_ticks=False)
    parts = []
    for g, (title, group) in enumerate(groups.items()):
        width = 0.8 / max(1, len(group))
        for i, (name, value) in enumerate(group.items()):
            x, y = place(g + 0.1 + i * width, value)
            right, base = place(g + 0.1 + (i + 0.94) * width, 0)
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{right - x:.1f}" height="{base - y:.1f}" '
                f'fill="{inks[name]}"><title>{escape(name)}: {value:.4g}</title></rect>'
            )
        x, base = place(g + 0.5, 0)
        parts.append(text(x, base + 16, title, "middle"))
    return svg(frame + "".join(parts))


def key(inks: dict[str, str]) -> str:
    """Names in their colours, for a plot that stands alone."""
    place = (LEFT + 90 * i for i in range(len(inks)))
    named = zip(place, inks.items(), strict=True)
    return "".join(text(x, 12, name, "start", f'fill="{ink}"') for x, (name, ink) in named)


def axes(points: Points, x_title: str, y_title: str, x_ticks: bool = True) -> tuple[Place, str]:
    """A function from values to places, and the SVG of axes that hold all points and zero on y."""
    xs, ys = [p[0] for p in points] or [0.0], [p[1] for p in points] or [0.0]
    marks_x, marks_y = marks(min(xs), max(xs)), marks(min(0.0, *ys), max(ys))
    # Bars have groups on x, whose places are whole numbers and must fill the width.
    low, high = (marks_x[0], marks_x[-1]) if x_ticks else (min(xs), max(xs))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - low) / (high - low)
        up = (y - marks_y[0]) / (marks_y[-1] - marks_y[0])
        inner = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + across * inner[0], TOP + (1 - up) * inner[1]

    parts = []
    for y in marks_y:
        at = place(low, y)[1]
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#8884" />')
        parts.append(text(LEFT - 6, at + 4, f"{y:.4g}", "end"))
    for x in marks_x if x_ticks else []:
        parts.append(text(place(x, 0)[0], HEIGHT - BOTTOM + 16, f"{x:.4g}", "middle"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_title, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f'transform="rotate(-90 14 {middle})"'
    parts.append(text(14, middle, y_title, "middle", turned))
    return place, "".join(parts)


def marks(low: float, high: float) -> list[float]:
    """Round values, about five of them, from at most `low` to at least `high`."""
    span = (high - low) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(span / 4))
    step = next(step * n for n in (1, 2, 5, 10) if span / (step * n) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, max(last, first + 1) + 1)]


def text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def svg(content: str) -> str:
    where = 'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12"'
    return f'<svg {where} viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{content}</svg>'
