"""Fit the out-of-distribution gate: choose its distances, and its limit, without any test image.

Candidates are judged by how well they tell held-out training images (cross-validated, whole groups
held out) from synthetic outliers made out of them; the limit then lets a stated share of the
held-out images pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.documents.bundle import Ood
from overread.predict.ood import (
    Detector,
    Floats,
    Gate,
    Mahalanobis,
    Neighbours,
    View,
    joined,
    scaled,
)
from overread.stats.ranking import auroc

AXES, REFERENCES, FOLDS, MOST_FOLDS = 128, 1000, 5, 20
Name = tuple[View, str]
DISTANCES: tuple[Name, ...] = (
    ("features", "mahalanobis"),
    ("features", "neighbours1"),
    ("features", "neighbours5"),
    ("stages", "mahalanobis"),
    ("pixels", "mahalanobis"),
    ("pixels", "neighbours5"),
)


@dataclass(frozen=True)
class Views:
    """Descriptions of images, (n, D) each: `pixels`, and what the network gives."""

    pixels: Floats
    features: Floats | None = None
    stages: Floats | None = None

    def mapping(self) -> dict[str, Floats]:
        every = {"pixels": self.pixels, "features": self.features, "stages": self.stages}
        return {name: view for name, view in every.items() if view is not None}


@dataclass(frozen=True)
class Outliers:
    """Synthetic outliers: their views, their kind, and the row of the image each was made from."""

    views: Views
    kinds: NDArray[np.str_]
    origins: NDArray[np.intp]


def fit_gate(
    views: Views,
    groups: Sequence[str],
    outliers: Outliers,
    *,
    held_out: NDArray[np.bool_] | None = None,
    accept: float = 0.97,
    seed: int = 0,
) -> tuple[Gate, Ood]:
    """The gate for images like `views` (n rows), and what `bundle.json` says of it.

    `groups` (n) are never torn apart by the cross-validation. `held_out` (n) marks images that the
    network was not trained on (the validation split): the limit lets `accept` of these pass, and of
    all images. Needs at least 20 images.
    """
    folds = _folds(groups, seed)
    inside, outside = _cross_validate(views, outliers, folds)
    trusted = _trusted(held_out, len(folds))
    scales = {name: _scale(inside[name], trusted, accept) for name in inside}
    tried = {
        _title(names, how): _separation(names, how, scales, inside, outside, outliers.kinds)
        for names, how in _candidates(list(inside))
    }
    best = max(tried, key=lambda title: tried[title])
    names, how = next(pair for pair in _candidates(list(inside)) if _title(*pair) == best)
    scores = _join(names, how, scales, inside)
    limit = max(_quantile(scores[trusted], accept), _quantile(scores, accept))
    detectors = tuple(
        Detector(name[0], _fit(name, views.mapping()[name[0]], seed), *scales[name])
        for name in names
    )
    about = Ood(
        method=best,
        threshold=round(limit, 4),
        dimension=0 if views.features is None else views.features.shape[1],
        accepted=float((scores[trusted] <= round(limit, 4)).mean()),
        tried={title: round(value, 4) for title, value in tried.items()},
    )
    return Gate(detectors, how), about


def _candidates(names: list[Name]) -> list[tuple[tuple[Name, ...], str]]:
    """Each distance alone, and each pair of one in a network's view and one in pixels."""
    alone: list[tuple[tuple[Name, ...], str]] = [((name,), "max") for name in names]
    pairs = [(a, b) for a in names for b in names if a[0] != "pixels" and b[0] == "pixels"]
    return alone + [(pair, how) for pair in pairs for how in ("max", "mean")]


def _title(names: tuple[Name, ...], how: str) -> str:
    parts = " + ".join(f"{view} {kind}" for view, kind in names)
    return parts if len(names) == 1 else f"{how} of {parts}"


def _cross_validate(
    views: Views, outliers: Outliers, folds: NDArray[np.intp]
) -> tuple[dict[Name, Floats], dict[Name, Floats]]:
    """Distances of every image and outlier under models that saw neither it nor its origin."""
    known, strange = views.mapping(), outliers.views.mapping()
    names = [name for name in DISTANCES if name[0] in known]
    inside = {name: np.zeros(len(folds), np.float32) for name in names}
    outside = {name: np.zeros(len(outliers.origins), np.float32) for name in names}
    for fold in np.unique(folds):
        apart, made = folds == fold, folds[outliers.origins] == fold
        for name in names:
            model = _fit(name, known[name[0]][~apart], int(fold))
            inside[name][apart] = model.distance(known[name[0]][apart])
            outside[name][made] = model.distance(strange[name[0]][made])
    return inside, outside


def _fit(name: Name, x: Floats, seed: int) -> Mahalanobis | Neighbours:
    return fit_mahalanobis(x) if name[1] == "mahalanobis" else _neighbours(name, x, seed)


def _neighbours(name: Name, x: Floats, seed: int) -> Neighbours:
    k = np.float32(name[1].removeprefix("neighbours"))
    if len(x) > REFERENCES:
        x = x[np.random.default_rng(seed).choice(len(x), REFERENCES, replace=False)]
    mean, deviation = _standard(x)
    if name[0] == "features":  # their length says more of contrast than of kind
        deviation = np.zeros(0, np.float32)
    return Neighbours(mean, deviation, scaled(x, mean, deviation), np.asarray(k))


