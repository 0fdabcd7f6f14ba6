"""The test figures that travel in a model file, taken from a run's metrics.json."""

from __future__ import annotations

from collections.abc import Iterator

from overread.documents.bundle import ResultFigure
from overread.documents.metrics import AnsweredMetrics, SplitMetrics
from overread.stats.estimate import Estimate as Figure

HEADLINES = ("accuracy", "balanced_accuracy", "macro_auroc", "macro_f1", "mcc", "nll", "brier")
OF_A_CLASS = ("sensitivity", "specificity", "precision", "npv", "auroc")


def results_of(test: SplitMetrics | None) -> dict[str, ResultFigure]:
    """Figures of the split `test` of metrics.json by name, each with its interval and n.

    Headlines under their own names; `answered.coverage`, `answered.accuracy`; then by class
    `answered.precision.CLASS` (of the images answered so, the share that is so) and
    `sensitivity.CLASS` and its like. What has no value or no interval is left out.
    """
    kept = {}
    part = test or SplitMetrics()
    for name, found in _figures(part):
        if found is None or found.value is None or found.low is None or found.high is None:
            continue
        n = part.n if found.n is None else found.n
        kept[name] = ResultFigure(value=found.value, ci95=(found.low, found.high), n=n)
    return kept


def _figures(test: SplitMetrics) -> Iterator[tuple[str, Figure | None]]:
    for name in HEADLINES:
        yield name, getattr(test, name)
    answered = test.answered or AnsweredMetrics()
    yield "answered.coverage", answered.coverage
    yield "answered.accuracy", answered.accuracy
    for label, found in answered.precision.items():
        yield f"answered.precision.{label}", found
    for label, row in test.per_class.items():
        for name in OF_A_CLASS:
            yield f"{name}.{label}", getattr(row, name)
