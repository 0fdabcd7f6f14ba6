"""A small linear classifier and its cross-validated score, in numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.dataset.stratify import divide
from overread.stats.ranking import auroc
from overread.stats.resample import group_counts, group_rows

Matrix = NDArray[np.float64]
FOLDS = 5
RESAMPLES = 300
# Ridge strengths tried, as multiples of the mean eigenvalue.
STRENGTHS = np.logspace(-3, 3, 7)


@dataclass(frozen=True)
class Auroc:
    """Macro-average area under the ROC curve with its 95 % interval over groups."""

    value: float
    low: float
    high: float


def group_folds(targets: Matrix, groups: Sequence[str], folds: int, seed: int) -> NDArray[np.int64]:
    """(n,) fold of each image; groups whole, classes spread. `targets`: (n, classes) 0/1."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.zeros((len(names), targets.shape[1]), dtype=np.int64)
    np.add.at(counts, index, targets.astype(np.int64))
    fold: NDArray[np.int64] = divide(counts, np.full(folds, 1 / folds), seed)[index]
    return fold


def held_out_scores(features: Matrix, targets: Matrix, fold: NDArray[np.int64]) -> Matrix:
    """(n, classes) ridge scores, each image scored by a fit on the other folds.

    `features`: (n, d). Classes weigh the same however rare. The strength of the penalty is chosen
    inside the training folds by generalised cross-validation (Golub, Heath and Wahba 1979).
    """
    scores = np.zeros_like(targets)
    for held in np.unique(fold):
        train, test = fold != held, fold == held
        mean, scale = features[train].mean(axis=0), features[train].std(axis=0)
        scale[scale < 1e-9] = np.inf
        inputs = (features - mean) / scale
        scores[test] = _ridge(inputs[train], targets[train], inputs[test])
    return scores


def _ridge(inputs: Matrix, targets: Matrix, new: Matrix) -> Matrix:
    weight = np.sqrt((targets / np.maximum(targets.sum(axis=0), 1)).sum(axis=1))
    weight = weight / max(float(weight.mean()), 1e-12)
    # One weight per row for all classes keeps it to one decomposition.
    centre = np.average(targets, axis=0, weights=weight**2 + 1e-12)
    rows = inputs * weight[:, None]
    wanted = (targets - centre) * weight[:, None]
    squares, axes = np.linalg.eigh(rows.T @ rows)
    squares = np.maximum(squares, 1e-12 * max(float(squares[-1]), 1e-12))
    turned = axes.T @ (rows.T @ wanted)
    explained = np.square(turned).sum(axis=1) / squares
    rest = float(np.square(wanted).sum() - explained.sum())
    best, least = 1.0, np.inf
    for strength in STRENGTHS * float(squares.mean()):
        kept = squares / (squares + strength)
        error = rest + float((explained * np.square(1 - kept)).sum())
        score = error / (len(inputs) - kept.sum()) ** 2
        if score < least:
            best, least = float(strength), score
    fitted: Matrix = new @ (axes @ (turned / (squares + best)[:, None])) + centre
    return fitted


def macro_auroc(scores: Matrix, targets: Matrix, groups: Sequence[str], seed: int = 0) -> Auroc:
    """Mean over classes of one-against-rest AUROC, interval by resampling whole groups.

    `scores`, `targets`: (n, classes). With two exclusive classes the one AUROC is counted once.
    """
    rows = group_rows(groups)
    drawn = np.concatenate(list(group_counts(rows.count, RESAMPLES, seed)))
    weights = np.concatenate([np.ones((1, len(scores))), drawn[:, rows.codes]])
    columns = range(1, 2) if _is_binary(targets) else range(targets.shape[1])
    areas = [auroc(scores[:, k], targets[:, k] > 0, weights) for k in columns]
    macro = np.nanmean(np.stack(areas), axis=0)
    low, high = np.nanpercentile(macro[1:], (2.5, 97.5))
    return Auroc(round(float(macro[0]), 4), round(float(low), 4), round(float(high), 4))


def _is_binary(targets: Matrix) -> bool:
    return targets.shape[1] == 2 and bool((targets.sum(axis=1) == 1).all())
