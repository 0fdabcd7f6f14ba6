"""The metrics document: everything that can be said from a predictions table alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.documents.metrics import (
    AnsweredMetrics,
    ClassMetrics,
    ClassSet,
    ConformalSets,
    Confusion,
    Curves,
    IntervalMethod,
    LeakPrice,
    Metrics,
    OperatingPointMetrics,
    SplitMetrics,
)
from overread.documents.predictions import PredictionTable
from overread.errors import DataError
from overread.evaluation import curve_points, metrics
from overread.evaluation.conformal import (
    MISSED,
    conformal_quantiles,
    prediction_set,
    too_few,
)
from overread.evaluation.estimates import Sample, estimate
from overread.evaluation.reliability import forecasts, reliability_bins
from overread.evaluation.selective import risk_area
from overread.evaluation.subgroups import left_out, subgroups
from overread.evaluation.thresholds import confidence, operating_points
from overread.stats.estimate import Estimate, tidy
from overread.stats.intervals import proportion
from overread.stats.ranking import Ranking
from overread.stats.resample import group_rows

RESAMPLES = 2000
Columns = Mapping[str, Sequence[str]]


def evaluate_table(
    table: PredictionTable,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    leak_price: LeakPrice | None = None,
    test_set_uses: int | None = None,
    subgroup_columns: Columns | None = None,
) -> Metrics:
    """The figures of a predictions table, as metrics.json holds them.

    `test` and `val` each hold the estimates of that split (`val` is None where there is none),
    resampled by group `resamples` times. `subgroup_columns` holds, for every row of the table, the
    values by which the test split is also judged. Raises DataError where no row is in the split
    "test".
    """
    test = table.select("test")
    if not len(test):
        raise DataError(
            "has no row in the split 'test'",
            where="predictions",
            hint="Write 'test' in the split column of the images to judge by.",
        )
    val = table.select("val")
    rows = [i for i, split in enumerate(table.splits) if split == "test"]
    columns = {k: [v[i] for i in rows] for k, v in (subgroup_columns or {}).items()}
    by_value = subgroups(Sample.of(test), columns, resamples=resamples, seed=seed)
    judged = split_metrics(test, resamples, seed).model_copy(
        update={"subgroups": by_value, "subgroups_left_out": left_out(columns)}
    )
    return Metrics(
        judged_on="test",
        test=judged,
        val=split_metrics(val, resamples, seed) if len(val) else None,
        operating_points=_points(val, test) if len(val) else (),
        sets=_sets(val, test) if len(val) and not table.multilabel else None,
        leak_price=leak_price,
        test_set_uses=test_set_uses,
        method=IntervalMethod(interval="95 %, by group", resamples=resamples, seed=seed),
    )


def split_metrics(table: PredictionTable, resamples: int, seed: int) -> SplitMetrics:
    """The estimates, tables and curves of one split."""
    sample = Sample.of(table)
    found = estimate(sample, resamples=resamples, seed=seed)
    images = table.truth().sum(axis=0).tolist()
    per_class = {
        name: ClassMetrics(n=int(n), **_rounded(row))
        for n, (name, row) in zip(images, found.per_class.items(), strict=True)
    }
    return SplitMetrics(
        n=len(table),
        groups=sample.groups.count,
        classes=table.classes,
        multilabel=table.multilabel,
        **_rounded(found.overall),
        per_class=per_class,
        confusion=_confusion(sample),
        answered=_answered(sample),
        curves=_curves(sample, table, resamples, seed),
    )


def _rounded(found: Mapping[str, Estimate]) -> dict[str, Any]:
    """Estimates as files keep them, ready to be the fields of a model."""
    return {name: estimate.rounded() for name, estimate in found.items()}


def _points(val: PredictionTable, test: PredictionTable) -> tuple[OperatingPointMetrics, ...]:
    """Each operating point with what it gives on the split that chose it and on the test split."""
    return tuple(
        OperatingPointMetrics(
            rule=point.rule,
            wanted=point.wanted,
            label=point.label,
            threshold=point.threshold,
            val=_rounded(point.on(val)),
            test=_rounded(point.on(test)),
        )
        for point in operating_points(val)
    )


def _sets(val: PredictionTable, test: PredictionTable) -> ConformalSets:
    """Conformal sets from the validation split: how often they hold the true class of test images.

    `too_few` names the classes whose promise is that of all classes together.
    """
    truth, groups = val.truth(), group_rows(test.groups)
    limits = conformal_quantiles(val.probabilities, truth, val.groups, val.classes)
    members = prediction_set(test.probabilities, limits)

    def share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Estimate:
        return proportion(groups.sum(part & whole), groups.sum(whole)).rounded()

    one = members.sum(axis=1) == 1
    columns = zip(limits.items(), members.T, test.truth().T, strict=True)
    return ConformalSets(
        wanted=1 - MISSED,
        single=share(one, np.ones(len(test), dtype=bool)),
        too_few=too_few(truth, val.groups, val.classes),
        per_class={
            name: ClassSet(limit=tidy(limit), coverage=share(inside, true))
            for (name, limit), inside, true in columns
        },
    )


def _confusion(sample: Sample) -> Confusion:
    """Rows true, columns predicted; for several labels [[TN, FP], [FN, TP]] of each class."""
    matrix = metrics.two_by_two if sample.multilabel else metrics.confusion_matrix
    whole: Confusion = _tuples(matrix(sample.truth, sample.decisions).tolist())
    return whole


def _tuples(cells: Any) -> Any:
    """Nested lists of numbers as nested tuples."""
    return tuple(map(_tuples, cells)) if isinstance(cells, list) else cells


def _answered(sample: Sample) -> AnsweredMetrics:
    """How many images were answered, and how often the answer was right: all, and by class."""
    total = sample.groups.sum(np.ones(len(sample.truth)))
    answered = sample.groups.sum(sample.answered)
    right = sample.groups.sum(sample.right & sample.answered)

    def precision(k: int) -> Estimate:
        named = sample.answered & sample.decisions[:, k]
        return proportion(sample.groups.sum(named & sample.truth[:, k]), sample.groups.sum(named))

    return AnsweredMetrics(
        coverage=proportion(answered, total).rounded(),
        accuracy=proportion(right, answered).rounded(),
        precision={name: precision(k).rounded() for k, name in enumerate(sample.classes)},
    )


def _curves(sample: Sample, table: PredictionTable, resamples: int, seed: int) -> Curves:
    certainty = confidence(table)
    area = risk_area(certainty, sample.right, sample.groups, resamples=resamples, seed=seed)
    sure, outcome = forecasts(sample.probabilities, sample.truth, sample.multilabel)
    columns = list(zip(sample.classes, sample.probabilities.T, sample.truth.T, strict=True))
    rankings = {name: Ranking.of(p, y) for name, p, y in columns}
    return Curves(
        roc={name: curve_points.roc_curve(r) for name, r in rankings.items()},
        pr={name: curve_points.pr_curve(r) for name, r in rankings.items()},
        reliability=reliability_bins(sure.ravel(), outcome.ravel()),
        risk_coverage=curve_points.risk_coverage(certainty, sample.right, area.rounded()),
        decision={name: curve_points.decision_curve(p, y) for name, p, y in columns},
    )
