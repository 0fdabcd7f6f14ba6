"""What a comparison of two runs gives: both sides' figures and their paired differences."""

from __future__ import annotations

from typing import Any

from overread.documents.document import Part
from overread.documents.metrics import IntervalMethod
from overread.stats.estimate import Estimate


class RunSpread(Part):
    """How one figure varies over a side's runs (seeds or folds)."""

    runs: int
    mean: float | None = None
    sd: float | None = None
    range: tuple[float | None, float | None] = (None, None)


class ComparedMetric(Part):
    """One figure of both sides and a - b, each with its interval."""

    a: Estimate
    b: Estimate
    difference: Estimate
    excludes_zero: bool
    spread_a: RunSpread | None = None
    spread_b: RunSpread | None = None


class Comparison(Part):
    """Two sides on the images that both have judged."""

    n: int
    groups: int
    left_out: dict[str, int]
    runs: dict[str, int]
    metrics: dict[str, ComparedMetric]
    method: IntervalMethod

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-ready dict; a spread only where a side has several runs."""
        return self.model_dump(mode="json", exclude_unset=True)
