"""Every headline statistic of one split (validation or test), with its 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from overread.documents.predictions import PredictionTable
from overread.evaluation import metrics
from overread.evaluation.metrics import Counts
from overread.evaluation.reliability import (
    bin_moments,
    forecasts,
    squared_error,
    squared_error_noise,
)
from overread.stats.effective_size import EffectiveSizes
from overread.stats.estimate import UNDEFINED, Estimate
from overread.stats.intervals import LEVEL, Z, positive_mean, proportion, score_interval
from overread.stats.ranking import GroupRanking
from overread.stats.ratios import defined_mean, ratio
from overread.stats.resample import Groups, group_counts, group_rows

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
LOSS_LIMIT = {"nll": -float(np.log(metrics.SMALLEST_PROBABILITY)), "brier": 2.0}
BOUNDED = ("balanced_accuracy", "macro_auroc", "macro_average_precision", "macro_f1", "mcc")
HEADLINES = (
    "accuracy",
    "balanced_accuracy",
    "macro_auroc",
    "macro_average_precision",
    "macro_f1",
    "mcc",
    "nll",
    "brier",
    "rms_calibration_error",
)


@dataclass(frozen=True)
class Figures:
    """Estimates of a sample by name; `per_class` by class name, then by name."""

    overall: dict[str, Estimate]
    per_class: dict[str, dict[str, Estimate]]


@dataclass(frozen=True)
class Sample:
    """A table as arrays: truth, decisions and probabilities (n, K), groups and answered (n,)."""

    classes: tuple[str, ...]
    truth: Bools
    decisions: Bools
    probabilities: Floats
    answered: Bools
    groups: Groups
    multilabel: bool

    @classmethod
    def of(cls, table: PredictionTable) -> Sample:
        return cls(
            table.classes,
            table.truth(),
            table.decisions(),
            table.probabilities,
            np.array([status == "answer" for status in table.statuses], dtype=bool),
            group_rows(table.groups),
            table.multilabel,
        )

    @cached_property
    def right(self) -> Bools:
        """(n,) whether the whole answer is right."""
        return np.asarray(np.all(self.truth == self.decisions, axis=1))

    @cached_property
    def losses(self) -> dict[str, Floats]:
        """(n,) loss of each row, by name."""
        given = (self.probabilities, self.truth, self.multilabel)
        return {"nll": metrics.log_loss_rows(*given), "brier": metrics.brier_rows(*given)}

    @cached_property
    def rankings(self) -> list[GroupRanking]:
        """Rows ranked by each class's probability."""
        pairs = zip(self.probabilities.T, self.truth.T, strict=True)
        return [GroupRanking.of(p, y, self.groups) for p, y in pairs]

    @cached_property
    def moments(self) -> list[Floats]:
        """A (groups, bins * 5) array of sums for each calibration error to average."""
        confidence, outcome = forecasts(self.probabilities, self.truth, self.multilabel)
        pairs = zip(confidence.T, outcome.T, strict=True)
        return [bin_moments(c, y, self.groups) for c, y in pairs]

    @cached_property
    def tallies(self) -> Floats:
        """(groups, 3 K + 4) sums that are linear in the group counts."""
        rows = [self.truth & self.decisions, self.truth, self.decisions]
        extra = [np.ones(len(self.truth)), self.right, *self.losses.values()]
        return self.groups.sum(np.column_stack([*rows, *extra]).astype(float))


def statistics(sample: Sample, drawn: Floats) -> dict[str, Floats]:
    """Every statistic at once; `drawn` (resamples, groups) says how often each group counts.

    Per-class statistics are (resamples, K), the others (resamples,).
    """
    k = len(sample.classes)
    total = drawn @ sample.tallies
    n, right, nll, brier = total[:, 3 * k :].T
    c = Counts(total[:, :k], total[:, k : 2 * k], total[:, 2 * k : 3 * k], n, right)
    found = {
        "accuracy": metrics.accuracy(c),
        "balanced_accuracy": metrics.balanced_accuracy(c, sample.multilabel),
        "macro_f1": metrics.macro_f1(c),
        "mcc": metrics.mcc(c, sample.multilabel),
        "nll": ratio(nll, n),
        "brier": ratio(brier, n),
        "squared_calibration_error": _squared_calibration_error(sample, drawn),
        "sensitivity": metrics.sensitivity(c),
        "specificity": metrics.specificity(c),
        "precision": metrics.precision(c),
        "npv": metrics.npv(c),
        "f1": metrics.f1(c),
    }
    return found | _ranked(sample, drawn)


def _squared_calibration_error(sample: Sample, drawn: Floats) -> Floats:
    errors = [squared_error(drawn @ moments) for moments in sample.moments]
    return np.asarray(np.mean(errors, axis=0))


def _ranked(sample: Sample, drawn: Floats) -> dict[str, Floats]:
    columns = np.ascontiguousarray(drawn.T)
    areas, levels = zip(*(ranking.areas(columns) for ranking in sample.rankings), strict=True)
    area, level = np.column_stack(areas), np.column_stack(levels)
    return {
        "auroc": area,
        "average_precision": level,
        "macro_auroc": defined_mean(area),
        "macro_average_precision": defined_mean(level),
    }


def point(sample: Sample) -> dict[str, Floats]:
    """The statistics of the sample itself: every group once."""
    once = statistics(sample, np.ones((1, sample.groups.count)))
    return {name: values[0] for name, values in once.items()}


