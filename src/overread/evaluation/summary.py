"""The metrics document: everything that can be said from a predictions table alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from overread.stats.intervals import Estimate, proportion, tidy
from overread.stats.ranking import Ranking
from overread.stats.resample import group_rows

RESAMPLES = 2000
Columns = Mapping[str, Sequence[str]]


def evaluate_table(
    table: PredictionTable,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    leak_price: Mapping[str, Any] | None = None,
    test_looks: int | None = None,
    subgroup_columns: Columns | None = None,
) -> dict[str, Any]:
    """The metrics.json document of a predictions table.

    "test" and "val" each hold the estimates of that part ("val" is null where there is none),
    resampled by group `resamples` times. `subgroup_columns` holds, for every row of the table, the
    values by which the test part is also judged. Raises DataError where no row is in the split
    "test".
    """
    test = table.select("test")
    if not len(test):
        raise DataError(
            "holds no row of the split 'test'",
            where="predictions",
            hint="Write 'test' in the split column of the images to judge by.",
        )
    val = table.select("val")
    rows = [i for i, split in enumerate(table.splits) if split == "test"]
    columns = {k: [v[i] for i in rows] for k, v in (subgroup_columns or {}).items()}
    judged = part(test, resamples, seed)
    by_value = subgroups(Sample.of(test), columns, resamples=resamples, seed=seed)
    return {
        "test": {
            **judged,
            "subgroups": plain(by_value),
            "subgroups_left_out": left_out(columns),
        },
        "val": part(val, resamples, seed) if len(val) else None,
        "operating_points": _points(val, test) if len(val) else [],
        "sets": _sets(val, test) if len(val) and not table.multilabel else None,
        "leak_price": None if leak_price is None else dict(leak_price),
        "test_looks": test_looks,
        "method": {"interval": "95 %, by group", "resamples": resamples, "seed": seed},
    }


def part(table: PredictionTable, resamples: int, seed: int) -> dict[str, Any]:
    """The estimates, tables and curves of one part."""
    sample = Sample.of(table)
    found = estimate(sample, resamples=resamples, seed=seed)
    return {
        "n": len(table),
        "groups": sample.groups.count,
        "classes": list(table.classes),
        "multilabel": table.multilabel,
        **plain(found),
        "confusion": _confusion(sample),
        "answered": plain(_answered(sample)),
        "curves": _curves(sample, table, resamples, seed),
    }


def _points(val: PredictionTable, test: PredictionTable) -> list[dict[str, Any]]:
    """Each operating point with what it gives on the part that chose it and on the test part."""
    return [
        {**point.to_dict(), "val": plain(point.on(val)), "test": plain(point.on(test))}
        for point in operating_points(val)
    ]


def _sets(val: PredictionTable, test: PredictionTable) -> dict[str, Any]:
    """Conformal sets from the validation part: how often they hold the true class of test images.

    `too_few` names the classes whose promise is that of all classes together.
    """
    truth, groups = val.truth(), group_rows(test.groups)
    limits = conformal_quantiles(val.probabilities, truth, val.groups, val.classes)
    members = prediction_set(test.probabilities, limits)

    def share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Estimate:
        return proportion(groups.sum(part & whole), groups.sum(whole))

    one = members.sum(axis=1) == 1
    columns = zip(limits.items(), members.T, test.truth().T, strict=True)
    return {
        "wanted": 1 - MISSED,
        "single": plain(share(one, np.ones(len(test), dtype=bool))),
        "too_few": list(too_few(truth, val.groups, val.classes)),
        "per_class": {
            name: {"limit": tidy(limit), "coverage": plain(share(inside, true))}
            for (name, limit), inside, true in columns
        },
    }


def plain(found: Any) -> Any:
    """Estimates as plain dictionaries, however deep they lie."""
    if isinstance(found, Estimate):
        return found.to_dict()
    if isinstance(found, Mapping):
        return {name: plain(value) for name, value in found.items()}
    return found


def _confusion(sample: Sample) -> list[Any]:
    """Rows true, columns predicted; for several labels [[TN, FP], [FN, TP]] of each class."""
    matrix = metrics.two_by_two if sample.multilabel else metrics.confusion_matrix
    whole: list[Any] = matrix(sample.truth, sample.decisions).tolist()
    return whole


def _answered(sample: Sample) -> dict[str, Any]:
    """How many images were answered, and how often the answer was right: all, and by class."""
    total = sample.groups.sum(np.ones(len(sample.truth)))
    answered = sample.groups.sum(sample.answered)
    right = sample.groups.sum(sample.right & sample.answered)

    def precision(k: int) -> Estimate:
        named = sample.answered & sample.decisions[:, k]
        return proportion(sample.groups.sum(named & sample.truth[:, k]), sample.groups.sum(named))

    return {
        "coverage": proportion(answered, total),
        "accuracy": proportion(right, answered),
        "precision": {name: precision(k) for k, name in enumerate(sample.classes)},
    }


def _curves(sample: Sample, table: PredictionTable, resamples: int, seed: int) -> dict[str, Any]:
    certainty = confidence(table)
    area = risk_area(certainty, sample.right, sample.groups, resamples=resamples, seed=seed)
    sure, outcome = forecasts(sample.probabilities, sample.truth, sample.multilabel)
    columns = zip(sample.classes, sample.probabilities.T, sample.truth.T, strict=True)
    rankings = {name: Ranking.of(p, y) for name, p, y in columns}
    return {
        "roc": {name: curve_points.roc_curve(r) for name, r in rankings.items()},
        "pr": {name: curve_points.pr_curve(r) for name, r in rankings.items()},
        "reliability": reliability_bins(sure.ravel(), outcome.ravel()),
        "risk_coverage": {
            **curve_points.risk_coverage(certainty, sample.right),
            "area": plain(area),
        },
        "decision": {
            name: curve_points.decision_curve(p, y)
            for name, p, y in zip(
                sample.classes, sample.probabilities.T, sample.truth.T, strict=True
            )
        },
    }
