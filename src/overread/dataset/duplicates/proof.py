"""Whether two pictures, laid over each other, show the same thing everywhere they overlap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.dataset.duplicates.describe import Record, seen
from overread.dataset.duplicates.geometry import Affine, inverse, plausible, square

FINE, COARSE = (1.0, 3.0), (2.2, 6.0)  # standard deviations, in pixels of the stored picture
WINDOW = 15  # side of the square in which two pictures are correlated
FLAT = 2.0  # standard deviation below which a place shows nothing
ROUNDS = 25
LEAST_COARSE = 0.3
SURE = 0.95  # coarse correlation that no refinement needs to better


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


def prove(a: Record, b: Record, transform: Affine, *, hopeless: float = 0.1) -> Proof | None:
    """Lay b over a by `transform`, refine it on the pixels of the stored pictures, and compare.

    The comparison is made in the frame of the picture that shows more (so the other is only ever
    made smaller). A coarse correlation under `hopeless` is not refined. None when they do not
    overlap or nothing is to be seen there.
    """
    swapped = abs(np.linalg.det(transform[:, :2])) < 1.0
    if swapped:
        a, b, transform = b, a, inverse(transform)
    proof = _compare(_picture(a), _picture(b), transform, hopeless)
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
    a: NDArray[np.float32], b: NDArray[np.float32], transform: Affine, hopeless: float
) -> Proof | None:
    import cv2

    zoom = abs(np.linalg.det(transform[:, :2])) ** 0.5
    if zoom > 1.3:  # b will be made smaller: take away what would alias
        b = cv2.GaussianBlur(b, (0, 0), 0.5 * (zoom**2 - 1) ** 0.5)
    seen_a, seen_b = seen(a), seen(b)
    proof = _agreement_at(a, b, seen_a, seen_b, transform, cv2)
    if proof is not None and hopeless < proof.coarse < SURE:
        moved = _refined(a, b, seen_a, seen_b, transform, cv2)
        other = _agreement_at(a, b, seen_a, seen_b, moved, cv2)
        if other is not None and other.coarse > proof.coarse:
            proof = other
    return proof


def _agreement_at(
    a: NDArray[np.float32], b: NDArray[np.float32],
    seen_a: NDArray[np.uint8], seen_b: NDArray[np.uint8], transform: Affine, cv2: Any,
) -> Proof | None:  # fmt: skip
    if not plausible(transform):
        return None
    size = a.shape[::-1]
    both = _warp(seen_b, transform, size, cv2, cv2.INTER_NEAREST) & seen_a
    # Not the edge of a black field: two pictures shifted alike have the same edge.
    both = cv2.erode(both, np.ones((5, 5), np.uint8), borderValue=1)
    common = int(np.count_nonzero(both))
    if common < 3 * WINDOW**2:
        return None
    moved = _warp(b, transform, size, cv2, cv2.INTER_LINEAR)
    coarse = _agreement(a, moved, both, COARSE, cv2)
    # A pair that does not agree on what is coarse is no copy: what is fine need not be looked at.
    fine = _agreement(a, moved, both, FINE, cv2) if coarse > LEAST_COARSE else 0.0
    area_b = np.count_nonzero(seen_b) / abs(np.linalg.det(transform[:, :2]))
    overlap = common / max(1.0, min(float(np.count_nonzero(seen_a)), area_b))
    return Proof(transform, fine, coarse, float(min(1.0, overlap)))


def _warp(
    picture: NDArray[Any], transform: Affine, size: tuple[int, ...], cv2: Any, how: int
) -> NDArray[Any]:
    """b seen in a's frame: place x shows b at transform(x)."""
    warped: NDArray[Any] = cv2.warpAffine(
        picture, transform, size, flags=how | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_CONSTANT
    )
    return warped


def _refined(
    a: NDArray[np.float32], b: NDArray[np.float32],
    seen_a: NDArray[np.uint8], seen_b: NDArray[np.uint8], transform: Affine, cv2: Any,
) -> Affine:  # fmt: skip
    """`transform` moved to where the two pictures correlate best (Evangelidis 2008, ECC).

    Found at half the size: what is compared is too wide to need more.
    """

    def half(picture: NDArray[Any], how: int) -> NDArray[Any]:
        smaller: NDArray[Any] = cv2.resize(
            picture, (picture.shape[1] // 2, picture.shape[0] // 2), interpolation=how
        )
        return smaller

    bands = [half(_band(picture, COARSE, cv2), cv2.INTER_AREA) for picture in (a, b)]
    masks = [half(mask * 255, cv2.INTER_NEAREST) for mask in (seen_a, seen_b)]
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ROUNDS, 1e-4)
    try:
        _, moved = cv2.findTransformECCWithMask(
            *bands, *masks, _halved(transform).astype(np.float32), cv2.MOTION_AFFINE, stop, 1
        )
    except cv2.error:
        return transform  # no overlap, or no convergence: judge it as it is
    return _doubled(np.asarray(moved, np.float64))


def _band(
    picture: NDArray[np.float32], sigmas: tuple[float, float], cv2: Any
) -> NDArray[np.float32]:
    low, high = sigmas
    band: NDArray[np.float32] = cv2.GaussianBlur(picture, (0, 0), low) - cv2.GaussianBlur(
        picture, (0, 0), high
    )
    return band


def _agreement(
    a: NDArray[np.float32], b: NDArray[np.float32], both: NDArray[np.uint8],
    sigmas: tuple[float, float], cv2: Any,
) -> float:  # fmt: skip
    """Mean local correlation of band-passed pictures over `both`."""
    weight = both.astype(np.float32)

    def blurred(picture: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
        # Normalised, so that the fill outside the overlap does not leak in.
        inside = cv2.GaussianBlur(weight, (0, 0), sigma)
        smooth: NDArray[np.float32] = cv2.GaussianBlur(picture * weight, (0, 0), sigma)
        even: NDArray[np.float32] = smooth / np.maximum(inside, 1e-3)
        return even

    def mean(picture: NDArray[np.float32]) -> NDArray[np.float32]:
        total: NDArray[np.float32] = cv2.boxFilter(
            picture, -1, (WINDOW, WINDOW), borderType=cv2.BORDER_CONSTANT
        )
        return total

    x = (blurred(a, sigmas[0]) - blurred(a, sigmas[1])) * weight
    y = (blurred(b, sigmas[0]) - blurred(b, sigmas[1])) * weight
    xy, xx, yy = mean(x * y), np.maximum(mean(x * x), 0), np.maximum(mean(y * y), 0)
    local = xy / np.sqrt(np.maximum(xx * yy, 1e-6))
    inside = (weight > 0) & (mean(weight) > 0.4)
    if not inside.any():
        return 0.0
    # Places that show little in both pictures count little.
    energy = np.sqrt(np.maximum(xx / (xx[inside].mean() + 1e-6), yy / (yy[inside].mean() + 1e-6)))
    share = np.minimum(energy, 1.0)[inside]
    values = local[inside]
    return float((values * share).sum() / (share.sum() + 1e-9))
