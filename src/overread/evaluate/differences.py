"""Intervals of a difference between two estimates.

Zou's MOVER (2007, Psychol Methods 12:399): the two intervals are joined with the correlation the
bootstrap saw. Like the intervals it starts from, the result stays within its range and does not
shrink to nothing on a small sample without errors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overread.evaluate.intervals import UNDEFINED, Estimate

Floats = NDArray[np.float64]


def correlation(a: Floats, b: Floats) -> float:
    """Correlation of two statistics over the same resamples; 0 where either never varies."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 3 or np.ptp(a[known]) == 0 or np.ptp(b[known]) == 0:
        return 0.0
    return float(np.corrcoef(a[known], b[known])[0, 1])


def difference(a: Estimate, b: Estimate, together: float = 0.0) -> Estimate:
    """a - b with its interval; `together` is the correlation of the two estimates."""
    first, second = _numbers(a), _numbers(b)
    if first is None or second is None:
        return UNDEFINED
    (one, one_low, one_high), (two, two_low, two_high) = first, second
    low = _reach(one - one_low, two_high - two, together)
    high = _reach(one_high - one, two - two_low, together)
    return Estimate(one - two, one - two - low, one - two + high)


def _numbers(estimate: Estimate) -> tuple[float, float, float] | None:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return estimate.value, estimate.low, estimate.high


def _reach(one: float, other: float, together: float) -> float:
    return float(np.sqrt(max(one**2 - 2 * together * one * other + other**2, 0.0)))


def excludes_zero(estimate: Estimate) -> bool:
    """Whether the interval lies wholly on one side of 0."""
    return (
        estimate.low is not None
        and estimate.high is not None
        and (estimate.low > 0 or estimate.high < 0)
    )
