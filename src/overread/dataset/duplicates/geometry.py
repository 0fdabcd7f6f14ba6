"""The transformation that takes one image's local features to another's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.dataset.duplicates.describe import STEPS, Record, mirror_bits
from overread.dataset.duplicates.neighbours import hamming_table, words

Affine = NDArray[np.float64]  # (2, 3)

FARTHEST = 84  # Hamming distance of the worst match used
HYPOTHESES = 96
LEAST_SUPPORT = 3.0  # a hypothesis that fewer matches (near ones count more) support is chance
LOOSE, TIGHT = 4.5, 1.5  # distance in pixels from where a match should lie
SCALES = (0.22, 4.5)
MOST_UNEVEN = 2.2  # ratio of an allowed transformation's two singular values


@dataclass(frozen=True)
class Fit:
    """`transform` maps a's stored picture to b's; `matches` features agree with it, which lie in
    `cells` of the 16 cells of a's picture and of b's (the smaller number)."""

    transform: Affine
    matches: int
    cells: int


def fit(a: Record, b: Record, mirror: bool) -> Fit | None:
    """The affine map from a to b that most feature matches agree with, or None.

    Every match proposes a similarity by its two positions, sizes and angles (one-point
    RANSAC, so all hypotheses are tried and the result does not depend on chance); the best is
    refined to an affine map by least squares on the matches that agree.
    """
    start, end = _matched(a, b, mirror)
    if len(start) < 3:
        return None
    transform = _best_similarity(start, end)
    if transform is None:
        return None
    p, q = start[:, :2], end[:, :2]
    for tolerance in (LOOSE, LOOSE * 0.6, TIGHT, TIGHT):
        near = _distance(transform, p, q) < tolerance
        better = _least_squares(p[near], q[near]) if near.sum() >= 3 else None
        if better is None:
            return None
        transform = better
    near = _distance(transform, p, q) < TIGHT
    if not plausible(transform):
        return None
    p, q = p[near], q[near]
    spread = min(_different(p // 20), _different(q // 20))
    matches = min(_different(p.round(1)), _different(q.round(1)))
    if mirror:
        transform = transform @ _flip(a)
    return Fit(transform, matches, spread)


def whole(a: Record, b: Record, turn: int) -> Affine:
    """The map that lays all of a over all of b, turned as `candidates.turned` does."""
    size_a, size_b = (row["shape"].astype(np.float64) for row in (a, b))
    step = np.diag([*(1 / size_a), 1.0]) @ _shift(0.5)  # to the unit square
    if turn >= 4:
        step = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]]) @ step
    for _ in range(turn % 4):
        step = np.array([[0.0, 1, 0], [-1, 0, 1], [0, 0, 1]]) @ step
    transform: Affine = (_shift(-0.5) @ np.diag([*size_b, 1.0]) @ step)[:2]
    return transform


def _shift(by: float) -> NDArray[np.float64]:
    return np.array([[1.0, 0.0, by], [0.0, 1.0, by], [0.0, 0.0, 1.0]])


def plausible(transform: Affine) -> bool:
    """Whether a copy could have been zoomed and sheared as `transform` does."""
    large, small = _singular_values(transform)
    return SCALES[0] < small and large < SCALES[1] and large < MOST_UNEVEN * small


def _singular_values(matrix: NDArray[np.float64]) -> tuple[float, float]:
    """Of the first two rows and columns, by the closed form, many times faster than an SVD."""
    (a, b), (c, d) = matrix[0, :2].tolist(), matrix[1, :2].tolist()
    total, difference = math.hypot(a + d, b - c), math.hypot(a - d, b + c)
    return (total + difference) / 2, abs(total - difference) / 2


def square(transform: Affine) -> NDArray[np.float64]:
    """(3, 3) form of a (2, 3) transformation."""
    whole_matrix: NDArray[np.float64] = np.vstack([transform, (0.0, 0.0, 1.0)])
    return whole_matrix


def inverse(transform: Affine) -> Affine:
    """The (2, 3) transformation back."""
    back: Affine = np.linalg.inv(square(transform)).astype(np.float64)[:2]
    return back


def _flip(row: Record) -> NDArray[np.float64]:
    width = float(row["shape"][0])
    return np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def _matched(a: Record, b: Record, mirror: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points of a and the nearest of b to each (m, 4: x, y, diameter, angle in degrees), the best
    first."""
    m, n = int(a["count"]), int(b["count"])
    if m < 3 or n < 3:
        return np.zeros((0, 4)), np.zeros((0, 4))
    bits = mirror_bits(a["bits"][:m]) if mirror else a["bits"][:m]
    distances = hamming_table(words(bits), words(b["bits"][:n]))
    nearest, distance = distances.argmin(axis=1), distances.min(axis=1)
    good = np.flatnonzero(distance <= FARTHEST)
    good = good[np.argsort(distance[good], kind="stable")]
    start = a["points"][good].astype(np.float64) / STEPS
    end = b["points"][nearest[good]].astype(np.float64) / STEPS
    if mirror:
        start[:, 0] = float(a["shape"][0]) - 1.0 - start[:, 0]
        start[:, 3] = 180.0 - start[:, 3]
    return start, end


