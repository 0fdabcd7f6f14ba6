"""Ratios that may be 0/0: NaN here, null in files, never a zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ratio(part: Floats, whole: Floats) -> Floats:
    """`part / whole`, NaN where `whole` is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    out: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)
    return out


def defined_mean(values: Floats) -> Floats:
    """Mean over the last axis of what is defined; NaN where nothing is."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))
