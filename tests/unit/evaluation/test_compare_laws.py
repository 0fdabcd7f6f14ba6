"""Comparing two models: symmetry, invariance, and what pairing must find, on random tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from figures import part_of
from overread.documents.predictions import PredictionTable, decide
from overread.evaluation.compare import compare
from overread.evaluation.estimates import HEADLINES

SOME = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
SEEDS = st.integers(0, 10**6)


def two_models(seed: int, n: int = 40, *, multilabel: bool = False) -> list[PredictionTable]:
    """Two models' answers to the same images, the first of skill 2, the second of skill 1."""
    rng = np.random.default_rng(seed)
    names = ("a", "b", "c")
    truth = rng.random((n, 3)) < 0.4 if multilabel else np.eye(3, dtype=bool)[np.arange(n) % 3]
    labels = tuple("|".join(c for c, on in zip(names, row, strict=True) if on) for row in truth)
    made = []
    for skill in (2.0, 1.0):
        z = skill * truth + rng.normal(size=(n, 3)) - multilabel * skill / 2
        p = 1 / (1 + np.exp(-z)) if multilabel else np.exp(z) / np.exp(z).sum(1, keepdims=True)
        made.append(
            PredictionTable(
                names,
                tuple(f"{i:03d}.png" for i in range(n)),
                tuple(f"g{i // 2}" for i in range(n)),
                ("test",) * n,
                labels,
                decide(p, names, multilabel),
                p,
                ("answer",) * n,
                multilabel,
            )
        )
    return made


def rows(a: Any, b: Any, **options: Any) -> dict[str, Any]:
    sides = [side if isinstance(side, list) else [side] for side in (a, b)]
    return compare(*sides, resamples=60, **options).to_dict()["metrics"]


@SOME
@given(SEEDS, st.booleans())
def test_swapping_the_sides_turns_every_difference_round(seed: int, multilabel: bool) -> None:
    a, b = two_models(seed, multilabel=multilabel)
    one, two = rows(a, b), rows(b, a)
    for name in HEADLINES:
        assert one[name]["a"] == two[name]["b"] and one[name]["b"] == two[name]["a"]
        low, high = one[name]["difference"]["ci95"]
        value = one[name]["difference"]["value"]
        assert two[name]["difference"]["value"] == pytest.approx(-value, abs=1e-9)
        assert two[name]["difference"]["ci95"] == pytest.approx([-high, -low], abs=1e-9)
        assert one[name]["excludes_zero"] == two[name]["excludes_zero"] == (low > 0 or high < 0)


@SOME
@given(SEEDS, st.booleans())
def test_each_side_is_what_it_is_alone_and_the_difference_is_theirs(
    seed: int, multilabel: bool
) -> None:
    a, b = two_models(seed, multilabel=multilabel)
    found = rows(a, b)
    for side, table in (("a", a), ("b", b)):
        alone = part_of(table, 60, 0)
        for name in HEADLINES:
            assert found[name][side]["value"] == pytest.approx(alone[name]["value"], abs=1e-9)
    for name in HEADLINES:
        row = found[name]
        gap = row["a"]["value"] - row["b"]["value"]
        assert row["difference"]["value"] == pytest.approx(gap, abs=1e-8)
        low, high = row["difference"]["ci95"]
        assert low < row["difference"]["value"] < high


@SOME
@given(SEEDS)
def test_rows_and_classes_in_another_order_change_nothing(seed: int) -> None:
    a, b = two_models(seed)
    shuffled = b.rows(np.random.default_rng(seed).permutation(len(b)))
    order = [2, 0, 1]
    turned = replace(
        shuffled,
        classes=tuple(b.classes[k] for k in order),
        probabilities=shuffled.probabilities[:, order],
    )
    one, two = rows(a, b), rows(a, turned)
    for name in HEADLINES:
        for key in ("value", "ci95"):
            got, expected = two[name]["difference"][key], one[name]["difference"][key]
            assert got == pytest.approx(expected, abs=1e-9)


@SOME
@given(SEEDS)
def test_names_of_groups_say_nothing_across_runs(seed: int) -> None:
    """Two runs may both call different patients "g1": only shared images tie them."""
    a, b = two_models(seed)
    other = replace(b, groups=tuple(f"g{99 - int(g[1:])}" for g in b.groups))
    assert rows(a, b) == rows(a, other)


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_a_model_against_itself_is_no_difference_however_often_it_is_given(copies: int) -> None:
    a, _ = two_models(0)
    found = rows([a] * copies, a)
    for name in HEADLINES:
        assert found[name]["difference"]["value"] == pytest.approx(0, abs=1e-12)
        low, high = found[name]["difference"]["ci95"]
        assert low == pytest.approx(-high, abs=1e-9) and low < 0 < high
        assert not found[name]["excludes_zero"]
        if copies > 1:
            spread = found[name]["spread_a"]
            assert spread["runs"] == copies and spread["sd"] == pytest.approx(0, abs=1e-12)


def test_a_planted_better_model_is_found_with_enough_images_and_not_with_few() -> None:
    few, many = (rows(*two_models(1, n))["macro_auroc"] for n in (12, 400))
    assert not few["excludes_zero"]
    assert many["excludes_zero"] and many["difference"]["ci95"][0] > 0


def test_folds_joined_are_one_table_with_the_spread_of_the_folds() -> None:
    a, b = two_models(2, 60)
    folds = [a.rows(range(i, 60, 3)) for i in range(3)]
    joined, whole = rows(folds, b), rows(a, b)
    for name in HEADLINES:
        assert joined[name]["a"] == whole[name]["a"]
        assert joined[name]["difference"] == whole[name]["difference"]
    accuracies = [
        np.mean([x == y for x, y in zip(f.labels, f.predicted, strict=True)]) for f in folds
    ]
    spread = joined["accuracy"]["spread_a"]
    assert spread["mean"] == pytest.approx(np.mean(accuracies))
    assert spread["sd"] == pytest.approx(np.std(accuracies, ddof=1))


def test_images_of_one_side_alone_are_counted_and_left_out() -> None:
    a, b = two_models(3, 40)
    found = compare([a.rows(range(30))], [b.rows(range(10, 40))], resamples=30).to_dict()
    assert (found["n"], found["left_out"]) == (20, {"a": 10, "b": 10})
    alone = compare([a.rows(range(10, 30))], [b.rows(range(10, 30))], resamples=30).to_dict()
    assert found["metrics"] == alone["metrics"]
    # Two seeds on one side, each with an image that is not shared.
    two = compare(
        [a.rows(range(30)), a.rows(range(30))], [b.rows(range(10, 40))], resamples=30
    ).to_dict()
    assert two["left_out"] == {"a": 20, "b": 10}
    assert two["runs"] == {"a": 2, "b": 1}


def test_labels_in_another_order_are_the_same_labels() -> None:
    a, b = two_models(4, multilabel=True)
    turned = replace(b, labels=tuple("|".join(text.split("|")[::-1]) for text in b.labels))
    assert rows(a, turned) == rows(a, b)
