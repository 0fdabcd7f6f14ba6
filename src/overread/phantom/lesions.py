"""Lesion shapes after the BI-RADS descriptors: smooth and wide, or irregular and shadowing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter


@dataclass(frozen=True)
class LesionKind:
    """Ranges from which the lesions of a class are drawn."""

    wider_than_tall: tuple[float, float]
    lobulation: tuple[float, float]
    spiculation: tuple[float, float]
    contrast_db: tuple[float, float]
    behind_db: tuple[float, float]
    edge_px: tuple[float, float]


# The ranges overlap on purpose: a reader, and a model, should be right often but not always.
KINDS: dict[str, LesionKind] = {
    "benign": LesionKind((1.1, 1.7), (0.02, 0.12), (0.0, 0.03), (-20, -11), (0, 6), (0.6, 1.4)),
    "malignant": LesionKind((0.7, 1.2), (0.08, 0.2), (0.04, 0.14), (-18, -9), (-9, 1), (1.2, 2.6)),
}


@dataclass(frozen=True)
class Lesion:
    """A lesion in a picture: its mask and how it changes the echo, both (height, width)."""

    mask: NDArray[np.bool_]
    echo_db: NDArray[np.float64]


def draw_lesion(kind: LesionKind, height: int, width: int, rng: np.random.Generator) -> Lesion:
    """One lesion of a kind at a random place, with shadow or enhancement behind it."""
    radius = rng.uniform(0.13, 0.24) * min(height, width)
    centre_y = rng.uniform(0.32, 0.6) * height
    centre_x = rng.uniform(0.28, 0.72) * width
    stretch = np.sqrt(rng.uniform(*kind.wider_than_tall))
    y, x = np.mgrid[:height, :width]
    dy, dx = (y - centre_y) * stretch, (x - centre_x) / stretch
    outline = radius * _outline(np.arctan2(dy, dx), kind, rng)
    mask = np.hypot(dy, dx) < outline
    body = gaussian_filter(mask.astype(float), rng.uniform(*kind.edge_px))
    behind = np.maximum.accumulate(mask, axis=0) & ~mask
    behind_soft = gaussian_filter(behind.astype(float), (1.0, 3.0))
    echo = rng.uniform(*kind.contrast_db) * body + rng.uniform(*kind.behind_db) * behind_soft
    return Lesion(mask, echo)


def _outline(
    angle: NDArray[np.float64], kind: LesionKind, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Relative radius at each angle: a few slow waves (lobes) and many fast ones (spicules)."""
    radius = np.ones_like(angle)
    for waves, strength in ((range(2, 5), kind.lobulation), (range(7, 16), kind.spiculation)):
        for n in waves:
            amplitude = rng.uniform(*strength) / np.sqrt(len(waves)) * 1.4
            radius += amplitude * np.cos(n * angle + rng.uniform(0, 2 * np.pi))
    return radius
