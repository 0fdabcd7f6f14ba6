"""Intervals of a difference: of two models on the same images, or one model on two sets of them.

Neither leaves its range, and neither shrinks to nothing on a small sample without errors.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from overread.stats.estimate import UNDEFINED, Estimate
from overread.stats.intervals import LEVEL

Floats = NDArray[np.float64]


def paired_difference(
    a: Estimate, b: Estimate, drawn: Floats, *, groups: int, cases: float, reach: float
) -> Estimate:
    """a - b on the same images, from the resampled differences `drawn`; within +-`reach`.

    Student's t on the bootstrap's spread. As if one of the `cases` had been judged differently by
    the two (half of one in favour of each; Agresti and Min 2005, Stat Med 24:729), the spread is
    never 0.
    """
    known = drawn[np.isfinite(drawn)]
    if a.value is None or b.value is None or len(known) < max(2, len(drawn) // 2):
        return UNDEFINED
    gap, units = a.value - b.value, max(groups - 1, 1)
    spread = float(np.var(known)) * groups / units + 1 / cases**2
    half = float(stats.t.ppf(0.5 + LEVEL / 2, units) * np.sqrt(spread))
    return Estimate(gap, max(gap - half, -reach), min(gap + half, reach))


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a - b of independent estimates, by joining their intervals.

    MOVER (Zou 2007, Psychol Methods 12:399), for proportions Newcombe's hybrid score interval.
    """
    first, second = _numbers(a), _numbers(b)
    if first is None or second is None:
        return UNDEFINED
    (one, one_low, one_high), (two, two_low, two_high) = first, second
    low, high = np.hypot(one - one_low, two_high - two), np.hypot(one_high - one, two - two_low)
    return Estimate(one - two, one - two - float(low), one - two + float(high))


def _numbers(estimate: Estimate) -> tuple[float, float, float] | None:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return estimate.value, estimate.low, estimate.high


def excludes_zero(estimate: Estimate) -> bool:
    """Whether the interval lies wholly on one side of 0."""
    return (
        estimate.low is not None
        and estimate.high is not None
        and (estimate.low > 0 or estimate.high < 0)
    )


def drop(internal: Mapping[str, Estimate], external: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """External minus internal figures of two sets of images, by name, with intervals.

    For a test on other patients: the two sets are taken to be independent.
    """
    return {
        name: difference(found, internal[name]).rounded()
        for name, found in external.items()
        if name in internal
    }
