"""Whether two pictures, laid over each other, show the same thing everywhere they overlap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.dataset.duplicates.describe import Record, seen
from overread.dataset.duplicates.geometry import Affine, inverse, plausible, square

FINE = (1.0, 3.0)  # standard deviations, in pixels of the stored picture
COARSE = (1.1, 3.0)  # the same at half its size
WINDOW = 15  # side of the square in which two pictures are correlated
ROUNDS = 25
LEAST_COARSE = 0.3


@dataclass(frozen=True)
class Proof:
    """How well two pictures agree where they overlap.

    `transform` maps a's stored picture to b's. `fine` and `coarse` are local correlations
    (-1 to 1), averaged over the overlap, of structure a few pixels and some ten pixels wide.
    `overlap` is the overlap as a part of the smaller picture.
    """

    transform: Affine
    fine: float
    coarse: float
    overlap: float


def prove(a: Record, b: Record, transform: Affine, *, refine: bool = True) -> Proof | None:
    """Lay b over a by `transform`, compare, and with `refine` look for a better fit nearby.

    The comparison is made in the frame of the picture that shows more (so the other is only ever
    made smaller). None when they do not overlap or nothing is to be seen there.
    """
    swapped = abs(np.linalg.det(transform[:, :2])) < 1.0
    if swapped:
        a, b, transform = b, a, inverse(transform)
    proof = _compare(_picture(a), _picture(b), transform, refine)
    if proof is None or not swapped:
        return proof
    return replace(proof, transform=inverse(proof.transform))


def _picture(row: Record) -> NDArray[np.float32]:
    width, height = (int(side) for side in row["shape"])
    return np.asarray(row["picture"][:height, :width], np.float32)


# Pixel centres: x at full size = 2 * x at half size + 0.5.
_UP = np.array([[2.0, 0.0, 0.5], [0.0, 2.0, 0.5], [0.0, 0.0, 1.0]])
_DOWN = np.array([[0.5, 0.0, -0.25], [0.0, 0.5, -0.25], [0.0, 0.0, 1.0]])


def _halved(transform: Affine) -> Affine:
    small: Affine = (_DOWN @ square(transform) @ _UP)[:2]
    return small


def _doubled(transform: Affine) -> Affine:
    large: Affine = (_UP @ square(transform) @ _DOWN)[:2]
    return large


def _compare(
    a: NDArray[np.float32], b: NDArray[np.float32], transform: Affine, refine: bool
) -> Proof | None:
    import cv2

    zoom = abs(np.linalg.det(transform[:, :2])) ** 0.5
    if zoom > 1.3:  # b will be made smaller: take away what would alias
        b = cv2.GaussianBlur(b, (0, 0), 0.5 * (zoom**2 - 1) ** 0.5)
    pair = _Pair(a, b, seen(a), seen(b))
    laid = _laid_over(pair, transform, cv2)
    if laid is not None and refine:
        other = _laid_over(pair, _refined(pair, transform, cv2), cv2)
        if other is not None and other.coarse > laid.coarse:
            laid = other
    if laid is None:
        return None
    # A pair that does not agree on what is coarse is no copy: what is fine need not be looked at.
    fine = _agreement(laid.stack, FINE, WINDOW, cv2) if laid.coarse > LEAST_COARSE else 0.0
    return Proof(laid.transform, fine, laid.coarse, laid.overlap)


@dataclass(frozen=True)
class _Pair:
    """Two pictures, and where each shows something (1) or not (0)."""

    a: NDArray[np.float32]
    b: NDArray[np.float32]
    seen_a: NDArray[np.uint8]
    seen_b: NDArray[np.uint8]


@dataclass(frozen=True)
class _Laid:
    """b laid over a: `stack` (height, width, 3) holds a, b and 1 where both show something."""

    transform: Affine
    stack: NDArray[np.float32]
    coarse: float
    overlap: float


def _laid_over(pair: _Pair, transform: Affine, cv2: Any) -> _Laid | None:
    if not plausible(transform):
        return None
    size = pair.a.shape[::-1]
    both = _warp(pair.seen_b, transform, size, cv2, cv2.INTER_NEAREST) & pair.seen_a
    # Not the edge of a black field: two pictures shifted alike have the same edge.
    both = cv2.erode(both, np.ones((5, 5), np.uint8), borderValue=1)
    common = cv2.countNonZero(both)
    if common < 3 * WINDOW**2:
        return None
    weight = both.astype(np.float32)
    moved = _warp(pair.b, transform, size, cv2, cv2.INTER_LINEAR)
    stack = cv2.merge([pair.a * weight, moved * weight, weight])
    coarse = _agreement(_half(stack, cv2.INTER_AREA, cv2), COARSE, WINDOW // 2, cv2)
    area_b = cv2.countNonZero(pair.seen_b) / abs(np.linalg.det(transform[:, :2]))
    overlap = common / max(1.0, min(float(cv2.countNonZero(pair.seen_a)), area_b))
    return _Laid(transform, stack, coarse, float(min(1.0, overlap)))


def _warp(
    picture: NDArray[Any], transform: Affine, size: tuple[int, ...], cv2: Any, how: int
) -> NDArray[Any]:
    """b seen in a's frame: place x shows b at transform(x)."""
    warped: NDArray[Any] = cv2.warpAffine(
        picture, transform, size, flags=how | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_CONSTANT
    )
    return warped


