"""Calibration error without the bias that small bins give it.

Even perfect probabilities show a plain expected calibration error well above 0, because each bin's
accuracy is noisy. As in Kumar et al. 2019 (arXiv 1909.10155) and Broecker 2012 (Clim Dyn 39:655),
the variance of each bin's mean is subtracted from its squared gap. The result reported is the root
of the weighted mean of these, over bins of equal size; it is 0 where nothing but noise is left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overread.documents.metrics import ReliabilityBin
from overread.stats.ratios import ratio
from overread.stats.resample import Groups

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
BINS = 15
ROWS_A_BIN = 10  # fewer rows than this a bin, and there are fewer bins
MOMENTS = 5


def forecasts(probabilities: Floats, truth: Bools, multilabel: bool) -> tuple[Floats, Floats]:
    """Confidences and outcomes, both (n, tasks): of the likeliest class, or of each of several."""
    if multilabel:
        return probabilities, truth.astype(float)
    top = probabilities.argmax(axis=1)
    rows = np.arange(len(top))
    return probabilities.max(axis=1)[:, None], truth[rows, top].astype(float)[:, None]


def equal_bins(confidence: Floats) -> NDArray[np.intp]:
    """(n,) bin of each row: equal numbers by rank, equal confidences never parted."""
    n = len(confidence)
    bins = min(BINS, max(1, n // ROWS_A_BIN))
    ordered = np.sort(confidence)
    first = np.searchsorted(ordered, confidence, side="left")
    return (first * bins // max(n, 1)).astype(np.intp)


def bin_moments(confidence: Floats, outcome: Floats, groups: Groups) -> Floats:
    """(groups, bins * 5): per group and bin n, sum of gaps, and their second moments.

    They are linear in how often a group is drawn, so resampled errors are a matrix product away.
    """
    bins = equal_bins(confidence)
    member = bins[:, None] == np.arange(bins.max() + 1)
    size = groups.sum(member)
    gap = groups.sum(member * (outcome - confidence)[:, None])
    return np.concatenate([size, gap, gap * gap, gap * size, size * size], axis=1)


def squared_error(moments: Floats) -> Floats:
    """Debiased squared calibration error (...,) from summed moments (..., bins * 5); may be < 0."""
    size, gap, noise = _bins(moments)
    return ratio((size * (gap**2 - noise)).sum(axis=-1), size.sum(axis=-1))


def squared_error_noise(moments: Floats) -> tuple[float, float]:
    """What the variance of `squared_error` is made of: it is 4 a e + 2 b at a true error e."""
    size, _, noise = _bins(moments)
    share = size / size.sum()
    return float((share**2 * noise).sum()), float((share**2 * noise**2).sum())


def _bins(moments: Floats) -> tuple[Floats, Floats, Floats]:
    """Size, mean gap and the variance of that mean, each (..., bins)."""
    size, gap, gap2, gapsize, size2 = np.split(moments, MOMENTS, axis=-1)
    mean = np.nan_to_num(ratio(gap, size))
    spread = gap2 - 2 * mean * gapsize + mean**2 * size2
    # Groups in the bin are not counted anew in each resample; Kish's number is near enough.
    drawn = np.nan_to_num(ratio(size**2, size2), nan=1.0)
    noise = np.nan_to_num(ratio(spread, size**2)) * np.nan_to_num(ratio(drawn, drawn - 1), nan=1.0)
    return size, mean, noise


def reliability_bins(confidence: Floats, outcome: Floats) -> tuple[ReliabilityBin, ...]:
    """Rows of a reliability diagram: mean confidence and share right of each bin."""
    bins = equal_bins(confidence)
    rows = []
    for b in np.unique(bins):
        inside = bins == b
        rows.append(
            ReliabilityBin(
                n=int(inside.sum()),
                confidence=round(float(confidence[inside].mean()), 6),
                accuracy=round(float(outcome[inside].mean()), 6),
            )
        )
    return tuple(rows)
