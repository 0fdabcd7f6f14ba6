"""Which image comes when: a pure function of (seed, epoch), so that a resumed run repeats it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ORDER, _AUGMENT = 1, 2  # separate random streams


def epoch_order(
    n: int,
    *,
    seed: int,
    epoch: int,
    length: int | None = None,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """The image rows of one epoch, in order.

    Without `length` every one of the `n` images once, shuffled. With `length` (steps x batch)
    passes over the data run on through the epochs, as a Keras generator does. With `weights` (n,)
    rows are drawn with replacement, in proportion.
    """
    length = n if length is None else length
    if weights is not None:
        generator = np.random.default_rng([seed, epoch, _ORDER])
        return generator.choice(n, size=length, p=weights / weights.sum())
    first = epoch * length
    passes = range(first // n, -(-(first + length) // n))
    rows = np.concatenate([np.random.default_rng([seed, p, _ORDER]).permutation(n) for p in passes])
    start = first - passes[0] * n
    return rows[start : start + length]


def batch_bounds(length: int, batch_size: int) -> list[tuple[int, int]]:
    """(start, stop) of each batch; a last batch of one image joins the one before it.

    Batch normalisation over a single value has no variance, and refuses.
    """
    bounds = [(a, min(a + batch_size, length)) for a in range(0, length, batch_size)]
    if len(bounds) > 1 and bounds[-1][1] - bounds[-1][0] == 1:
        bounds[-2:] = [(bounds[-2][0], length)]
    return bounds


def epoch_draws(length: int, *, seed: int, epoch: int, columns: int) -> NDArray[np.float32]:
    """(length, columns) uniform numbers in [-1, 1), one row for each place in the epoch's order."""
    generator = np.random.default_rng([seed, epoch, _AUGMENT])
    return generator.uniform(-1, 1, size=(length, columns)).astype(np.float32)


def class_weights(targets: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """(K,) weights n / (K n_k), which make every class count alike; 0 for a class without images.

    `targets` is (n,) class numbers. For (n, K) 0/1 labels: the ratio of negatives to positives.
    """
    if targets.ndim == 2:
        positive = targets.sum(axis=0)
        return np.where(positive > 0, (len(targets) - positive) / np.maximum(positive, 1), 1.0)
    counts = np.bincount(targets, minlength=classes)
    present = counts > 0
    return np.where(present, len(targets) / (present.sum() * np.maximum(counts, 1)), 0.0)


def sampling_weights(targets: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """(n,) how often to draw each image so that classes come alike; several labels: the rarest."""
    if targets.ndim == 1:
        return class_weights(targets, classes)[targets]
    rarity = 1 / np.maximum(targets.mean(axis=0), 1 / len(targets))
    none = 1 / max(float((targets.sum(axis=1) == 0).mean()), 1 / len(targets))
    return np.where(targets.any(axis=1), (targets * rarity).max(axis=1), none)
