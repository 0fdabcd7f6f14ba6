"""The metrics, as pure functions of counts; weights allowed everywhere.

Counts may have leading axes (one entry a bootstrap resample), so a metric and its resamples come
from the same line of code. What is undefined (0/0) is NaN here and null in files, never a zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
SMALLEST_PROBABILITY = 1e-12  # the logarithm of 0 would let one image decide the mean


def ratio(part: Floats, whole: Floats) -> Floats:
    """`part / whole`, NaN where `whole` is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    out: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
    return out


def confusion_matrix(truth: Bools, decisions: Bools) -> NDArray[np.int64]:
    """(K, K) counts, rows true and columns predicted classes; both inputs (n, K) one-hot."""
    return truth.astype(np.int64).T @ decisions.astype(np.int64)


def two_by_two(truth: Bools, decisions: Bools) -> NDArray[np.int64]:
    """(K, 2, 2) counts a class, [[TN, FP], [FN, TP]], for several labels an image."""
    cells = [
        [(~truth & ~decisions), (~truth & decisions)],
        [(truth & ~decisions), truth & decisions],
    ]
    return np.array([[cell.sum(axis=0) for cell in row] for row in cells]).transpose(2, 0, 1)


@dataclass(frozen=True)
class Counts:
    """Each class against the rest, (..., K): hits (true positives), true and named images.

    `n` and `right` (...,) count all images and those whose whole answer is right.
    """

    hits: Floats
    true: Floats
    named: Floats
    n: Floats
    right: Floats

    @property
    def misses_other(self) -> Floats:
        """True negatives (..., K)."""
        return self.n[..., None] - self.true - self.named + self.hits


def count(truth: Bools, decisions: Bools, weights: Floats | None = None) -> Counts:
    """Counts of (n, K) truth and decisions, each image `weights` (n,) times (once if left out)."""
    w = np.ones(len(truth)) if weights is None else weights
    right = (truth == decisions).all(axis=1)
    return Counts(
        w @ (truth & decisions), w @ truth, w @ decisions, np.asarray(np.sum(w)), w @ right
    )


def accuracy(c: Counts) -> Floats:
    """Share of images answered wholly right (for several labels: every label right)."""
    return ratio(c.right, c.n)


def sensitivity(c: Counts) -> Floats:
    """(..., K) share of a class's images that were named as it (recall)."""
    return ratio(c.hits, c.true)


def specificity(c: Counts) -> Floats:
    """(..., K) share of the other images that were not named as the class."""
    return ratio(c.misses_other, c.n[..., None] - c.true)


def precision(c: Counts) -> Floats:
    """(..., K) share of the images named as a class that are of it (PPV at this prevalence)."""
    return ratio(c.hits, c.named)


def npv(c: Counts) -> Floats:
    """(..., K) share of the images not named as a class that are not of it."""
    return ratio(c.misses_other, c.n[..., None] - c.named)


def f1(c: Counts) -> Floats:
    """(..., K) harmonic mean of precision and sensitivity: 2 TP / (2 TP + FP + FN)."""
    return ratio(2 * c.hits, c.true + c.named)


def macro_f1(c: Counts) -> Floats:
    """Mean F1 of the classes that were true or named at least once."""
    return defined_mean(f1(c))


def balanced_accuracy(c: Counts, multilabel: bool = False) -> Floats:
    """Mean sensitivity of the classes present; several labels: mean of (sens. + spec.) / 2."""
    sens = sensitivity(c)
    return defined_mean((sens + specificity(c)) / 2 if multilabel else sens)


def mcc(c: Counts, multilabel: bool = False) -> Floats:
    """Matthews correlation of several classes (Gorodkin 2004, Comput Biol Chem 28:367), -1..1.

    Several labels an image: mean of the classes' own two-class coefficients.
    """
    if multilabel:
        n = c.n[..., None]
        top = n * c.hits - c.true * c.named
        return defined_mean(ratio(top, np.sqrt(c.true * (n - c.true) * c.named * (n - c.named))))
    top = c.right * c.n - (c.true * c.named).sum(axis=-1)
    spread = [c.n**2 - (side**2).sum(axis=-1) for side in (c.true, c.named)]
    return ratio(top, np.sqrt(spread[0] * spread[1]))


def defined_mean(values: Floats) -> Floats:
    """Mean over the last axis of what is defined; NaN where nothing is."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))


@dataclass(frozen=True)
class Ranking:
    """Images sorted by falling score, ready to be counted again and again.

    `order` (n,) sorts them, `ends` marks the last image of each run of equal scores, `positive`
    (n,) says, in that order, which are of the class.
    """

    order: NDArray[np.intp]
    ends: NDArray[np.intp]
    positive: Bools

    @classmethod
    def of(cls, scores: Floats, positive: Bools) -> Ranking:
        order = np.argsort(-scores, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
        return cls(order, ends, positive[order])

    def counts(self, weights: Floats) -> tuple[Floats, Floats]:
        """True and false positives (..., steps) when all scores down to each step are called.

        `weights` (..., n) says how often each image counts, in the table's order.
        """
        sorted_weights = weights[..., self.order]
        called = np.cumsum(sorted_weights, axis=-1)[..., self.ends]
        hits = np.cumsum(sorted_weights * self.positive, axis=-1)[..., self.ends]
        return hits, called - hits


def auroc_of(hits: Floats, false: Floats) -> Floats:
    """Area under the ROC curve from `Ranking.counts`; ties count one half (Mann-Whitney)."""
    step = np.diff(false, axis=-1, prepend=0.0)
    before = hits - np.diff(hits, axis=-1, prepend=0.0)
    area = (step * (before + hits)).sum(axis=-1) / 2
    return ratio(area, hits[..., -1] * false[..., -1])


def average_precision_of(hits: Floats, false: Floats) -> Floats:
    """Mean precision over the positives, from `Ranking.counts` (no interpolation)."""
    step = np.diff(hits, axis=-1, prepend=0.0)
    called = hits + false
    level = np.divide(hits, called, out=np.zeros_like(hits), where=called != 0)
    return ratio((step * level).sum(axis=-1), hits[..., -1])


def auroc(scores: Floats, positive: Bools, weights: Floats | None = None) -> Floats:
    """Area under the ROC curve of `scores` (n,) for `positive` (n,); `weights` (..., n)."""
    w = np.ones(len(scores)) if weights is None else weights
    return auroc_of(*Ranking.of(scores, positive).counts(w))


def average_precision(scores: Floats, positive: Bools, weights: Floats | None = None) -> Floats:
    """Average precision of `scores` (n,) for `positive` (n,); `weights` (..., n)."""
    w = np.ones(len(scores)) if weights is None else weights
    return average_precision_of(*Ranking.of(scores, positive).counts(w))


def log_loss_rows(probabilities: Floats, truth: Bools, multilabel: bool = False) -> Floats:
    """(n,) negative log-likelihood of each image's label; several labels: mean over classes."""
    given = np.where(truth, probabilities, 1 - probabilities)
    loss = -np.log(np.clip(given, SMALLEST_PROBABILITY, 1.0))
    return np.asarray(np.mean(loss, axis=1) if multilabel else np.sum(loss * truth, axis=1))


def brier_rows(probabilities: Floats, truth: Bools, multilabel: bool = False) -> Floats:
    """(n,) squared distance of probabilities and truth: summed over classes (Brier 1950), 0..2.

    Several labels an image: mean over classes, 0..1.
    """
    squares = (probabilities - truth) ** 2
    return np.asarray(np.mean(squares, axis=1) if multilabel else np.sum(squares, axis=1))
