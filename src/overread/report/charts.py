"""A chart as data, and one renderer that draws it as SVG.

The same `Chart` is drawn here for the report and with matplotlib in `figures` for papers. Colours
are CSS variables with fallbacks and text follows `currentColor`, so a chart fits a light, a dark
and a printed page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Light-page colours; the report's style sheet gives --s1.. for dark pages and print.
COLOURS = (
    "#0b6b66", "#b4551d", "#4b5fa8", "#8a3b73", "#6b7a1e", "#2f86b5", "#7a5c3e", "#566268"
)  # fmt: skip
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 2", "1 2", "6 2 1 2")
WIDTH, LEFT, RIGHT, TOP = 440, 58, 22, 12
PLOT_HEIGHT, COUNT_HEIGHT, ROW = 300, 52, 17


@dataclass(frozen=True)
class Axis:
    """Label, range and tick positions; `percent` prints ticks as percentages."""

    label: str
    low: float = 0.0
    high: float = 1.0
    ticks: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    percent: bool = False

    def tick_text(self, tick: float) -> str:
        """`tick` as it is printed beside the axis."""
        text = f"{100 * tick:.0f}%" if self.percent else f"{tick:.6g}"
        return text.replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class PlotSeries:
    """Points (x, y), float64 of equal length; `low`/`high`: the interval at each point, if any.

    A "thin" line belongs to the series before it: same colour, and no entry in the legend.
    """

    label: str
    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None
    kind: Literal["line", "points", "thin"] = "line"


@dataclass(frozen=True)
class Reference:
    """A thin line between two points that shows what to compare with (chance, ideal)."""

    label: str
    start: tuple[float, float]
    end: tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """Everything there is to draw. `counts`: (edges of n + 1 bins, n numbers) drawn beneath."""

    name: str
    title: str
    description: str
    x: Axis
    y: Axis
    series: tuple[PlotSeries, ...]
    references: tuple[Reference, ...] = ()
    counts: tuple[Floats, Floats] | None = None
    counts_label: str = "n"


def colour_numbers(chart: Chart) -> list[int]:
    """For each series the number of its colour and dash."""
    return [n - 1 for n in accumulate(int(series.kind != "thin") for series in chart.series)]


def shorten(name: str, most: int = 22) -> str:
    """A name that fits beside a chart; its middle gives way to an ellipsis."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half].rstrip()}…{name[-half:].lstrip()}"


