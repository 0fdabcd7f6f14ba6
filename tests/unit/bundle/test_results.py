"""Which test figures a model file carries."""

from __future__ import annotations

from typing import Any

from figures import split_of
from overread.bundle.results import results_of
from overread.documents.bundle import ResultFigure


def figure(value: float | None, n: int | None = None) -> dict[str, Any]:
    ends = [None, None] if value is None else [value - 0.1, value + 0.1]
    return {"value": value, "ci95": ends} | ({} if n is None else {"n": n})


def test_each_figure_keeps_its_interval_and_its_own_n() -> None:
    test = {
        "n": 90,
        "accuracy": figure(0.8, 90),
        "macro_auroc": figure(0.7),
        "answered": {
            "coverage": figure(0.5, 90),
            "accuracy": figure(0.9, 45),
            "precision": {"a.b": figure(0.85, 40), "c": figure(None)},
        },
        "per_class": {"a.b": {"n": 50, "sensitivity": figure(0.6, 50), "auroc": figure(0.7)}},
    }
    found = results_of(split_of(test))
    assert set(found) == {
        "accuracy",
        "macro_auroc",
        "answered.coverage",
        "answered.accuracy",
        "answered.precision.a.b",
        "sensitivity.a.b",
        "auroc.a.b",
    }
    assert found["answered.precision.a.b"] == ResultFigure(value=0.85, ci95=(0.75, 0.95), n=40)
    assert found["macro_auroc"].n == found["auroc.a.b"].n == 90


def test_nothing_is_made_up_for_a_document_that_has_no_figures() -> None:
    assert results_of(split_of({"n": 3})) == {}
