"""The charts of a run, from metrics.json, the predictions table and training.csv."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from overread.documents.metrics import Curves, RiskCoverageCurve, SplitMetrics
from overread.documents.predictions import PredictionTable
from overread.evaluation.reliability import forecasts
from overread.pages.numbers import estimate_text
from overread.report.charts import Axis, Chart, PlotSeries, Reference, round_axis, shorten
from overread.stats.intervals import score_interval

Floats = NDArray[np.float64]
Curve = TypeVar("Curve")
Say = Callable[..., str]  # (key, **values) -> text in the chart's language
MOST_CLASSES = 8  # more curves (the largest classes are kept) cannot be told apart
EDGES = np.linspace(0, 1, 11)
# Columns of training.csv that are bookkeeping, not scores.
BOOKKEEPING = ("lr", "rate", "second", "time", "step", "images", "memory", "stage", "best")


def split_charts(judged: SplitMetrics, table: PredictionTable | None, say: Say) -> list[Chart]:
    """ROC, precision-recall, calibration, risk-coverage and decision curves of one split.

    Calibration needs the predictions `table` of that split, the others only its `curves`.
    """
    charts = [_roc(judged, say), _precision_recall(judged, say)]
    if table is not None and len(table):
        charts.append(calibration(table, say))
    charts += [_risk_coverage(judged, say), _decision(judged, say)]
    return [chart for chart in charts if chart.series]


def _shown(judged: SplitMetrics, curves: Mapping[str, Curve | None]) -> list[tuple[str, Curve]]:
    """The classes that have such a curve, at most the `MOST_CLASSES` largest, in file order."""
    sizes = {name: row.n or 0 for name, row in judged.per_class.items()}
    drawn = [(name, curve) for name, curve in curves.items() if curve is not None]
    largest = sorted((name for name, _ in drawn), key=lambda c: -sizes.get(c, 0))[:MOST_CLASSES]
    return [(name, curve) for name, curve in drawn if name in largest]


def _curves(judged: SplitMetrics) -> Curves:
    return judged.curves or Curves()


def _legend(
    judged: SplitMetrics, name: str, field: Literal["auroc", "average_precision"], label: str
) -> str:
    row = judged.per_class.get(name)
    estimate = getattr(row, field) if row else None
    if not estimate:
        return shorten(name)
    found = estimate_text(estimate, judged.n, f"per_class.{name}.{field}", share=False)
    return f"{shorten(name)}: {label} {found}, n={judged.n:,}"


def _roc(judged: SplitMetrics, say: Say) -> Chart:
    drawn = _shown(judged, _curves(judged).roc)
    return Chart(
        "roc",
        say("chart.roc.title"),
        say("chart.roc.description"),
        Axis(say("chart.roc.x")),
        Axis(say("chart.roc.y")),
        tuple(
            PlotSeries(_legend(judged, c, "auroc", "AUROC"), np.array(p.fpr), np.array(p.tpr))
            for c, p in drawn
        ),
        (Reference(say("chart.roc.guessing"), (0, 0), (1, 1)),),
    )


def _precision_recall(judged: SplitMetrics, say: Say) -> Chart:
    drawn = _shown(judged, _curves(judged).pr)
    return Chart(
        "precision_recall",
        say("chart.pr.title"),
        say("chart.pr.description"),
        Axis(say("chart.pr.x")),
        Axis(say("chart.pr.y")),
        tuple(
            PlotSeries(
                _legend(judged, c, "average_precision", "AP"),
                np.array(p.recall),
                np.array(p.precision),
            )
            for c, p in drawn
        ),
    )


def binned(confidence: Floats, outcome: Floats) -> tuple[PlotSeries, Floats]:
    """Share right against mean confidence in ten equal bins, Wilson intervals; counts (10,).

    `confidence`, `outcome` (n,) in 0..1. A bin that holds nothing gives no point.
    """
    place = np.clip(np.searchsorted(EDGES, confidence, side="left") - 1, 0, len(EDGES) - 2)
    counts = np.bincount(place, minlength=len(EDGES) - 1).astype(np.float64)
    used = np.flatnonzero(counts)
    x = np.bincount(place, confidence, len(counts))[used] / counts[used]
    y = np.bincount(place, outcome, len(counts))[used] / counts[used]
    low, high = _score(y, counts[used])
    return PlotSeries("", x, y, low, high, "points"), counts


def _score(share: Floats, n: Floats) -> tuple[Floats, Floats]:
    ends = [score_interval(float(s), float(m)) for s, m in zip(share, n, strict=True)]
    low, high = np.array(ends, dtype=np.float64).reshape(-1, 2).T
    return low, high


def calibration(table: PredictionTable, say: Say) -> Chart:
    """Reliability diagram with the number of images beneath."""
    confidence, outcome = forecasts(table.probabilities, table.truth(), table.multilabel)
    points, counts = binned(confidence.ravel(), outcome.ravel())
    first = float(EDGES[np.flatnonzero(counts)[0]])
    low = 0.0 if first < 0.4 else 0.4
    inside = EDGES[:-1] >= low - 1e-9
    name = say("chart.calibration.series", n=f"{outcome.size:,}")
    return Chart(
        "calibration",
        say("chart.calibration.title"),
        say("chart.calibration.description"),
        Axis(say("chart.calibration.x"), low, 1.0, _fifths(low), percent=True),
        Axis(say("chart.calibration.y"), percent=True),
        (PlotSeries(name, points.x, points.y, points.low, points.high, "points"),),
        (Reference(say("chart.calibration.ideal"), (low, low), (1, 1)),),
        (np.append(EDGES[:-1][inside], 1.0), counts[inside]),
    )


def _fifths(low: float) -> tuple[float, ...]:
    return tuple(t for t in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0) if t >= low - 1e-9)


def _risk_coverage(judged: SplitMetrics, say: Say) -> Chart:
    curve, n = _curves(judged).risk_coverage or RiskCoverageCurve(), judged.n or 0
    area = estimate_text(curve.area, n, "curves.risk_coverage.area", share=False)
    label = say("chart.risk.series", n=f"{n:,}", area=area)
    x, y = np.array(curve.coverage), np.array(curve.risk)
    low, high = _score(y, np.maximum(np.round(x * n), 1)) if len(x) else (x, x)
    # The first few images have intervals up to 1; the axis follows the curve, not those.
    settled = high[x >= 0.2]
    top = float(max([*settled, *y], default=1.0))
    return Chart(
        "risk_coverage",
        say("chart.risk.title"),
        say("chart.risk.description"),
        Axis(say("chart.risk.x"), percent=True),
        round_axis(say("chart.risk.y"), [0.0, top], percent=True),
        (PlotSeries(label, x, y, low, high),) if len(x) else (),
    )


def _decision(judged: SplitMetrics, say: Say) -> Chart:
    drawn = _shown(judged, _curves(judged).decision)
    share = {name: (judged.per_class[name].n or 0) / (judged.n or 1) for name, _ in drawn}
    if len(judged.per_class) == 2 and not judged.multilabel and drawn:
        drawn = [min(drawn, key=lambda row: share[row[0]])]  # the rarer: the one looked for
    series = []
    top = max(share.values(), default=1.0)
    for name, points in drawn:
        at, everyone = np.array(points.threshold), np.array(points.treat_all)
        series.append(PlotSeries(shorten(name, 40), at, np.array(points.net_benefit)))
        shown = everyone >= -0.2 * top  # it falls without end
        if len(drawn) == 1:
            label = say("chart.decision.all")
            series.append(PlotSeries(label, at[shown], everyone[shown]))
        else:
            series.append(PlotSeries("", at[shown], everyone[shown], kind="thin"))
    return Chart(
        "decision",
        say("chart.decision.title"),
        say(f"chart.decision.description{'' if len(drawn) == 1 else '_many'}"),
        Axis(say("chart.decision.x"), percent=True),
        round_axis(say("chart.decision.y"), [-0.2 * top, top]),
        tuple(series),
        (Reference(say("chart.decision.none"), (0, 0), (1, 0)),),
    )


def training_charts(rows: Sequence[Mapping[str, str]], say: Say) -> list[Chart]:
    """Loss, and every other score, over the epochs of training.csv (column names as written)."""
    if not rows:
        return []
    columns = {name: _numbers(rows, name) for name in rows[0]}
    epoch = columns.pop("epoch", np.arange(1.0, len(rows) + 1))
    known = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    losses = {name: values for name, values in known.items() if "loss" in name.lower()}
    scores = {
        name: values
        for name, values in known.items()
        if name not in losses and not any(word in name.lower() for word in BOOKKEEPING)
    }
    groups = (("training_loss", losses), ("training_score", scores))
    return [_over_epochs(name, epoch, group, say) for name, group in groups if group]


def _numbers(rows: Sequence[Mapping[str, str]], name: str) -> Floats:
    def number(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            return float("nan")

    return np.array([number(row[name]) for row in rows])


def _over_epochs(name: str, epoch: Floats, group: Mapping[str, Floats], say: Say) -> Chart:
    series = []
    for label, values in list(group.items())[:MOST_CLASSES]:
        known = np.isfinite(values) & np.isfinite(epoch)
        kind: Literal["line", "points"] = "line" if known.sum() > 1 else "points"
        series.append(PlotSeries(label, epoch[known], values[known], kind=kind))
    return Chart(
        name,
        say(f"chart.{name}.title"),
        say(f"chart.{name}.description"),
        round_axis(say("chart.epoch"), epoch, whole=True),
        round_axis(say(f"chart.{name}.y"), np.concatenate([s.y for s in series])),
        tuple(series),
    )
