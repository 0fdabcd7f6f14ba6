"""AUROC and average precision of many bootstrap resamples at once.

Same definitions as in `metrics`, reached with less work: images are joined into one step for every
distinct score that a positive image has, as sparse (steps, groups) counts. One product with the
matrix of group draws then gives every resample's steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from overread.evaluate.metrics import ratio
from overread.evaluate.resample import Groups

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


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