def bootstrap(sample: Sample, resamples: int, seed: int) -> dict[str, Floats]:
    """The statistics of `resamples` draws of groups with replacement, stacked."""
    draws = group_counts(sample.groups.count, resamples, seed)
    blocks = [statistics(sample, drawn) for drawn in draws]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def estimate(sample: Sample, *, resamples: int, seed: int) -> Figures:
    """Every headline and every class's figures, each with its interval."""
    return with_intervals(sample, point(sample), bootstrap(sample, resamples, seed))


def with_intervals(sample: Sample, value: dict[str, Floats], drawn: dict[str, Floats]) -> Figures:
    """Estimates from the statistics of a sample and those of its resamples."""
    limits = EffectiveSizes.of(sample.truth, sample.right, sample.groups)
    found: dict[str, Estimate] = {
        "accuracy": proportion(
            sample.groups.sum(sample.right), sample.tallies[:, 3 * len(sample.classes)]
        ),
        "nll": _loss(sample, "nll"),
        "brier": _loss(sample, "brier"),
        "rms_calibration_error": calibration_error(
            float(value["squared_calibration_error"]), sample
        ),
    }
    for name in BOUNDED:
        found[name] = _bounded(name, value[name], drawn[name], limits)
    ordered = {name: found[name] for name in HEADLINES}
    per_class = {
        name: _one_class(sample, k, value, drawn, limits) for k, name in enumerate(sample.classes)
    }
    return Figures(ordered, per_class)


def _one_class(
    sample: Sample,
    k: int,
    value: dict[str, Floats],
    drawn: dict[str, Floats],
    limits: EffectiveSizes,
) -> dict[str, Estimate]:
    truth, named = sample.truth[:, k], sample.decisions[:, k]

    def share(part: Bools, whole: Bools) -> Estimate:
        return proportion(sample.groups.sum(part & whole), sample.groups.sum(whole))

    found = {
        "sensitivity": share(named, truth),
        "specificity": share(~named, ~truth),
        "precision": share(truth, named),
        "npv": share(~truth, ~named),
    }
    for name in ("f1", "auroc", "average_precision"):
        # In F1 a mistake counts half: 2 TP / (2 TP + FP + FN).
        cases = {"f1": 2 * limits.decided[k], "auroc": limits.ranked[k]}
        most = cases.get(name, limits.decided[k])
        found[name] = limits.bounded(float(value[name][k]), drawn[name][:, k], float(most))
    return found


def _bounded(name: str, value: Floats, drawn: Floats, limits: EffectiveSizes) -> Estimate:
    most = {
        "accuracy": limits.n,
        "macro_auroc": limits.macro_ranked,
        "macro_f1": 2 * limits.balanced,
        "mcc": max(limits.correlated, 1.0),
    }.get(name, limits.balanced)
    return limits.bounded(float(value), drawn, most, low=-1.0 if name == "mcc" else 0.0)


def _loss(sample: Sample, name: str) -> Estimate:
    rows = sample.losses[name]
    return positive_mean(
        sample.groups.sum(rows), sample.groups.sum(np.ones(len(rows))), LOSS_LIMIT[name]
    )


def calibration_error(squared: float, sample: Sample) -> Estimate:
    """Root of the debiased squared error, with a score interval.

    The interval holds every true error from which what was found is at most Z deviations away, the
    deviation taken at that error (as Wilson's for a proportion). It grows with the error, so one
    taken at the estimate is too narrow above it; and resamples add their own noise to the squared
    error, so their percentiles are too wide (see Sun et al. 2024, arXiv 2408.08998).
    """
    if not np.isfinite(squared):
        return UNDEFINED
    noise = [squared_error_noise(moments.sum(axis=0)) for moments in sample.moments]
    a, b = np.mean(noise, axis=0) / len(noise)
    centre = squared + 2 * Z**2 * a
    reach = np.sqrt(max((2 * Z**2 * a) ** 2 + 4 * Z**2 * a * squared + 2 * Z**2 * b, 0.0))
    low, high = np.sqrt(np.clip([centre - reach, centre + reach], 0.0, 1.0))
    value = float(np.sqrt(max(squared, 0.0)))
    if high - low < 1e-9:
        low, high = score_interval(min(value, 1.0), len(sample.truth))
    return Estimate(value, float(min(low, value)), float(max(high, value)))


def averaged(
    sample: Sample, points: Sequence[dict[str, Floats]], draws: Sequence[dict[str, Floats]]
) -> tuple[dict[str, Estimate], dict[str, Floats]]:
    """The mean of repeated runs on the images of `sample`, with the interval over patients.

    Also gives the resamples of the mean. How much runs differ is a question of its own (`spread`).
    """
    value = {name: np.mean([p[name] for p in points], axis=0) for name in points[0]}
    drawn = {name: np.mean([d[name] for d in draws], axis=0) for name in draws[0]}
    limits = EffectiveSizes.of(sample.truth, sample.right, sample.groups)
    names = ("accuracy", *BOUNDED)
    found = {name: _bounded(name, value[name], drawn[name], limits) for name in names}
    found["rms_calibration_error"] = calibration_error(
        float(value["squared_calibration_error"]), sample
    )
    for name in LOSS_LIMIT:
        low, high = np.percentile(drawn[name], [50 - 50 * LEVEL, 50 + 50 * LEVEL])
        found[name] = Estimate(float(value[name]), float(low), float(high))
    return found, drawn
