"""95 % intervals that stay inside their range and never shrink to nothing.

A bounded statistic (accuracy, AUROC, F1 ...) is given the score interval of a proportion seen in
`n_effective` independent cases (Wilson 1927), where `n_effective` is the number of cases that would
give the variance actually found: for proportions from the groups directly (Korn and Graubard 1998),
for everything else from the group bootstrap. With few cases, or at exactly 0 or 1, the bootstrap
alone would be too sure: it cannot draw an error that was never seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from overread.stats.estimate import UNDEFINED, Estimate
from overread.stats.resample import Groups, group_counts

Floats = NDArray[np.float64]
LEVEL = 0.95
Z = float(stats.norm.ppf(0.5 + LEVEL / 2))
NEXT_TO_NOTHING = 1e-6  # of a loss's limit
PRIOR = 0.25  # groups of each kind added before judging how alike the images of a group are


def score_interval(value: float, n: float, *, quantile: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a proportion `value` (0..1) seen in `n` > 0 cases."""
    z2 = quantile**2
    centre = (value + z2 / (2 * n)) / (1 + z2 / n)
    half = quantile / (1 + z2 / n) * np.sqrt(value * (1 - value) / n + z2 / (4 * n * n))
    # At 0 and 1 the closed form meets the bound exactly; rounding must not undo that.
    low = 0.0 if value <= 0 else max(0.0, float(centre - half))
    high = 1.0 if value >= 1 else min(1.0, float(centre + half))
    return min(low, value), max(high, value)


def design_effect(hits: Floats, sizes: Floats) -> float:
    """Variance of a proportion under grouping, over that of independent images; at least 1.

    `hits`, `sizes` (groups,): right and all images of each group. A quarter of a group wholly right
    and a quarter wholly wrong are added: without them a sample with no error would look as if the
    images of one patient were independent, about which it says nothing.
    """
    used = sizes > 0
    hits, sizes = hits[used], sizes[used]
    mean = float(sizes.mean())
    images, groups = float(sizes.sum()) + 2 * PRIOR * mean, len(sizes) + 2 * PRIOR
    share = (float(hits.sum()) + PRIOR * mean) / images
    spread = np.sum((hits - share * sizes) ** 2) + PRIOR * mean**2 * (share**2 + (1 - share) ** 2)
    return max(1.0, float(spread * groups / (groups - 1) / (share * (1 - share) * images)))


def effective_size(hits: Floats, sizes: Floats) -> float:
    """The number of independent images worth as much as these grouped ones."""
    n = float(sizes.sum())
    if np.count_nonzero(sizes) == n:
        return n
    return n / design_effect(hits, sizes)


def proportion(hits: Floats, sizes: Floats) -> Estimate:
    """A proportion with its interval from (groups,) sums of right and of all images."""
    n = float(sizes.sum())
    if n == 0:
        return Estimate(None, None, None, 0)
    value = float(hits.sum() / n)
    return Estimate(value, *score_interval(value, effective_size(hits, sizes)), round(n))


def bounded(
    value: float,
    replicates: Floats,
    *,
    groups: int,
    most: float,
    low: float = 0.0,
    high: float = 1.0,
) -> Estimate:
    """A statistic between `low` and `high`, its spread taken from bootstrap `replicates`.

    `most` is the largest number of independent cases the sample can count as; it rules where the
    value lies at or near a bound and the replicates hardly spread.
    """
    known = replicates[np.isfinite(replicates)]
    if not np.isfinite(value) or len(known) < max(2, len(replicates) // 2):
        return UNDEFINED
    unit = (value - low) / (high - low)
    units = max(groups - 1, 1)
    variance = float(np.var(known)) / (high - low) ** 2 * groups / units
    # A variance judged from few groups is itself unsure: Student's t instead of the normal.
    variance *= float(stats.t.ppf(0.5 + LEVEL / 2, units) / Z) ** 2
    n = most if variance <= 0 else min(most, unit * (1 - unit) / variance)
    ends = score_interval(min(max(unit, 0.0), 1.0), max(n, 1e-6))
    return Estimate(value, low + (high - low) * ends[0], low + (high - low) * ends[1])


def positive_mean(sums: Floats, sizes: Floats, limit: float) -> Estimate:
    """Mean loss per image from (groups,) sums, each group left out in turn (jackknife).

    Student's t on the logarithm: losses are skewed. Groups of very different sizes are worth fewer
    (Kish 1965), and leaving one out sees how a few bad images make the mean, which its linear
    approximation does not.
    """
    sums, sizes = sums[sizes > 0], sizes[sizes > 0]
    n, groups = float(sizes.sum()), len(sizes)
    value = float(sums.sum() / n)
    least = limit * NEXT_TO_NOTHING
    # Losses of next to nothing say little about the one that was not met.
    if value < least or groups < 2:
        return Estimate(value, 0.0, limit * score_interval(0.0, groups)[1])
    without = np.maximum((sums.sum() - sums) / (n - sizes), least)
    spread = np.sum(np.log(without / value) ** 2) * (groups - 1) / groups
    units = max(n**2 / float(np.sum(sizes**2)) - 1, 1.0)
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, units) * np.sqrt(spread))
    low, high = value * np.exp(-reach), value * np.exp(min(reach, 50.0))
    return Estimate(value, float(low), float(min(high, max(limit, value))))


def bounded_mean(
    values: Floats, groups: Groups, *, resamples: int, seed: int, low: float, high: float = 1.0
) -> Estimate:
    """The mean of `values` (n,) in [low, high]: Student's t on the group bootstrap's spread.

    Undefined for under 2 groups.
    """
    if groups.count < 2:
        return UNDEFINED
    sums, sizes = groups.sum(values), groups.sum(np.ones(len(values)))
    blocks = group_counts(groups.count, resamples, seed)
    drawn = np.concatenate([(block @ sums) / (block @ sizes) for block in blocks])
    mean, units = float(values.mean()), groups.count - 1
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, units) * np.std(drawn) * np.sqrt(1 + 1 / units))
    return Estimate(mean, max(mean - reach, low), min(mean + reach, high))
