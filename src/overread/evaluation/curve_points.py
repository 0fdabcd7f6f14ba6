"""The curves of the report, as short lists of points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overread.documents.metrics import (
    DecisionCurve,
    PrecisionRecallCurve,
    RiskCoverageCurve,
    RocCurve,
)
from overread.stats.estimate import Estimate
from overread.stats.ranking import Ranking
from overread.stats.ratios import ratio

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
POINTS = 200


def _thin(n: int, most: int = POINTS) -> NDArray[np.intp]:
    """At most `most` of the indices 0..n-1, the first and the last always among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.intp))


def _points(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(v), 6) for v in values)


def roc_curve(ranking: Ranking) -> RocCurve | None:
    """False positive rate against sensitivity, from (0, 0) to (1, 1); None without both sides."""
    hits, false = ranking.counts(np.ones(len(ranking.order)))
    if hits[-1] == 0 or false[-1] == 0:
        return None
    x = np.append(0.0, false / false[-1])
    y = np.append(0.0, hits / hits[-1])
    keep = _thin(len(x))
    return RocCurve(fpr=_points(x[keep]), tpr=_points(y[keep]))


def pr_curve(ranking: Ranking) -> PrecisionRecallCurve | None:
    """Sensitivity (recall) against precision; None without positives."""
    hits, false = ranking.counts(np.ones(len(ranking.order)))
    if hits[-1] == 0:
        return None
    keep = _thin(len(hits))
    recall, level = hits / hits[-1], ratio(hits, hits + false)
    return PrecisionRecallCurve(recall=_points(recall[keep]), precision=_points(level[keep]))


def risk_coverage(confidence: Floats, right: Bools, area: Estimate) -> RiskCoverageCurve:
    """Share of errors among the surest images, as more of them are answered.

    `confidence`, `right` (n,); `area`: see `risk_area`. Images equally sure are answered together.
    """
    ranking = Ranking.of(confidence, ~right)
    wrong, fine = ranking.counts(np.ones(len(right)))
    answered = wrong + fine
    risk = wrong / answered
    keep = _thin(len(risk))
    return RiskCoverageCurve(
        coverage=_points(answered[keep] / len(right)), risk=_points(risk[keep]), area=area
    )


def decision_curve(probability: Floats, positive: Bools) -> DecisionCurve:
    """Net benefit of acting at each threshold, beside acting on all (Vickers and Elkin 2006).

    Acting on none has net benefit 0. `probability`, `positive` (n,).
    """
    thresholds = np.arange(1, 100) / 100
    named = probability[None, :] >= thresholds[:, None]
    odds = thresholds / (1 - thresholds)
    share = float(positive.mean())
    hits = (named & positive).mean(axis=1)
    false = (named & ~positive).mean(axis=1)
    return DecisionCurve(
        threshold=_points(thresholds),
        net_benefit=_points(hits - odds * false),
        treat_all=_points(share - odds * (1 - share)),
    )
