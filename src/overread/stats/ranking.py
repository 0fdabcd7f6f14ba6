"""AUROC and average precision, of a sample and of many bootstrap resamples at once.

`Ranking` counts weighted images. `GroupRanking` gives the same with less work where whole groups
are drawn: images are joined into one step for every distinct score that a positive image has, as
sparse (steps, groups) counts, and one product with the matrix of group draws then gives every
resample's steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from overread.stats.ratios import ratio
from overread.stats.resample import Groups

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


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


@dataclass(frozen=True)
class GroupRanking:
    """Steps down a class's scores; three sparse (steps, groups) counts.

    `hits`: positives at the step's score; `ties`: negatives at the same score; `false`: negatives
    above it and below the step before. The last step gathers the negatives below every positive.
    """

    hits: csr_array
    ties: csr_array
    false: csr_array

    @classmethod
    def of(cls, scores: Floats, positive: Bools, groups: Groups) -> GroupRanking:
        """Rank rows by `scores` (n,) of which `positive` (n,) are of the class."""
        levels = np.unique(-scores[positive])
        step = np.searchsorted(levels, -scores, side="left")
        tied = np.isin(-scores, levels, assume_unique=False) & ~positive

        def counts(rows: Bools) -> csr_array:
            where = (step[rows], groups.codes[rows])
            shape = (len(levels) + 1, groups.count)
            return csr_array((np.ones(int(rows.sum())), where), shape=shape)

        return cls(counts(positive), counts(tied), counts(~positive & ~tied))

    def areas(self, drawn: Floats) -> tuple[Floats, Floats]:
        """AUROC and average precision (resamples,) for `drawn` (groups, resamples) counts."""
        hits, false = self.hits @ drawn, self.false @ drawn
        ties = self.ties @ drawn if self.ties.nnz else None
        found = np.cumsum(hits, axis=0)
        total = found[-1].copy()
        half = found - hits / 2
        area = np.einsum("sr,sr->r", false, found - hits)
        if ties is not None:
            area += np.einsum("sr,sr->r", ties, half)
            false = false + ties
        called = np.cumsum(hits + false, axis=0)
        level = np.divide(found, called, out=called, where=called > 0)
        return (
            ratio(area, total * false.sum(axis=0)),
            ratio(np.einsum("sr,sr->r", hits, level), total),
        )
