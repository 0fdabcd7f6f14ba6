"""Images whose label the rest of the data set contradicts.

After confident learning (Northcutt, Jiang and Chuang, JAIR 2021), stricter: a model that has not
seen the image's group must be sure of another class, and its nearest neighbours must agree. The
features are gradients and brightness, so nothing is downloaded; on images that need a trained eye
few issues are found, and none of them is proven.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.optimize import minimize

from overread.dataset.audit.linear import FOLDS, Matrix, group_folds
from overread.dataset.audit.shortcut_probes import MeasuredImage, enough_groups, label_matrix
from overread.documents.audit import LabelIssue

COMPONENTS = 48
NEIGHBOURS = 7
PENALTY = 1.0


def find_label_issues(
    rows: Sequence[MeasuredImage], threshold: float, seed: int = 0
) -> tuple[LabelIssue, ...]:
    """Images whose label is contradicted with a score of at least `threshold`, surest first.

    The score, 0 to 1, is how much likelier the suggested class is than the given one. Only for
    one label an image, and where each class has groups enough; else none.
    """
    records = [row.record for row in rows]
    targets = label_matrix(records)
    groups = np.asarray([record.group for record in records])
    single = bool(len(rows)) and bool((targets.sum(axis=1) == 1).all()) and targets.shape[1] > 1
    if not single or not enough_groups(targets, groups.tolist()).all():
        return ()
    features = describe(rows)
    given = targets.argmax(axis=1)
    fold = group_folds(targets, groups.tolist(), FOLDS, seed)
    chance = held_out_chances(features, given, targets.shape[1], fold)
    index = np.arange(len(rows))
    suggested = chance.argmax(axis=1)
    score = chance[index, suggested] - chance[index, given]
    names = sorted({label for record in records for label in record.labels})
    candidates = np.flatnonzero((suggested != given) & (score >= threshold))
    agreed = [
        i
        for i in candidates.tolist()
        if _neighbours_agree(features, groups, given, i, int(suggested[i]))
    ]
    agreed.sort(key=lambda i: (-score[i], records[i].path))
    return tuple(
        LabelIssue(
            path=records[i].path,
            label=names[given[i]],
            suggested=names[suggested[i]],
            score=round(float(score[i]), 4),
        )
        for i in agreed
    )


def describe(rows: Sequence[MeasuredImage]) -> Matrix:
    """(n, <= 48) principal components of gradients and an even 8 x 8 brightness and colour map."""
    hogs = np.array([row.measured.hog for row in rows], dtype=np.float64)
    thumbs = np.array([row.measured.thumb for row in rows], dtype=np.float64) / 255
    small = thumbs.reshape(len(rows), 8, 4, 8, 4, 3).mean(axis=(2, 4)).reshape(len(rows), -1)
    return np.column_stack([_components(hogs), _components(small)])


def _components(values: Matrix) -> Matrix:
    centred = values - values.mean(axis=0)
    width = values.shape[1]
    kept = min(COMPONENTS // 2, len(values) - 1)
    squares, vectors = eigh(centred.T @ centred, subset_by_index=(width - kept, width - 1))
    turned = centred @ vectors
    scale = np.sqrt(max(float(squares[-1]), 1e-12) / len(values))
    whole: Matrix = turned / scale
    return whole


def held_out_chances(
    features: Matrix, given: NDArray[np.int64], classes: int, fold: NDArray[np.int64]
) -> Matrix:
    """(n, classes) probabilities by a logistic regression that has not seen the image's fold."""
    chances = np.zeros((len(features), classes))
    inputs = np.column_stack([features, np.ones(len(features))])
    for held in np.unique(fold):
        train, test = fold != held, fold == held
        weights = _logistic(inputs[train], np.eye(classes)[given[train]])
        chances[test] = _softmax(inputs[test] @ weights)
    return chances


def _logistic(inputs: Matrix, targets: Matrix) -> Matrix:
    shape = (inputs.shape[1], targets.shape[1])

    def loss(flat: Matrix) -> tuple[float, Matrix]:
        weights = flat.reshape(shape)
        chances = _softmax(inputs @ weights)
        fit = -float(np.log(np.maximum((chances * targets).sum(axis=1), 1e-12)).sum())
        slope = inputs.T @ (chances - targets) + PENALTY * weights
        return fit + PENALTY / 2 * float(np.square(weights).sum()), slope.ravel()

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B")
    weights: Matrix = found.x.reshape(shape)
    return weights


def _softmax(logits: Matrix) -> Matrix:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances: Matrix = powers / powers.sum(axis=1, keepdims=True)
    return chances


def _neighbours_agree(
    features: Matrix,
    groups: NDArray[np.str_],
    given: NDArray[np.int64],
    index: int,
    suggested: int,
) -> bool:
    """Whether most of the nearest images of other groups carry the suggested label."""
    others = np.flatnonzero(groups != groups[index])
    distance = np.square(features[others] - features[index]).sum(axis=1)
    nearest = others[np.argsort(distance, kind="stable")[:NEIGHBOURS]]
    return 2 * int((given[nearest] == suggested).sum()) > len(nearest)