def _best_similarity(start: NDArray[np.float64], end: NDArray[np.float64]) -> Affine | None:
    """The similarity, of those the nearest matches propose, that most matches agree with."""
    top = slice(0, HYPOTHESES)
    scale = end[top, 2] / start[top, 2]
    angle = np.radians(end[top, 3] - start[top, 3])
    # Points as complex numbers: a similarity is z -> turn * z + shift.
    z, w = (np.asarray(points[:, 0] + 1j * points[:, 1], np.complex64) for points in (start, end))
    turn = np.asarray(scale * np.exp(1j * angle), np.complex64)
    shift = w[top] - turn * z[top]
    off = turn[:, None] * z
    off += shift[:, None] - w
    error = off.real**2 + off.imag**2
    support = np.maximum(0.0, 1.0 - error / LOOSE**2).sum(axis=1)
    possible = (scale > SCALES[0]) & (scale < SCALES[1])
    support[~possible] = 0.0
    best = int(np.argmax(support))
    if support[best] < LEAST_SUPPORT:
        return None
    c, s = float(turn[best].real), float(turn[best].imag)
    return np.array([[c, -s, shift[best].real], [s, c, shift[best].imag]], np.float64)


def _least_squares(p: NDArray[np.float64], q: NDArray[np.float64]) -> Affine | None:
    """The affine map p -> q; a similarity where the points lie too close to a line."""
    centre, end = p.mean(axis=0), q.mean(axis=0)
    dp, dq = p - centre, q - end
    scatter = dp.T @ dp
    large, small = (math.sqrt(value) for value in _singular_values(scatter))
    if len(p) < 6 or small < 0.15 * large or small < 10:
        return _similarity(dp, dq, centre, end)
    linear = np.linalg.solve(scatter, dp.T @ dq).T
    affine = np.column_stack([linear, end - linear @ centre])
    return affine if plausible(affine) else None


def _similarity(
    dp: NDArray[np.float64], dq: NDArray[np.float64],
    centre: NDArray[np.float64], end: NDArray[np.float64],
) -> Affine | None:  # fmt: skip
    """The least-squares rotation, scale and shift (as complex numbers: dq = m dp)."""
    power = float((dp**2).sum())
    if power < 1e-6:
        return None
    c = float((dp * dq).sum()) / power
    s = float((dp[:, 0] * dq[:, 1] - dp[:, 1] * dq[:, 0]).sum()) / power
    linear = np.array([[c, -s], [s, c]])
    return np.column_stack([linear, end - linear @ centre])


def _distance(
    transform: Affine, p: NDArray[np.float64], q: NDArray[np.float64]
) -> NDArray[np.float64]:
    off = p @ transform[:, :2].T + transform[:, 2] - q
    distance: NDArray[np.float64] = np.hypot(off[:, 0], off[:, 1])
    return distance


def _different(points: NDArray[np.float64]) -> int:
    """How many of the points (n, 2) differ."""
    return len(set(map(tuple, points.tolist())))