def fit_mahalanobis(x: Floats) -> Mahalanobis:
    """Mean and Ledoit-Wolf covariance of `x` (n, D), of which at most AXES directions are kept."""
    mean, deviation = _standard(x)
    z = ((x - mean) / deviation).astype(np.float64)
    count, size = z.shape
    sample, axes = _principal(z)
    shrinkage, level = ledoit_wolf(z, sample)
    variances = (1.0 - shrinkage) * sample + shrinkage * level
    keep = min(AXES, len(variances))
    # Directions beyond the sample's rank have exactly the variance shrinkage gives them.
    left = variances[keep:].sum() + (size - len(variances)) * shrinkage * level
    rest = left / (size - keep) if size > keep else 1.0
    return Mahalanobis(
        mean,
        deviation,
        axes[:, :keep].astype(np.float32),
        np.maximum(variances[:keep], 1e-6).astype(np.float32),
        np.asarray(max(rest, 1e-6), np.float32),
    )


def _principal(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances (r,), largest first, and directions (D, r) of centred `z` (n, D), r = min(n, D)."""
    count, size = z.shape
    if size <= count:
        variances, axes = np.linalg.eigh(z.T @ z / count)
        return np.maximum(variances[::-1], 0.0), axes[:, ::-1]
    # With fewer images than features, their inner products are the smaller problem.
    variances, weights = np.linalg.eigh(z @ z.T / count)
    variances, weights = np.maximum(variances[::-1], 0.0), weights[:, ::-1]
    axes = z.T @ weights / np.sqrt(np.maximum(variances * count, 1e-12))
    return variances, axes


def ledoit_wolf(z: NDArray[np.float64], eigenvalues: NDArray[np.float64]) -> tuple[float, float]:
    """Shrinkage in [0, 1] and target variance for centred `z` (n, D); Ledoit & Wolf 2004.

    `eigenvalues` are the non-zero ones of z'z / n.
    """
    count, size = z.shape
    level = float(eigenvalues.sum()) / size
    squares = float((eigenvalues**2).sum())
    spread = squares / size - level**2
    noise = (float(((z * z).sum(1) ** 2).sum()) / count - squares) / (count * size)
    return (float(np.clip(noise / spread, 0.0, 1.0)) if spread > 0 else 1.0), level


def _standard(x: Floats) -> tuple[Floats, Floats]:
    deviation = x.std(0)
    # A column that never varied must not turn a rounding error into a great distance.
    floor = 0.1 * float(deviation.mean()) + 1e-6
    return x.mean(0).astype(np.float32), np.maximum(deviation, floor).astype(np.float32)


def _folds(groups: Sequence[str], seed: int) -> NDArray[np.intp]:
    """A fold for each row, the same for all rows of a group."""
    names, rows = np.unique(np.asarray(groups), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    # With few images, leaving out a fifth of them would make the rest look farther away.
    count = max(FOLDS, min(MOST_FOLDS, 4000 // len(rows)))
    return np.asarray(order[rows] % min(count, len(names)))


def _trusted(held_out: NDArray[np.bool_] | None, count: int) -> NDArray[np.bool_]:
    """Rows whose scores are those of new images; all of them where too few are marked."""
    if held_out is None or held_out.sum() < 30:
        return np.ones(count, bool)
    return held_out


def _scale(distances: Floats, trusted: NDArray[np.bool_], accept: float) -> tuple[float, float]:
    own = distances[trusted]
    centre = float(np.median(own))
    return centre, max(_quantile(own, accept) - centre, 1e-6 * max(centre, 1.0))


def _quantile(scores: Floats, share: float) -> float:
    """The smallest score that `share` of future images stay below (finite-sample corrected)."""
    rank = min(len(scores), int(np.ceil((len(scores) + 1) * share)))
    return float(np.sort(scores)[rank - 1])


def _join(
    names: tuple[Name, ...],
    how: str,
    scales: Mapping[Name, tuple[float, float]],
    distances: Mapping[Name, Floats],
) -> Floats:
    scores = []
    for name in names:
        centre, spread = scales[name]
        scores.append(np.maximum((distances[name] - centre) / spread, 0.0))
    return joined(how, scores)


def _separation(
    names: tuple[Name, ...],
    how: str,
    scales: Mapping[Name, tuple[float, float]],
    inside: Mapping[Name, Floats],
    outside: Mapping[Name, Floats],
    kinds: NDArray[np.str_],
) -> float:
    """Mean of the average and of the worst AUROC over the kinds of outlier."""
    own, strange = _join(names, how, scales, inside), _join(names, how, scales, outside)
    areas = [separation(own, strange[kinds == kind]) for kind in np.unique(kinds)]
    return float(np.mean(areas) + np.min(areas)) / 2


def separation(inside: Floats, outside: Floats) -> float:
    """AUROC of scores: the probability that an outlier scores above a known image."""
    scores = np.concatenate([inside, outside])
    return float(auroc(scores, np.arange(len(scores)) >= len(inside)))
