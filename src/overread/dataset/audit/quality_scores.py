"""Quality of single images: a score for each, from its measurements. Thresholds are in `checks`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overread.dataset.audit.measure import Scalars

Scores = NDArray[np.float64]


def spread(facts: Sequence[Scalars]) -> Scores:
    """(n,) standard deviation of brightness, 0 to 255; near 0 is blank."""
    return np.array([f.spread for f in facts])


def relative_sharpness(facts: Sequence[Scalars]) -> Scores:
    """(n,) sharpness over the data set's median; blank images count as sharp, they are not blurred.

    Relative, because an X-ray is smoother than a skin photograph however good it is.
    """
    values = np.array([f.sharpness for f in facts])
    blank = np.array([f.spread < 2 for f in facts])
    median = float(np.median(values[~blank])) if (~blank).any() else 0.0
    return np.where(blank, 1.0, values / median if median > 0 else 1.0)


def darkest(facts: Sequence[Scalars]) -> Scores:
    """(n,) 5th percentile of brightness: high where nothing is dark any more."""
    return np.array([f.dark if f.spread >= 2 else 0.0 for f in facts])


def brightest(facts: Sequence[Scalars]) -> Scores:
    """(n,) 95th percentile of brightness: low where nothing is bright."""
    return np.array([f.bright if f.spread >= 2 else 255.0 for f in facts])


def side_over_least(facts: Sequence[Scalars]) -> Scores:
    """(n,) shorter side over the least accepted: a quarter of the median, and 16 pixels at least.

    Relative, because data sets of 28 x 28 images exist and are meant so.
    """
    sides = np.array([min(f.width, f.height) for f in facts], dtype=np.float64)
    return sides / max(16.0, float(np.median(sides)) / 4)


def aspect(facts: Sequence[Scalars]) -> Scores:
    """(n,) longer side over shorter side."""
    return np.array([max(f.width, f.height) / min(f.width, f.height) for f in facts])


def grey_band(facts: Sequence[Scalars]) -> Scores:
    """(n,) share of rows at the lower edge lost to flat mid-grey; blank images count as whole."""
    return np.array([f.grey_band if f.spread >= 2 else 0.0 for f in facts])


def text(facts: Sequence[Scalars]) -> Scores:
    """(n,) letters in the longest row of letter-like shapes."""
    return np.array([f.text for f in facts], dtype=np.float64)


def marks(facts: Sequence[Scalars]) -> Scores:
    """(n,) share of strongly coloured pixels in an otherwise grey image; 1 with a single L or R."""
    return np.array([1.0 if f.side_letters else f.coloured for f in facts])
