"""The charts of a run as files: SVG always, PNG where matplotlib is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from overread.files import atomic_path, write_text
from overread.report.charts import (
    COLOURS,
    Chart,
    PlotSeries,
    colour_numbers,
    render_heat,
    render_svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


CHINESE = ("Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Microsoft YaHei", "SimHei")


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix to draw: (K, K) counts, rows = truth, with the words around it."""

    counts: NDArray[np.int64]
    classes: tuple[str, ...]
    title: str
    truth: str
    predicted: str


def drawings(charts: Sequence[Chart], matrix: Matrix | None) -> dict[str, str]:
    """Every chart as SVG, and the confusion matrix if there is one, by file name."""
    drawn = {f"{chart.name}.svg": render_svg(chart, standalone=True) for chart in charts}
    if matrix is not None:
        drawn["confusion.svg"] = render_heat(
            matrix.title, matrix.counts, matrix.classes, matrix.truth, matrix.predicted
        )
    return drawn


def write_figures(folder: Path, charts: Sequence[Chart], matrix: Matrix | None) -> list[Path]:
    """Write every chart, and the confusion matrix if there is one; returns the files written."""
    drawn = drawings(charts, matrix)
    written = [folder / name for name in drawn]
    for path, svg in zip(written, drawn.values(), strict=True):
        write_text(path, svg)
    if find_spec("matplotlib") is None:
        return written
    for chart in charts:
        written.append(folder / f"{chart.name}.png")
        write_png(written[-1], chart)
    if matrix is not None:
        written.append(folder / "confusion.png")
        write_matrix_png(written[-1], matrix)
    return written


def _save(path: Path, draw: Callable[[Axes], None], size: tuple[float, float]) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.font_manager import get_font_names

    # Class names may be Chinese; matplotlib complains of every font named but not installed.
    fonts = ["DejaVu Sans", *(name for name in CHINESE if name in get_font_names())]
    with rc_context({"font.family": fonts, "font.size": 9}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class name no installed font can draw
        figure = Figure(figsize=size)
        draw(figure.add_subplot())
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=160, format="png", bbox_inches="tight")


def write_png(path: Path, chart: Chart) -> None:
    """Draw a chart with matplotlib, 160 dpi. Needs the [train] extra."""

    def draw(axes: Axes) -> None:
        for series, number in zip(chart.series, colour_numbers(chart), strict=True):
            _draw_series(axes, series, COLOURS[number % len(COLOURS)])
        for line in chart.references:
            (x0, y0), (x1, y1) = line.start, line.end
            axes.plot([x0, x1], [y0, y1], "--", color="0.5", linewidth=0.9, label=line.label)
        axes.set(
            title=chart.title,
            xlabel=chart.x.label,
            ylabel=chart.y.label,
            xlim=(chart.x.low, chart.x.high),
            ylim=(chart.y.low, chart.y.high),
        )
        axes.set_xticks(chart.x.ticks, [chart.x.tick_text(t) for t in chart.x.ticks])
        axes.set_yticks(chart.y.ticks, [chart.y.tick_text(t) for t in chart.y.ticks])
        axes.grid(axis="y", color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)

    _save(path, draw, (4.8, 4.8))


def _draw_series(axes: Axes, series: PlotSeries, colour: str) -> None:
    low, high = series.low, series.high
    if series.kind == "points" and low is not None and high is not None:
        reach = np.maximum([series.y - low, high - series.y], 0)
        axes.errorbar(series.x, series.y, reach, fmt="o", color=colour, label=series.label, ms=4)
        return
    if low is not None and high is not None:
        axes.fill_between(series.x, low, high, color=colour, alpha=0.15, linewidth=0)
    width = 0.7 if series.kind == "thin" else None
    axes.plot(series.x, series.y, color=colour, label=series.label, linewidth=width)


def write_matrix_png(path: Path, matrix: Matrix) -> None:
    """Draw a confusion matrix with matplotlib, 160 dpi. Needs the [train] extra."""
    counts, classes = matrix.counts, matrix.classes
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def draw(axes: Axes) -> None:
        axes.imshow(shares, cmap="GnBu", vmin=0, vmax=1)
        places = range(len(classes))
        axes.set_xticks(places, classes, rotation=30 if len(classes) > 3 else 0)
        axes.set_yticks(places, classes)
        axes.set(title=matrix.title, xlabel=matrix.predicted, ylabel=matrix.truth)
        for i in places:
            for j in places:
                shade = "white" if shares[i, j] > 0.6 else "black"
                axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=shade)

    side = max(3.6, 0.8 * len(classes) + 1.6)
    _save(path, draw, (side, side))