def round_axis(
    label: str, values: Sequence[float] | Floats, *, percent: bool = False, whole: bool = False
) -> Axis:
    """An axis around `values` with about five ticks at 1, 2 or 5 times a power of ten.

    `whole`: ticks at whole numbers only.
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** np.floor(np.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 6)
    step = max(step, 1.0) if whole else step
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    ticks = tuple(float(np.round(step * i, 12)) for i in np.arange(first, max(last, first + 1) + 1))
    return Axis(label, ticks[0], ticks[-1], ticks, percent)


def render_svg(chart: Chart, *, standalone: bool = False) -> str:
    """The chart as an `<svg>` element; `standalone` adds the namespace, a paper and the title."""
    legend = [*(s.label for s in chart.series), *(r.label for r in chart.references)]
    head = 26 if standalone else 0
    below = TOP + PLOT_HEIGHT + (COUNT_HEIGHT + 6 if chart.counts else 0)
    height = head + below + 46 + ROW * sum(bool(label) for label in legend)
    parts = [
        _opening(chart, height, standalone),
        f'<g transform="translate(0 {head})">',
        _axes(chart, below),
        *(_reference(chart, reference) for reference in chart.references),
        *(
            _series(chart, series, number)
            for series, number in zip(chart.series, colour_numbers(chart), strict=True)
        ),
        _counts(chart),
        _legend(chart, below + 56),
        "</g></svg>",
    ]
    return "".join(parts)


def _opening(chart: Chart, height: int, standalone: bool) -> str:
    space = ' xmlns="http://www.w3.org/2000/svg"' if standalone else ""
    head = (
        f'<svg{space} class="chart" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="currentColor">'
        f"<title>{escape(chart.title)}</title><desc>{escape(chart.description)}</desc>"
    )
    if standalone:
        head += (
            '<rect width="100%" height="100%" fill="#fff"/>'
            f'<text x="{LEFT}" y="20" font-size="13" font-weight="600">{escape(chart.title)}</text>'
        )
    return head


def _at(axis: Axis, value: float) -> float:
    share = (value - axis.low) / ((axis.high - axis.low) or 1.0)
    return min(max(share, -0.02), 1.02)


def _px(chart: Chart, value: float) -> float:
    return LEFT + _at(chart.x, value) * (WIDTH - LEFT - RIGHT)


def _py(chart: Chart, value: float) -> float:
    return TOP + (1 - _at(chart.y, value)) * PLOT_HEIGHT


def _points(chart: Chart, x: Floats, y: Floats) -> str:
    return " ".join(f"{_px(chart, a):.1f},{_py(chart, b):.1f}" for a, b in zip(x, y, strict=True))


def _colour(number: int) -> str:
    place = number % len(COLOURS)
    return f"var(--s{place + 1}, {COLOURS[place]})"


def _axes(chart: Chart, below: int) -> str:
    bottom, right = TOP + PLOT_HEIGHT, WIDTH - RIGHT
    out = ['<g stroke="currentColor" stroke-opacity=".13">']
    out += [
        f'<path d="M{LEFT} {_py(chart, t):.1f}H{right}"/>' for t in chart.y.ticks
    ]  # horizontal grid only: quieter, and enough to read a value by
    out += [f'</g><path d="M{LEFT} {bottom}H{right}" stroke="currentColor" stroke-opacity=".5"/>']
    out += [
        f'<text x="{LEFT - 8}" y="{_py(chart, t) + 4:.1f}" text-anchor="end" opacity=".75">'
        f"{escape(chart.y.tick_text(t))}</text>"
        for t in chart.y.ticks
    ]
    out += [
        f'<text x="{_px(chart, t):.1f}" y="{below + 17}" text-anchor="middle" opacity=".75">'
        f"{escape(chart.x.tick_text(t))}</text>"
        for t in chart.x.ticks
    ]
    out += [
        f'<text x="{(LEFT + right) / 2}" y="{below + 36}" text-anchor="middle">'
        f"{escape(chart.x.label)}</text>",
        f'<text transform="translate(14 {TOP + PLOT_HEIGHT / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(chart.y.label)}</text>',
    ]
    return "".join(out)


def _reference(chart: Chart, line: Reference) -> str:
    (x0, y0), (x1, y1) = line.start, line.end
    return (
        f'<path d="M{_px(chart, x0):.1f} {_py(chart, y0):.1f}L{_px(chart, x1):.1f} '
        f'{_py(chart, y1):.1f}" stroke="currentColor" stroke-opacity=".55" stroke-dasharray="4 4"/>'
    )


def _series(chart: Chart, series: PlotSeries, number: int) -> str:
    colour = _colour(number)
    if series.kind == "points":
        return _whiskers(chart, series, colour)
    if series.kind == "thin":
        points = _points(chart, series.x, series.y)
        return (
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-opacity=".6" '
            f'stroke-width="1"/>'
        )
    band = ""
    if series.low is not None and series.high is not None and len(series.x):
        there = _points(chart, series.x, series.high)
        around = f"{there} {_points(chart, series.x[::-1], series.low[::-1])}"
        band = f'<polygon points="{around}" fill="{colour}" fill-opacity=".14"/>'
    return (
        f'{band}<polyline points="{_points(chart, series.x, series.y)}" fill="none" '
        f'stroke="{colour}" stroke-width="2" stroke-linejoin="round" '
        f'stroke-dasharray="{DASHES[number % len(DASHES)]}"/>'
    )


def _whiskers(chart: Chart, series: PlotSeries, colour: str) -> str:
    out = [f'<g fill="{colour}" stroke="{colour}">']
    low = series.y if series.low is None else series.low
    high = series.y if series.high is None else series.high
    for x, y, down, up in zip(series.x, series.y, low, high, strict=True):
        at = f"{_px(chart, x):.1f}"
        out.append(f'<path d="M{at} {_py(chart, down):.1f}V{_py(chart, up):.1f}"/>')
        out.append(f'<circle cx="{at}" cy="{_py(chart, y):.1f}" r="3.5"/>')
    return "".join([*out, "</g>"])


def _counts(chart: Chart) -> str:
    if chart.counts is None:
        return ""
    edges, numbers = chart.counts
    base, most = TOP + PLOT_HEIGHT + COUNT_HEIGHT + 4, max(float(np.max(numbers)), 1.0)
    out = [f'<path d="M{LEFT} {base}H{WIDTH - RIGHT}" stroke="currentColor" stroke-opacity=".3"/>']
    for left, right, n in zip(edges[:-1], edges[1:], numbers, strict=True):
        x0, x1, tall = _px(chart, left), _px(chart, right), (COUNT_HEIGHT - 18) * n / most
        middle = f'x="{(x0 + x1) / 2:.1f}" text-anchor="middle" font-size="10" opacity=".75"'
        out.append(
            f'<rect x="{x0 + 1:.1f}" y="{base - tall:.1f}" width="{max(x1 - x0 - 2, 1):.1f}" '
            f'height="{tall:.1f}" fill="{_colour(0)}" fill-opacity=".35"/>'
            f'<text {middle} y="{base - tall - 3:.1f}">{n:.0f}</text>'
        )
    out.append(
        f'<text x="{LEFT - 8}" y="{base}" text-anchor="end">{escape(chart.counts_label)}</text>'
    )
    return "".join(out)


def _legend(chart: Chart, top: int) -> str:
    out, y = [], top
    for series, number in zip(chart.series, colour_numbers(chart), strict=True):
        if series.label:
            dash, wide = DASHES[number % len(DASHES)], 2 if series.kind == "line" else 6
            dash = dash if series.kind == "line" else ""
            out.append(_key(y, series.label, _colour(number), dash, wide))
            y += ROW
    for line in chart.references:
        if line.label:
            out.append(_key(y, line.label, "currentColor", "4 4", 1))
            y += ROW
    return "".join(out)


def _key(y: int, label: str, colour: str, dash: str, width: float) -> str:
    return (
        f'<path d="M{LEFT} {y}h24" stroke="{colour}" stroke-width="{width}" '
        f'stroke-dasharray="{dash}"/><text x="{LEFT + 32}" y="{y + 4}">{escape(label)}</text>'
    )


def render_heat(
    name: str, counts: NDArray[np.int64], classes: Sequence[str], rows: str, columns: str
) -> str:
    """A confusion matrix (K, K), rows = truth, as a standalone SVG; shade = share of its row."""
    size, left, top = 74, 150, 64
    side = size * len(classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    out = [
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" font-family="system-ui, sans-serif" '
        f'font-size="12" viewBox="0 0 {left + side + 14} {top + side + 14}">'
        f'<title>{escape(name)}</title><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{left + side / 2}" y="20" text-anchor="middle">{escape(columns)}</text>',
        f'<text transform="translate(16 {top + side / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(rows)}</text>",
    ]
    for i, name_of_class in enumerate(classes):
        middle = size * i + size / 2
        label = shorten(name_of_class, 11)
        out.append(
            f'<text x="{left + middle}" y="{top - 10}" text-anchor="middle">{escape(label)}</text>'
            f'<text x="{left - 10}" y="{top + middle + 4}" text-anchor="end">{escape(label)}</text>'
        )
        cells = enumerate(zip(counts[i], shares[i], strict=True))
        out += [_cell(left + size * j, top + size * i, size, n, share) for j, (n, share) in cells]
    return "".join([*out, "</svg>"])


def _cell(x: int, y: int, size: int, count: int, share: float) -> str:
    return (
        f'<rect x="{x + 1}" y="{y + 1}" width="{size - 2}" height="{size - 2}" '
        f'fill="{COLOURS[0]}" fill-opacity="{0.05 + 0.85 * share:.3f}"/>'
        f'<text x="{x + size / 2}" y="{y + size / 2 + 4}" text-anchor="middle" '
        f'fill="{"#fff" if share > 0.55 else "#1b2326"}">{count:,}</text>'
    )
