"""How far is an image from those the model was trained on? Scores for the out-of-distribution gate.

Three descriptions of an image are looked at: the means of the network's last map (`features`), the
means of earlier ones (`stages`), and plain pixel statistics (`pixels`). Distances are
Mahalanobis with a shrunk covariance (Lee et al. 2018; Ledoit & Wolf 2004) or to the k-th nearest
training image (Sun et al. 2022); `assess.ood_fit` chooses among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from overread.bundle.read import Bundle
from overread.errors import BundleError
from overread.predict.pixels import describe_pixels

View = Literal["features", "stages", "pixels"]
VIEWS: tuple[View, ...] = get_args(View)
Floats = NDArray[np.float32]

FEW = 32  # rows


@dataclass(frozen=True)
class Mahalanobis:
    """Distance to the mean under a covariance shrunk to a multiple of the identity.

    `axes` (D, d) are its leading eigenvectors, `variances` (d,) their eigenvalues, `rest` the
    variance in every other direction. All after standardising with `mean` and `deviation` (D,).
    """

    mean: Floats
    deviation: Floats
    axes: Floats
    variances: Floats
    rest: Floats

    def distance(self, x: Floats) -> Floats:
        z = (x - self.mean) / self.deviation
        inside = _times(z, self.axes)
        outside = np.maximum((z * z).sum(1) - (inside * inside).sum(1), 0.0)
        return np.asarray(np.sqrt((inside**2 / self.variances).sum(1) + outside / self.rest))


@dataclass(frozen=True)
class Neighbours:
    """Distance to the `k`-th nearest of `references` (m, D), which are stored as `scaled` gives
    them: standardised or, where `deviation` is empty, less `mean` and of unit length."""

    mean: Floats
    deviation: Floats
    references: Floats
    k: Floats

    def distance(self, x: Floats) -> Floats:
        a = scaled(x, self.mean, self.deviation)
        squares = (a * a).sum(1)[:, None] + self._lengths - 2.0 * _times(a, self.references.T)
        place = min(int(self.k), len(self.references)) - 1
        return np.asarray(np.sqrt(np.maximum(np.partition(squares, place, axis=1)[:, place], 0.0)))

    @cached_property
    def _lengths(self) -> Floats:
        return np.asarray((self.references * self.references).sum(1))


def _times(x: Floats, matrix: Floats) -> Floats:
    """`x @ matrix`. For the few rows of a prediction without BLAS, whose threads would stay awake
    for 30 ms after it, on cores that the network needs."""
    if len(x) > FEW:
        return np.asarray(x @ matrix)
    return np.asarray(np.einsum("nd,dk->nk", x, matrix))


def scaled(x: Floats, mean: Floats, deviation: Floats) -> Floats:
    """`x` (n, D) less `mean`, over `deviation` or, where that is empty, of unit length."""
    x = x - mean
    if deviation.size:
        return np.asarray(x / deviation)
    length = np.sqrt((x * x).sum(1, keepdims=True))
    return np.asarray(x / np.maximum(length, 1e-12))


KINDS: dict[str, type[Mahalanobis] | type[Neighbours]] = {
    "mahalanobis": Mahalanobis,
    "neighbours": Neighbours,
}


@dataclass(frozen=True)
class Detector:
    """A distance in one view, brought to a common scale: 0 for a typical training image, 1 where
    nearly all of them are nearer."""

    view: View
    model: Mahalanobis | Neighbours
    centre: float
    spread: float

    def score(self, x: Floats) -> Floats:
        # A feature that overflowed is as far away as can be.
        with np.errstate(over="ignore", invalid="ignore"):
            distance = self.model.distance(x.astype(np.float32, copy=False))
        score = np.maximum((distance - self.centre) / self.spread, 0.0)
        return np.asarray(np.nan_to_num(score, nan=1e6, posinf=1e6))


@dataclass(frozen=True)
class Gate:
    """Detectors and how they are joined ("max" or "mean" of their scores)."""

    detectors: tuple[Detector, ...]
    join: str = "max"

    @property
    def from_graph(self) -> tuple[View, ...]:
        """The views that the network's graph must give."""
        return tuple(sorted({d.view for d in self.detectors if d.view != "pixels"}))

    def score(self, outputs: Mapping[str, Floats], images: NDArray[np.uint8]) -> Floats:
        """Scores (n,) >= 0 of `images` (n, H, W, 3) uint8; `outputs` holds the views (n, D) of
        `from_graph`."""
        if any(detector.view == "pixels" for detector in self.detectors):
            outputs = {**outputs, "pixels": describe_pixels(images)}
        return self.score_views(outputs)

    def score_views(self, views: Mapping[str, Floats]) -> Floats:
        """As `score`, from descriptions already computed."""
        return joined(self.join, [d.score(views[d.view]) for d in self.detectors])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What `ood.npz` holds; `from_arrays` gives the gate back."""
        found: dict[str, NDArray[np.generic]] = {"join": np.frombuffer(self.join.encode(), "u1")}
        for number, detector in enumerate(self.detectors):
            kind = next(k for k, cls in KINDS.items() if isinstance(detector.model, cls))
            head = f"{number}.{detector.view}.{kind}"
            found[f"{head}.scale"] = np.asarray([detector.centre, detector.spread], np.float32)
            for name in type(detector.model).__annotations__:
                value = getattr(detector.model, name)
                # Half precision is exact enough for stored images, and half the size.
                small = np.float16 if name == "references" else np.float32
                found[f"{head}.{name}"] = np.asarray(value, small)
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Gate:
        """The gate stored in `arrays`; BundleError when they do not describe one."""
        try:
            join = arrays["join"].tobytes().decode("ascii")
            heads = sorted({name.rpartition(".")[0] for name in arrays if name != "join"})
            detectors = tuple(_detector(head, arrays) for head in heads)
            if join not in ("max", "mean") or not detectors:
                raise ValueError(f"join {join!r} of {len(detectors)} detectors")
        except (KeyError, ValueError, TypeError, UnicodeDecodeError) as error:
            raise BundleError(
                f"ood.npz is not a valid out-of-distribution gate ({error})"
            ) from error
        return cls(detectors, join)

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Gate:
        gate = cls.from_arrays(bundle.ood)
        for view in gate.from_graph:
            if getattr(bundle.info.tensors, view) is None:
                raise BundleError(f"its gate needs {view} that the graph does not give")
        return gate


def joined(how: str, scores: Sequence[Floats]) -> Floats:
    """Scores (n,) of several detectors as one."""
    stacked = np.stack(scores)
    return np.asarray(stacked.max(0) if how == "max" else stacked.mean(0))


def _detector(head: str, arrays: Mapping[str, NDArray[np.generic]]) -> Detector:
    _, view, kind = head.split(".")
    known = next((name for name in VIEWS if name == view), None)
    if known is None:
        raise ValueError(f"unknown view {view!r}")
    cls = KINDS[kind]
    parts = {name: arrays[f"{head}.{name}"].astype(np.float32) for name in cls.__annotations__}
    centre, spread = arrays[f"{head}.scale"].astype(np.float64).tolist()
    return Detector(known, cls(**parts), centre, spread)
