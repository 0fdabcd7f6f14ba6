"""How many independent cases a sample can count as, at the very most.

Near a bound of its range a statistic's resamples hardly spread, however few the images: an AUROC
of 1 has none at all. These numbers then set the width of its interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.stats.estimate import UNDEFINED, Estimate
from overread.stats.intervals import bounded, design_effect
from overread.stats.resample import Groups

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class EffectiveSizes:
    """The cases of one sample, images of one group discounted by the design effect."""

    n: float  # for a share of all images
    decided: Floats  # (K,) for a statistic of the images of one class
    ranked: Floats  # (K,) for the AUROC of one class
    correlated: float  # for the MCC, whose errors weigh by how mixed the classes are
    groups: int

    @classmethod
    def of(cls, truth: Bools, right: Bools, groups: Groups) -> EffectiveSizes:
        """From (n, K) truth, (n,) rightness of the whole answer, and the groups."""
        effect, images = 1.0, groups.sum(np.ones(len(truth)))
        if not groups.single:
            effect = design_effect(groups.sum(right), images)
        positives = truth.sum(axis=0).astype(float)
        # Scores within a group are more alike than whether they are right: cutting a scale in two
        # loses about half of a correlation.
        scores = 1 + 2 * (effect - 1)
        ranked = auroc_cases(positives, len(truth) - positives) / scores
        cases = len(truth) / effect
        mixed = 1 - float(np.sum((positives / max(positives.sum(), 1)) ** 2))
        return cls(cases, positives / effect, ranked, 2 * mixed * cases, groups.present)

    @property
    def balanced(self) -> float:
        """For a mean over classes of statistics that rest on each class's own images."""
        present = self.decided[self.decided > 0]
        return float(len(present) ** 2 / np.sum(1 / present)) if len(present) else 1.0

    @property
    def macro_ranked(self) -> float:
        """For a mean of AUROCs; those of two classes are one, so half as many as in `balanced`."""
        present = self.ranked[self.ranked > 0]
        return float(len(present) ** 2 / 2 / np.sum(1 / present)) if len(present) > 1 else 1.0

    def bounded(self, value: float, drawn: Floats, most: float, low: float = 0.0) -> Estimate:
        """The interval of a statistic between `low` and 1 from its resamples and its limit."""
        if not np.isfinite(value):
            return UNDEFINED
        return bounded(float(value), drawn, groups=self.groups, most=most, low=low)


def auroc_cases(positives: Floats, negatives: Floats) -> Floats:
    """The most independent cases an AUROC can count as, from the numbers of each side.

    Hanley and McNeil's (1982, Radiology 143:29) variance over A(1 - A), for A near 1 and with the
    larger side in the term that counts, gives half of this; their exponential scores err on the
    safe side, and twice as many cases keep 95 % coverage (see tests/statistical).
    """
    return np.asarray(4 * positives * negatives / (np.maximum(positives, negatives) + 1))
