"""Operating points: chosen on the validation split, shown with their interval on the test split.

A threshold read off the test set would flatter every figure computed with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from overread.documents.predictions import PredictionTable
from overread.stats.estimate import Estimate
from overread.stats.intervals import proportion
from overread.stats.ranking import Ranking
from overread.stats.resample import group_rows

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
CONFIDENCE = 0.9
SENSITIVITY = 0.95
ERROR = 0.05
LINE = np.array([1.0, 0.0])  # slope and height of the curve that believes every confidence
PRIOR = 15.0  # how many answers it takes to be believed no more than what was seen
SURE = (1e-6, 1 - 1e-6)


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold and why it was chosen.

    `rule` is "confidence" (given), "error" (answers at or above `threshold` should be wrong at
    most `wanted` of the time) or "sensitivity" (`label` is named at or above `threshold`, to find
    `wanted` of its images). `threshold` is None where no value reaches what is wanted.
    """

    rule: str
    wanted: float
    threshold: float | None
    label: str | None = None

    def on(self, table: PredictionTable) -> dict[str, Estimate]:
        """What it gives on a split: coverage and accuracy, or sensitivity and specificity."""
        if self.threshold is None or not len(table):
            return {}
        truth = table.truth()
        if self.label is None:
            named, right = confidence(table) >= self.threshold, table.truth() == table.decisions()
            everyone = np.ones(len(table), dtype=bool)
            return {
                "coverage": _share(table, named, everyone),
                "accuracy": _share(table, right.all(axis=1), named),
            }
        k = table.classes.index(self.label)
        named = table.probabilities[:, k] >= self.threshold
        return {
            "sensitivity": _share(table, named, truth[:, k]),
            "specificity": _share(table, ~named, ~truth[:, k]),
            "precision": _share(table, truth[:, k], named),
            "npv": _share(table, ~truth[:, k], ~named),
        }


def _share(table: PredictionTable, part: Bools, whole: Bools) -> Estimate:
    groups = group_rows(table.groups)
    return proportion(groups.sum(part & whole), groups.sum(whole))


def confidence(table: PredictionTable) -> Floats:
    """(n,) how sure the model is of its whole answer: of its least sure label, for several."""
    p = table.probabilities
    return np.asarray(np.maximum(p, 1 - p).min(axis=1) if table.multilabel else p.max(axis=1))


def operating_points(
    val: PredictionTable,
    *,
    confidence_at: float = CONFIDENCE,
    sensitivity: float = SENSITIVITY,
    error: float = ERROR,
    positives: Sequence[str] | None = None,
) -> list[ChosenThreshold]:
    """The points offered, chosen on `val`; one for the sensitivity of each of `positives`.

    `positives` left out: every class.
    """
    points = [
        ChosenThreshold("confidence", confidence_at, confidence_at),
        ChosenThreshold("error", error, threshold_for_error(val, error)),
    ]
    return points + [
        ChosenThreshold(
            "sensitivity", sensitivity, threshold_for_sensitivity(val, name, sensitivity), name
        )
        for name in (positives if positives is not None else val.classes)
    ]


def threshold_for_error(val: PredictionTable, error: float) -> float | None:
    """The lowest confidence at and above which at most `error` of the answers should be wrong.

    Counting the wrong answers themselves would let one unlucky image near the top decide: the
    share expected from a smooth curve comes nearer to what is wanted, most of all with few
    validation images (simulated in tests/statistical). None where no confidence reaches it.
    """
    right = (val.truth() == val.decisions()).all(axis=1)
    sure = confidence(val)
    wrong = 1 - expected_right(sure, right)
    ranking = Ranking.of(sure, right)
    answered = np.cumsum(wrong[ranking.order])[ranking.ends]
    good = np.flatnonzero(answered <= error * (ranking.ends + 1) + 1e-12)
    return float(sure[ranking.order[ranking.ends[good[-1]]]]) if len(good) else None


def expected_right(sure: Floats, right: Bools) -> Floats:
    """(n,) chance that an answer of each confidence is right: logistic in the confidence's logit.

    The curve is drawn to the confidence itself, as far as PRIOR images would: calibrated
    probabilities are nearly believed, those of a model that is too sure are not.
    """
    p = np.clip(sure, SURE[0], SURE[1])
    x = np.column_stack([np.log(p / (1 - p)), np.ones(len(p))])

    def loss(line: Floats) -> tuple[float, Floats]:
        z = x @ line
        pull = line - LINE
        value = np.logaddexp(0, z).sum() - z[right].sum() + PRIOR / 2 * pull @ pull
        return float(value), x.T @ (expit(z) - right) + PRIOR * pull

    found = minimize(loss, LINE, jac=True, method="L-BFGS-B", bounds=((0, None), (None, None)))
    return np.asarray(expit(x @ found.x))


def threshold_for_sensitivity(val: PredictionTable, label: str, wanted: float) -> float | None:
    """The highest probability of `label` that still finds `wanted` of its validation images."""
    k = val.classes.index(label)
    found = np.sort(val.probabilities[val.truth()[:, k], k])[::-1]
    if not len(found):
        return None
    needed = max(1, int(np.ceil(wanted * len(found) - 1e-9)))
    return float(found[needed - 1])
