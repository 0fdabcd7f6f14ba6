"""The metrics, as pure functions of counts; weights allowed everywhere.

Counts may have leading axes (one entry a bootstrap resample), so a metric and its resamples come
from the same line of code. What is undefined (0/0) is NaN here and null in files, never a zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.stats.ratios import defined_mean, ratio

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
SMALLEST_PROBABILITY = 1e-12  # the logarithm of 0 would let one image decide the mean


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
