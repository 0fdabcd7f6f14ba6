"""Dividing whole groups over parts so that every class keeps the asked ratio.

Greedy, rarest class first (after Sechidis et al., ECML PKDD 2011), then repaired by moves and
exchanges of single groups until none helps. Deterministic for a seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overread.documents.manifest import ImageRecord

Counts = NDArray[np.float64]
Parts = NDArray[np.int64]
Shares = NDArray[np.float64]
Must = NDArray[np.bool_]
ROUNDS = 500
EXCHANGES = 4000  # pairs of groups tried in a round
MISSING = 10.0  # cost of a part without a class that it could have


def class_counts(groups: Sequence[Sequence[ImageRecord]]) -> NDArray[np.int64]:
    """(groups, classes) images of each class in each group, classes sorted.

    Images without a label, if any, count as one more class at the end.
    """
    names = sorted({label for group in groups for record in group for label in record.labels})
    column = {name: index for index, name in enumerate(names)}
    counts = np.zeros((len(groups), len(names) + 1), dtype=np.int64)
    for row, group in zip(counts, groups, strict=True):
        for record in group:
            for label in record.labels or [None]:
                row[column[label] if label else -1] += 1
    return counts if counts[:, -1].any() else counts[:, :-1]


def divide(counts: NDArray[np.int64], ratio: Shares, seed: int) -> Parts:
    """The part of each group.

    `counts`: (groups, classes) images per class. `ratio`: (parts,) shares, summing to 1; when a
    class has fewer groups than there are parts, earlier parts come first. Returns (groups,) part
    indices.
    """
    rng = np.random.default_rng(seed)
    weights = np.column_stack([counts, counts.sum(axis=1)]).astype(np.float64)
    weights /= np.maximum(weights.sum(axis=0), 1)  # share of its class that a group holds
    must = np.arange(len(ratio))[:, None] < (weights > 0).sum(axis=0)[None, :]
    must &= (ratio > 0)[:, None]
    part = _greedy(weights, ratio, rng)
    return _repair(weights, ratio, must, part, rng)


def _greedy(weights: Counts, ratio: Shares, rng: np.random.Generator) -> Parts:
    """Large groups first, ties at random; each goes where its classes are most wanting."""
    order = rng.permutation(len(weights))
    order = order[np.argsort(-weights[order].max(axis=1), kind="stable")]
    wanting = np.outer(ratio, np.ones(weights.shape[1]))
    part = np.zeros(len(weights), dtype=np.int64)
    closed = ratio <= 0
    for group in order:
        score = wanting @ weights[group]
        score[closed] = -np.inf
        part[group] = int(np.argmax(score))
        wanting[part[group]] -= weights[group]
    return part


def _repair(
    weights: Counts,
    ratio: Shares,
    must: Must,
    part: Parts,
    rng: np.random.Generator,
) -> Parts:
    have = np.stack([weights[part == p].sum(axis=0) for p in range(len(ratio))])
    for _ in range(ROUNDS):
        change = _best_move(weights, ratio, must, part, have) or _best_exchange(
            weights, ratio, must, part, have, rng
        )
        if change is None:
            break
        for group, target in change:
            have[part[group]] -= weights[group]
            have[target] += weights[group]
            part[group] = target
    return part


def _cost(have: Counts, target: Counts, must: Must) -> Counts:
    """Cost of each part holding the class shares `have` (..., classes); broadcasts."""
    off = np.square(have - target)
    off[..., -1] *= off.shape[-1]  # the size of the part counts as much as its classes together
    cost: Counts = (off + MISSING * (must & (have < 1e-9))).sum(axis=-1)
    return cost


def _best_move(
    weights: Counts,
    ratio: Shares,
    must: Must,
    part: Parts,
    have: Counts,
) -> list[tuple[int, int]] | None:
    target = np.outer(ratio, np.ones(weights.shape[1]))
    now = _cost(have, target, must)
    left = _cost(have[part] - weights, target[part], must[part]) - now[part]
    best: tuple[float, int, int] = (-1e-12, -1, -1)
    for to in np.flatnonzero(ratio > 0):
        gain = left + _cost(have[to] + weights, target[to], must[to]) - now[to]
        gain[part == to] = np.inf
        group = int(np.argmin(gain))
        best = min(best, (float(gain[group]), group, int(to)))
    return [best[1:]] if best[1] >= 0 else None


def _best_exchange(
    weights: Counts,
    ratio: Shares,
    must: Must,
    part: Parts,
    have: Counts,
    rng: np.random.Generator,
) -> list[tuple[int, int]] | None:
    a, b = rng.integers(0, len(weights), size=(2, EXCHANGES))
    apart = part[a] != part[b]
    a, b = a[apart], b[apart]
    if not a.size:
        return None
    target = np.outer(ratio, np.ones(weights.shape[1]))
    now = _cost(have, target, must)
    shift = weights[b] - weights[a]
    gain = _cost(have[part[a]] + shift, target[part[a]], must[part[a]]) - now[part[a]]
    gain += _cost(have[part[b]] - shift, target[part[b]], must[part[b]]) - now[part[b]]
    best = int(np.argmin(gain))
    if gain[best] >= -1e-12:
        return None
    return [(int(a[best]), int(part[b[best]])), (int(b[best]), int(part[a[best]]))]
