"""Bootstrap by group: patients are drawn, never single images of one patient.

A resample is a row of counts, how often each group was drawn. Every statistic is computed from
counts, so thousands of resamples are a matrix product instead of thousands of copies of the data.
Counts of one for every group give the plain, unresampled statistic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CELLS_AT_ONCE = 300_000  # of a (resamples, groups) block: bounds memory at a few 10 MB


@dataclass(frozen=True)
class Groups:
    """Which group each row belongs to: `codes` (n,) in 0..count-1, in the order of group names.

    A part of a table keeps the numbers of the whole, so that both can be drawn together; some
    groups then have no row.
    """

    codes: NDArray[np.intp]
    count: int

    @property
    def single(self) -> bool:
        """Whether no two rows share a group."""
        return self.present == len(self.codes)

    @cached_property
    def present(self) -> int:
        """The number of groups with at least one row."""
        return len(np.unique(self.codes))

    def sum(self, values: NDArray[np.generic]) -> Floats:
        """Sum rows within groups: (n,) -> (groups,), (n, m) -> (groups, m)."""
        if values.ndim == 1:
            return np.bincount(self.codes, weights=values, minlength=self.count).astype(float)
        total = np.zeros((self.count, values.shape[1]))
        np.add.at(total, self.codes, values.astype(float))
        return total


def group_rows(names: Sequence[str]) -> Groups:
    """Number the groups by sorted name, so that the order of rows does not matter."""
    unique, codes = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    return Groups(codes.astype(np.intp), len(unique))


def group_counts(groups: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Blocks of (some resamples, groups) draws with replacement; each row sums to `groups`.

    They depend on nothing but the arguments: two models judged on the same groups are judged on
    the same draws.
    """
    rng = np.random.default_rng(seed)
    height = max(1, CELLS_AT_ONCE // max(groups, 1))
    for start in range(0, resamples, height):
        rows = min(height, resamples - start)
        drawn = rng.integers(0, groups, size=(rows, groups))
        drawn += np.arange(rows)[:, None] * groups
        counts = np.bincount(drawn.ravel(), minlength=rows * groups)
        yield counts.reshape(rows, groups).astype(float)
