"""Charts of a run carry the numbers of metrics.json and of the predictions, and nothing else."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from overread.evaluation.summary import split_metrics
from overread.pages.texts import load_texts
from overread.report import page
from overread.report.plots import binned, calibration, split_charts, training_charts
from overread.stats.intervals import score_interval

SAY = partial(load_texts(Path(page.__file__).parent / "texts").plain, "en")


@pytest.fixture
def part(table_maker):
    table = table_maker(60).select("test")
    return split_metrics(table, 50, 0), table


def test_every_chart_is_made(part) -> None:
    names = [chart.name for chart in split_charts(*part, SAY)]
    assert names == ["roc", "precision_recall", "calibration", "risk_coverage", "decision"]


def test_without_predictions_only_calibration_is_missing(part) -> None:
    names = [chart.name for chart in split_charts(part[0], None, SAY)]
    assert names == ["roc", "precision_recall", "risk_coverage", "decision"]


def test_legends_carry_interval_and_n(part) -> None:
    metrics, table = part
    roc = split_charts(metrics, table, SAY)[0]
    area = metrics.per_class["malignant"].auroc
    label = f"malignant: AUROC {area.value:.3f} ({area.low:.3f}–{area.high:.3f}), n=60"
    assert label in [series.label for series in roc.series]


def test_a_long_class_name_leaves_room_for_the_figure(table_maker) -> None:
    table = table_maker(60, classes=("Actinic keratosis / intraepithelial carcinoma", "other"))
    metrics = split_metrics(table.select("test"), 20, 0)
    for chart in split_charts(metrics, table.select("test"), SAY):
        assert all(len(series.label) <= 62 for series in chart.series)
    assert "n=60" in split_charts(metrics, None, SAY)[0].series[0].label


def test_the_area_under_the_drawn_curve_is_the_auroc_printed(part) -> None:
    metrics, table = part
    roc = split_charts(metrics, table, SAY)[0]
    for name, series in zip(metrics.per_class, roc.series, strict=True):
        area = float(np.trapezoid(series.y, series.x))
        assert area == pytest.approx(metrics.per_class[name].auroc.value, abs=2e-3)


def test_bins_hold_their_edges_and_count_everything() -> None:
    confidence = np.array([0.05, 0.1, 0.100001, 0.95, 1.0, 0.0])
    outcome = np.array([0, 1, 1, 1, 0, 0.0])
    points, counts = binned(confidence, outcome)
    assert counts.tolist() == [3, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert points.x == pytest.approx([0.05, 0.100001, 0.975])
    assert points.y == pytest.approx([1 / 3, 1, 0.5])
    assert points.low is not None and points.high is not None
    assert (points.low[2], points.high[2]) == pytest.approx(score_interval(0.5, 2))


def test_calibration_starts_where_there_is_something(table_maker) -> None:
    two = table_maker(80, classes=("no", "yes")).select("test")
    chart = calibration(two, SAY)
    assert chart.x.low == 0.4 and chart.counts is not None
    assert chart.counts[1].sum() == len(two)


def test_the_last_point_of_risk_coverage_is_the_error_rate(part) -> None:
    metrics, table = part
    chart = split_charts(metrics, table, SAY)[3]
    assert chart.series[0].x[-1] == pytest.approx(1)
    assert chart.series[0].y[-1] == pytest.approx(1 - metrics.accuracy.value, abs=1e-5)


def test_two_classes_give_one_decision_curve_of_the_rarer_one(table_maker) -> None:
    table = table_maker(80, classes=("common", "rare"), seed=3).select("test")
    metrics = split_metrics(table, 50, 0)
    decision = split_charts(metrics, table, SAY)[-1]
    assert [series.label for series in decision.series] == ["rare", SAY("chart.decision.all")]


def test_every_class_is_set_against_acting_on_everyone(part) -> None:
    metrics, table = part
    decision = split_charts(metrics, table, SAY)[-1]
    names = [series.label for series in decision.series if series.kind == "line"]
    thin = [series for series in decision.series if series.kind == "thin"]
    assert names == list(metrics.classes) and len(thin) == len(names)
    for name, line in zip(names, thin, strict=True):
        share = metrics.per_class[name].n / metrics.n
        assert line.label == "" and line.y.min() >= decision.y.low
        assert line.y == pytest.approx(share - (1 - share) * line.x / (1 - line.x), abs=1e-6)


def test_the_area_under_risk_and_coverage_is_printed_with_its_interval(part) -> None:
    metrics, table = part
    area = metrics.curves.risk_coverage.area
    label = split_charts(metrics, table, SAY)[3].series[0].label
    for number in (area.value, area.low, area.high):
        assert f"{number:.3f}" in label


def test_a_class_without_cases_has_no_curve(table_maker) -> None:
    table = table_maker(60).select("test")
    kept = table.rows([i for i, label in enumerate(table.labels) if label != "normal"])
    metrics = split_metrics(kept, 50, 0)
    labels = [series.label for series in split_charts(metrics, kept, SAY)[0].series]
    assert len(labels) == 2 and not any(label.startswith("normal") for label in labels)


def test_many_classes_show_the_eight_largest(table_maker) -> None:
    names = tuple(f"c{i:02d}" for i in range(12))
    table = table_maker(200, classes=names).select("test")
    metrics = split_metrics(table, 20, 0)
    assert len(split_charts(metrics, table, SAY)[0].series) == 8


def test_training_curves_part_loss_from_scores_and_leave_out_the_rest() -> None:
    rows = [
        {"epoch": str(e), "train_loss": f"{1 / e}", "val_loss": "", "val_accuracy": ".5", "lr": "1"}
        for e in (1, 2, 3)
    ]
    loss, score = training_charts(rows, SAY)
    assert [s.label for s in loss.series] == ["train_loss"]
    assert [s.label for s in score.series] == ["val_accuracy"]
    assert loss.series[0].y == pytest.approx([1, 0.5, 1 / 3])
    assert training_charts([], SAY) == []


def test_a_single_epoch_is_a_point_that_can_be_seen() -> None:
    (chart,) = training_charts([{"epoch": "0", "train_loss": "", "val_macro_auroc": ".6"}], SAY)
    assert [(s.label, s.kind, len(s.x)) for s in chart.series] == [("val_macro_auroc", "points", 1)]
