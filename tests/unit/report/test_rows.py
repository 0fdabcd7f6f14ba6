"""The rows of the report's tables, from numbers that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from figures import split_of
from overread.documents.audit import ShortcutProbe
from overread.documents.certificate import Certificate
from overread.documents.metrics import LeakPrice, SplitMetrics
from overread.errors import DataError
from overread.report.rows import (
    abstention,
    class_rates,
    class_tables,
    matrix_rows,
    mistake_pictures,
    price_rows,
    probe_rows,
    settings,
    split_table,
    subgroup_rows,
)
from overread.report.run_files import Mistake
from overread.report.view import ClassRates, SplitTable
from overread.stats.estimate import Estimate


def estimate(value: float, n: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"value": value, "ci95": [value - 0.1, value + 0.1]}
    return found if n is None else {**found, "n": n}


def test_abstention_counts_the_answered() -> None:
    part = {"n": 40, "answered": {"coverage": estimate(0.75, 40), "accuracy": estimate(0.8, 30)}}
    found = abstention(split_of(part))
    assert found and (found.given, found.all) == (30, False)
    assert abstention(split_of({"n": 40})) is None
    with pytest.raises(DataError, match="coverage"):
        abstention(split_of({"n": 40, "answered": {"coverage": {"value": 0.75}}}))


def test_cells_are_shares_of_their_row_and_an_empty_row_is_no_error() -> None:
    part = {"per_class": {"a": {}, "b": {}}, "confusion": [[3, 1], [0, 0]]}
    rows = [(row.name, row.cells, row.total) for row in matrix_rows(split_of(part))]
    assert rows == [("a", ((3, 0.75), (1, 0.25)), 4), ("b", ((0, 0.0), (0, 0.0)), 0)]


def test_several_labels_have_a_table_a_class() -> None:
    part = {"per_class": {"a": {}, "b": {}}, "confusion": [[[5, 1], [2, 3]], [[4, 4], [1, 2]]]}
    assert class_tables(split_of(part)) == (("a", ((5, 1), (2, 3))), ("b", ((4, 4), (1, 2))))


def test_rates_need_both_sides() -> None:
    whole = {"n": 12, "sensitivity": estimate(0.8, 12), "specificity": estimate(0.9, 28)}
    empty = {"n": 0, "sensitivity": {"value": None, "ci95": [None, None], "n": 0}}
    part = {"n": 40, "per_class": {"a": whole, "b": {**empty, "specificity": estimate(0.5, 40)}}}
    (rates,) = class_rates(split_of(part))
    assert (rates.name, rates.positive, rates.negative) == ("a", 12, 28)
    assert rates.sensitivity == pytest.approx((0.8, 0.7, 0.9))


def test_predictive_values_and_their_cautious_range() -> None:
    rates = ClassRates("a", (0.9, 0.8, 0.95), (0.8, 0.7, 0.9), 12, 28)
    ppv, npv = rates.predictive(0.1)
    assert ppv[0] == pytest.approx(0.09 / (0.09 + 0.18), abs=1e-12)
    assert npv[0] == pytest.approx(0.72 / (0.72 + 0.01), abs=1e-12)
    assert ppv[1] < ppv[0] < ppv[2] and npv[1] < npv[0] < npv[2]
    (nobody, *_), _ = ClassRates("a", (0, 0, 0), (1, 1, 1), 1, 1).predictive(0.1)
    assert np.isnan(nobody)


def test_subgroups_are_flattened_with_their_gap() -> None:
    row = {"n": 9, "macro_auroc": estimate(0.8), "gap": {"macro_auroc": estimate(-0.1)}}
    found = subgroup_rows(split_of({"subgroups": {"site": {"x": row, "y": {"n": 3}}}}))
    assert [(r.column, r.value, r.figures.n) for r in found] == [
        ("site", "x", 9),
        ("site", "y", 3),
    ]
    assert found[0].gap and found[0].gap.value == -0.1 and found[1].gap is None
    assert subgroup_rows(SplitMetrics()) == ()


def test_a_probe_uses_its_own_n_before_that_of_the_audit() -> None:
    probe = ShortcutProbe(probe="border_pixels", auroc=0.6, ci95=(0.5, 0.7), verdict="clean")
    own, shared = probe_rows([probe.model_copy(update={"n": 90}), probe], 481)
    assert (own.n, shared.n) == (90, 481)
    assert not shared.failed and (shared.estimate.low, shared.estimate.high) == (0.5, 0.7)


def test_pictures_keep_their_kind_and_those_without_are_left_out() -> None:
    jpeg, png = b"\xff\xd8\xff", b"\x89PNG"
    mistakes = [Mistake("a", "x", "y", 0.9, png, jpeg), Mistake("b", "x", "y", 0.8)]
    (shown,) = mistake_pictures(mistakes)
    assert shown.picture.startswith("data:image/png;base64,")
    assert shown.heatmap.startswith("data:image/jpeg;base64,")


def test_splits_come_in_their_usual_order_with_every_class() -> None:
    per_split = {"test": {"a": 1}, "train": {"a": 5, "b": 4}, "val": {"b": 2}}
    table = split_table(Certificate(per_split=per_split))
    assert table.classes == ("a", "b")
    assert table.rows == (("train", (5, 4)), ("val", (0, 2)), ("test", (1, 0)))
    assert split_table(Certificate()) == SplitTable()


def test_the_price_of_a_leak_has_a_row_for_what_is_known() -> None:
    price = LeakPrice(naive=Estimate(0.7, 0.6, 0.8, 30), leak_proof=Estimate(0.6, 0.5, 0.7, 28))
    found = {row.key: (row.estimate.value, row.estimate.n) for row in price_rows(price)}
    assert found == {"naive": (0.7, 30), "leak_proof": (0.6, 28)}
    assert price_rows(None) == ()


def test_settings_are_dotted_and_leave_out_what_has_its_own_place() -> None:
    plan = {
        "schema_version": 1,
        "command": "x",
        "versions": {"a": "1"},
        "reasons": ["r"],
        "recipe": {"name": "auto", "input": {"height": 224}, "versions": "kept"},
        "ratio": [7, 1, 2],
        "weights": None,
        "frozen": False,
    }
    assert dict(settings(plan)) == {
        "recipe.name": "auto",
        "recipe.input.height": "224",
        "recipe.versions": "kept",
        "ratio": "7, 1, 2",
        "frozen": "False",
    }
