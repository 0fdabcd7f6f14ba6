"""What leaving the least certain images to a person gains, as one number with its interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overread.stats.estimate import Estimate
from overread.stats.intervals import bounded
from overread.stats.resample import CELLS_AT_ONCE, Groups, group_counts

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def risk_area(
    confidence: Floats, right: Bools, groups: Groups, *, resamples: int, seed: int
) -> Estimate:
    """Mean share of errors among the surest images, over all coverages (Geifman and El-Yaniv 2017).

    `confidence`, `right` (n,). Images equally sure are answered together. The interval is of groups
    drawn again.
    """
    order = np.argsort(-confidence, kind="stable")
    sure, wrong, codes = confidence[order], ~right[order], groups.codes[order]
    last = np.searchsorted(-sure, -sure, side="right") - 1  # of those equally sure

    def areas(drawn: Floats) -> Floats:
        weights = drawn[:, codes]
        answered = np.cumsum(weights, axis=1)
        risk = np.cumsum(weights * wrong, axis=1) / np.maximum(answered, 1.0)
        return np.asarray((weights * risk[:, last]).sum(axis=1) / np.maximum(answered[:, -1], 1.0))

    height = max(1, CELLS_AT_ONCE // len(order))
    blocks = (
        areas(drawn[start : start + height])
        for drawn in group_counts(groups.count, resamples, seed)
        for start in range(0, len(drawn), height)
    )
    value = float(areas(np.ones((1, groups.count)))[0])
    present = groups.present
    return bounded(value, np.concatenate(list(blocks)), groups=present, most=float(present))
