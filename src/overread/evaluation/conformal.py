"""Sets of classes that hold the true one as often as promised, for each class (Mondrian).

Split conformal prediction (Vovk 2013, arXiv 1209.2673) on 1 - p(true class), one threshold a class,
from the validation split. Several images of one group count as one vote together, which keeps the
promise for an image of a new patient (Lee, Barber and Willett 2023, arXiv 2306.06342).

A class with too few groups for a promise of its own shares in that of all classes together, as the
"null cluster" of Ding et al. 2023 (arXiv 2306.09335): to put it into every set instead would keep
a promise that nobody can use, for then no set has one member and nothing is ever answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
MISSED = 0.1  # of each class's images, the share whose set may lack it


def conformal_quantiles(
    probabilities: Floats,
    truth: Bools,
    groups: Sequence[str],
    classes: Sequence[str],
    *,
    missed: float = MISSED,
) -> dict[str, float]:
    """Each class's largest 1 - p at which it still joins the set: 0..1, by class name.

    `probabilities` and `truth` (n, K), of validation images; `groups` (n,). The classes that
    `too_few` names get the quantile of all classes' images together; 1 (in every set) where these
    are too few as well.
    """
    names, level = np.asarray(groups, dtype=str), 1 - missed
    image, column = np.nonzero(truth)
    together = _quantile(1 - probabilities[image, column], names[image], level)
    few = too_few(truth, groups, classes, missed=missed)
    columns = zip(classes, probabilities.T, truth.T, strict=True)
    return {
        name: together if name in few else _quantile(1 - p[y], names[y], level)
        for name, p, y in columns
    }


def too_few(
    truth: Bools, groups: Sequence[str], classes: Sequence[str], *, missed: float = MISSED
) -> tuple[str, ...]:
    """The classes that have too few groups for a promise of their own."""
    names = np.asarray(groups, dtype=str)
    counts = [len(np.unique(names[column])) for column in truth.T]
    return tuple(
        name for name, count in zip(classes, counts, strict=True) if not _enough(1 - missed, count)
    )


def _enough(level: float, groups: int) -> bool:
    return level <= groups / (groups + 1) + 1e-12


def _quantile(scores: Floats, groups: NDArray[np.str_], level: float) -> float:
    """The score at `level` of the known mass; the share that a new group would add is unknown.

    Between two scores the line joining them is taken: with few groups the next score up would
    promise far more than was asked.
    """
    _, place, size = np.unique(groups, return_inverse=True, return_counts=True)
    if not _enough(level, len(size)):
        return 1.0
    order = np.argsort(scores, kind="stable")
    mass = 1 / size[place][order] / (len(size) + 1)
    # Each score stands in the middle of its group's share: images of a group come in bunches, and
    # the last of a bunch would promise too much. For groups of one this is rank / (n + 1).
    position = np.cumsum(mass) - mass / 2 + 1 / (len(size) + 1) / 2
    return float(np.interp(level, position, scores[order]))


def prediction_set(probabilities: Floats, quantiles: Mapping[str, float]) -> Bools:
    """Which classes are in the set; (..., K) for `probabilities` (..., K).

    The columns are in the order of `quantiles`.
    """
    limits = np.fromiter(quantiles.values(), dtype=float, count=len(quantiles))
    return np.asarray(1 - np.asarray(probabilities) <= limits)
