"""The rows of the report's tables, from numbers that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from overread.errors import DataError
from overread.report.rows import (
    abstention,
    class_tables,
    matrix_rows,
    mistake_pictures,
    operating_points,
    predictive,
    price_rows,
    settings,
    shortcut_rows,
    split_rows,
    subgroup_rows,
)
from overread.report.run_files import Mistake


def estimate(value: float, n: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"value": value, "ci95": [value - 0.1, value + 0.1]}
    return found if n is None else {**found, "n": n}


def test_abstention_counts_the_answered() -> None:
    part = {"n": 40, "answered": {"coverage": estimate(0.75, 40), "accuracy": estimate(0.8, 30)}}
    found = abstention(part)
    assert found and (found["given"], found["all"]) == (30, False)
    assert abstention({"n": 40}) is None
    with pytest.raises(DataError, match="coverage"):
        abstention({"n": 40, "answered": {"coverage": {"value": 0.75}}})


def test_cells_are_shares_of_their_row_and_an_empty_row_is_no_error() -> None:
    part = {"per_class": {"a": {}, "b": {}}, "confusion": [[3, 1], [0, 0]]}
    assert matrix_rows(part) == [("a", [(3, 0.75), (1, 0.25)], 4), ("b", [(0, 0.0), (0, 0.0)], 0)]


def test_several_labels_have_a_table_a_class() -> None:
    part = {"per_class": {"a": {}, "b": {}}, "confusion": [[[5, 1], [2, 3]], [[4, 4], [1, 2]]]}
    assert class_tables(part) == (("a", [[5, 1], [2, 3]]), ("b", [[4, 4], [1, 2]]))


def test_operating_points_need_both_sides() -> None:
    whole = {"n": 12, "sensitivity": estimate(0.8, 12), "specificity": estimate(0.9, 28)}
    empty = {"n": 0, "sensitivity": {"value": None, "ci95": [None, None], "n": 0}}
    part = {"n": 40, "per_class": {"a": whole, "b": {**empty, "specificity": estimate(0.5, 40)}}}
    (point,) = operating_points(part)
    assert (point["name"], point["positive"], point["negative"]) == ("a", 12, 28)
    assert point["sensitivity"] == pytest.approx((0.8, 0.7, 0.9))


def test_predictive_values_and_their_cautious_range() -> None:
    row = {"sensitivity": (0.9, 0.8, 0.95), "specificity": (0.8, 0.7, 0.9)}
    ppv, npv = predictive(row, 0.1)
    assert ppv[0] == pytest.approx(0.09 / (0.09 + 0.18), abs=1e-12)
    assert npv[0] == pytest.approx(0.72 / (0.72 + 0.01), abs=1e-12)
    assert ppv[1] < ppv[0] < ppv[2] and npv[1] < npv[0] < npv[2]
    (nobody, *_), _ = predictive({"sensitivity": (0, 0, 0), "specificity": (1, 1, 1)}, 0.1)
    assert np.isnan(nobody)


def test_subgroups_are_flattened_with_their_gap() -> None:
    row = {"n": 9, "macro_auroc": estimate(0.8), "gap": {"macro_auroc": estimate(-0.1)}}
    found = subgroup_rows({"subgroups": {"site": {"x": row, "y": {"n": 3}}}})
    assert [(r["column"], r["value"], r["n"]) for r in found] == [
        ("site", "x", 9),
        ("site", "y", 3),
    ]
    assert found[0]["gap"]["value"] == -0.1 and found[1]["gap"] is None
    assert subgroup_rows({}) == []


def test_a_probe_uses_its_own_n_before_that_of_the_audit() -> None:
    probe = {"probe": "border_pixels", "auroc": 0.6, "ci95": [0.5, 0.7], "verdict": "Clean"}
    own, shared = shortcut_rows([{**probe, "n": 90}, probe], 481)
    assert (own["n"], shared["n"]) == (90, 481)
    assert shared["verdict"] == "clean" and shared["estimate"]["ci95"] == [0.5, 0.7]


def test_pictures_keep_their_kind_and_those_without_are_left_out() -> None:
    jpeg, png = b"\xff\xd8\xff", b"\x89PNG"
    mistakes = [Mistake("a", "x", "y", 0.9, png, jpeg), Mistake("b", "x", "y", 0.8)]
    (shown,) = mistake_pictures(mistakes)
    assert shown["picture"].startswith("data:image/png;base64,")
    assert shown["heatmap"].startswith("data:image/jpeg;base64,")


def test_parts_come_in_their_usual_order_with_every_class() -> None:
    certificate = {"per_split": {"test": {"a": 1}, "train": {"a": 5, "b": 4}, "val": {"b": 2}}}
    assert split_rows(certificate) == (
        ["a", "b"],
        [("train", [5, 4]), ("val", [0, 2]), ("test", [1, 0])],
    )
    assert split_rows(None) == ([], [])


def test_the_price_of_a_leak_from_estimates_or_whole_parts() -> None:
    whole = {"n": 30, "accuracy": estimate(0.9), "balanced_accuracy": estimate(0.7)}
    price = {"metric": "balanced_accuracy", "naive": whole, "leak_proof": estimate(0.6, 28)}
    found = {row.key: (row.estimate["value"], row.n) for row in price_rows(price)}
    assert found == {"naive": (0.7, 30), "leak_proof": (0.6, 28)}
    assert price_rows(None) == []


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