def _half(picture: NDArray[Any], how: int, cv2: Any) -> NDArray[Any]:
    smaller: NDArray[Any] = cv2.resize(
        picture, (picture.shape[1] // 2, picture.shape[0] // 2), interpolation=how
    )
    return smaller


def _refined(pair: _Pair, transform: Affine, cv2: Any) -> Affine:
    """`transform` moved to where the two pictures correlate best (Evangelidis 2008, ECC).

    Found at half the size: what is compared is too wide to need more.
    """
    bands = [_half(_band(picture, cv2), cv2.INTER_AREA, cv2) for picture in (pair.a, pair.b)]
    masks = [_half(mask * 255, cv2.INTER_NEAREST, cv2) for mask in (pair.seen_a, pair.seen_b)]
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ROUNDS, 1e-4)
    try:
        _, moved = cv2.findTransformECCWithMask(
            *bands, *masks, _halved(transform).astype(np.float32), cv2.MOTION_AFFINE, stop, 1
        )
    except cv2.error:
        return transform  # no overlap, or no convergence: judge it as it is
    return _doubled(np.asarray(moved, np.float64))


def _band(picture: NDArray[np.float32], cv2: Any) -> NDArray[np.float32]:
    low, high = (cv2.GaussianBlur(picture, (0, 0), 2 * sigma) for sigma in COARSE)
    band: NDArray[np.float32] = low - high
    return band


def _agreement(
    stack: NDArray[np.float32], sigmas: tuple[float, float], window: int, cv2: Any
) -> float:
    """Mean local correlation of band-passed pictures over where both show something."""
    *pictures, weight = cv2.split(stack)

    def blurred(sigma: float) -> list[NDArray[np.float32]]:
        # Normalised, so that the fill outside the overlap does not leak in.
        share = cv2.GaussianBlur(weight, (0, 0), sigma)
        even = weight / np.maximum(share, 1e-3)
        return [cv2.GaussianBlur(picture, (0, 0), sigma) * even for picture in pictures]

    x, y = (low - high for low, high in zip(*map(blurred, sigmas), strict=True))
    xy, xx, yy, filled = (
        cv2.boxFilter(values, -1, (window, window), borderType=cv2.BORDER_CONSTANT)
        for values in (x * y, x * x, y * y, weight)
    )
    inside = (weight > 0) & (filled > 0.4)
    xy, xx, yy = xy[inside], np.maximum(xx[inside], 0), np.maximum(yy[inside], 0)
    if not len(xy):
        return 0.0
    local = xy / np.sqrt(np.maximum(xx * yy, 1e-6))
    # Places that show little in both pictures count little.
    energy = np.sqrt(np.maximum(xx / (xx.mean() + 1e-6), yy / (yy.mean() + 1e-6)))
    share = np.minimum(energy, 1.0)
    return float((local * share).sum() / (share.sum() + 1e-9))
