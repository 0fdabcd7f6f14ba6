"""Subgroups with planted differences, and how columns of a table become subgroups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from overread.documents.predictions import PredictionTable, decide
from overread.evaluation.estimates import Sample
from overread.evaluation.subgroups import MISSING, MOST_VALUES, banded, subgroups

SOME = settings(max_examples=50, deadline=None, derandomize=True)


def two_sites(good: float, bad: float, n: int = 240) -> tuple[PredictionTable, list[str]]:
    """The first half of `n` images from a site where the model is `good`, the rest `bad`."""
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 2
    skill = np.where(np.arange(n) < n // 2, good, bad)
    z = rng.normal(size=n) + skill * (truth - 0.5)
    p = 1 / (1 + np.exp(-z))
    two = np.column_stack([1 - p, p])
    names = tuple(f"{i:03d}" for i in range(n))
    labels = tuple(["no", "yes"][k] for k in truth)
    rest = ("test",) * n, labels, decide(two, ("no", "yes"), False), two, ("answer",) * n
    table = PredictionTable(("no", "yes"), names, names, *rest)
    return table, ["near" if i < n // 2 else "far" for i in range(n)]


def test_a_planted_gap_is_flagged_from_both_sides_with_opposite_signs() -> None:
    table, site = two_sites(4.0, 0.5)
    found = subgroups(Sample.of(table), {"site": site}, resamples=200, seed=0)["site"]
    near, far = found["near"], found["far"]
    assert near.flagged and far.flagged
    gap = near.gap["macro_auroc"]
    assert gap.value > 0.2 and gap.low > 0
    other = far.gap["macro_auroc"]
    assert [other.value, other.low, other.high] == pytest.approx([-gap.value, -gap.high, -gap.low])


def test_sites_alike_are_not_flagged() -> None:
    table, site = two_sites(2.0, 2.0)
    found = subgroups(Sample.of(table), {"site": site}, resamples=200, seed=0)["site"]
    assert not found["near"].flagged and not found["far"].flagged


def test_a_large_gap_on_few_images_is_not_flagged() -> None:
    table, _ = two_sites(3.0, 3.0, 120)
    rng = np.random.default_rng(1)
    few = ["few" if i in set(rng.choice(120, 6, replace=False)) else "rest" for i in range(120)]
    found = subgroups(Sample.of(table), {"x": few}, resamples=100, seed=0)["x"]
    assert not found["few"].flagged


def test_each_subgroups_figures_are_those_of_its_rows_alone() -> None:
    table, _ = two_sites(2.0, 1.0)
    kinds = [("a", "b", "c")[i % 3] for i in range(len(table))]
    found = subgroups(Sample.of(table), {"kind": kinds}, resamples=50, seed=0)["kind"]
    for kind, row in found.items():
        inside = [i for i, k in enumerate(kinds) if k == kind]
        labels, said = ([values[i] for i in inside] for values in (table.labels, table.predicted))
        scores = table.probabilities[inside, 1]
        assert row.n == len(inside) == row.groups
        assert row.accuracy.value == pytest.approx(sk.accuracy_score(labels, said))
        balanced = sk.balanced_accuracy_score(labels, said)
        assert row.balanced_accuracy.value == pytest.approx(balanced)
        assert row.macro_auroc.value == pytest.approx(sk.roc_auc_score(labels, scores))


def test_a_subgroup_of_one_class_has_accuracy_but_no_auroc_and_no_flag() -> None:
    table, _ = two_sites(2.0, 2.0)
    kinds = ["ill" if label == "yes" else "mixed" for label in table.labels]
    found = subgroups(Sample.of(table), {"kind": kinds}, resamples=50, seed=0)["kind"]
    assert found["ill"].macro_auroc.value is None
    assert found["ill"].gap["macro_auroc"].value is None
    assert found["ill"].accuracy.value is not None
    assert not found["ill"].flagged


@pytest.mark.parametrize(("rare", "listed"), [(4, False), (5, True)])
def test_five_images_are_the_fewest_that_are_listed(rare: int, listed: bool) -> None:
    table, _ = two_sites(2.0, 2.0, 60)
    column = ["rare"] * rare + ["usual"] * (60 - rare)
    found = subgroups(Sample.of(table), {"x": column}, resamples=20, seed=0)["x"]
    assert ("rare" in found) == listed
    assert "usual" in found


@pytest.mark.parametrize(("kinds", "listed"), [(MOST_VALUES, True), (MOST_VALUES + 1, False)])
def test_a_column_of_many_words_is_no_subgroup(kinds: int, listed: bool) -> None:
    table, _ = two_sites(2.0, 2.0, 130)
    column = [f"word {i % kinds}" for i in range(130)]
    found = subgroups(Sample.of(table), {"x": column}, resamples=20, seed=0)
    assert ("x" in found) == listed


@SOME
@given(
    st.lists(st.integers(0, 10**9), min_size=MOST_VALUES + 1, max_size=60, unique=True),
    st.integers(0, 5),
)
def test_thirds_part_the_numbers_in_order_and_evenly(numbers: list[int], missing: int) -> None:
    texts = [str(n) for n in numbers] + [""] * missing
    bands = banded(texts)
    assert bands.count(MISSING) == missing
    ends = {}
    for number, band in zip(numbers, bands, strict=False):
        low, high = (int(end) for end in band.split(" to "))
        assert low <= number <= high
        ends[band] = (low, high)
    assert len(ends) == 3
    (_, a), (b, c), (d, _) = sorted(ends.values())
    assert a < b <= c < d, "bands do not overlap"
    sizes = [bands.count(band) for band in ends]
    assert max(sizes) - min(sizes) <= 2


@pytest.mark.parametrize(
    "numbers",
    [
        range(20230101, 20230131),  # dates of a study: eight digits
        range(1_000_001, 1_000_040),
        [-3_000_000 + i for i in range(30)],
    ],
    ids=["dates", "numbers", "negative"],
)
def test_numbers_of_many_digits_are_not_rounded_into_one_band(numbers: Sequence[int]) -> None:
    bands = banded([str(n) for n in numbers])
    assert len(set(bands)) == 3
    assert bands[0].startswith(f"{numbers[0]} to ")
    assert bands[-1].endswith(f" to {numbers[-1]}")


def test_numbers_with_decimals_are_shown_short() -> None:
    bands = banded([f"{20 + i * 1.123456789:.9f}" for i in range(30)])
    assert len(set(bands)) == 3
    assert all(len(band) < 20 for band in bands)


def test_words_among_numbers_are_not_cut() -> None:
    texts = [str(i) for i in range(40)] + ["unknown"]
    assert banded(texts) == texts
    assert banded(["inf", *map(str, range(40))])[0] == "inf", "infinity is no number to cut at"


@SOME
@given(st.lists(st.sampled_from(["", "m", "f", "x"]), min_size=1, max_size=30))
def test_few_words_stay_as_they_are_and_nothing_is_called_missing_else(texts: list[str]) -> None:
    assert banded(texts) == [text or MISSING for text in texts]


def test_mostly_equal_numbers_still_give_bands_that_hold_them() -> None:
    texts = ["0"] * 50 + [str(i) for i in range(1, 15)]
    for text, band in zip(texts, banded(texts), strict=True):
        low, high = map(int, band.split(" to "))
        assert low <= int(text) <= high
