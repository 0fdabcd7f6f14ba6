"""The test figures that travel in a model file, taken from a run's metrics.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from overread.documents.bundle import ResultFigure

HEADLINES = ("accuracy", "balanced_accuracy", "macro_auroc", "macro_f1", "mcc", "nll", "brier")
OF_A_CLASS = ("sensitivity", "specificity", "precision", "npv", "auroc")


def results_of(test: Mapping[str, Any]) -> dict[str, ResultFigure]:
    """Figures of the part `test` of metrics.json by name, each with its interval and n.

    Headlines under their own names; `answered.coverage`, `answered.accuracy`; then by class
    `answered.precision.CLASS` (of the images answered so, the share that is so) and
    `sensitivity.CLASS` and its like. What has no value or no interval is left out.
    """
    kept = {}
    for name, found in _figures(test):
        if found and found["value"] is not None and found["ci95"] and None not in found["ci95"]:
            n = found.get("n", test.get("n"))
            kept[name] = ResultFigure(value=found["value"], ci95=tuple(found["ci95"]), n=n)
    return kept


def _figures(test: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    for name in HEADLINES:
        yield name, test.get(name)
    answered = test.get("answered") or {}
    for name in ("coverage", "accuracy"):
        yield f"answered.{name}", answered.get(name)
    for label, found in (answered.get("precision") or {}).items():
        yield f"answered.precision.{label}", found
    for label, row in (test.get("per_class") or {}).items():
        for name in OF_A_CLASS:
            yield f"{name}.{label}", row.get(name)
