"""Intervals stay in their range, never vanish, and widen with clustering."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from overread.stats.effective_size import EffectiveSizes, auroc_cases
from overread.stats.estimate import Estimate, tidy
from overread.stats.intervals import bounded, design_effect, proportion, score_interval
from overread.stats.resample import group_rows

ONES = np.ones(20)


def test_the_score_interval_is_wilsons() -> None:
    for hits, n in ((0, 10), (7, 10), (10, 10), (83, 100)):
        expected = binomtest(hits, n).proportion_ci(method="wilson")
        assert score_interval(hits / n, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(1, 500), st.data())
def test_a_proportion_lies_in_its_interval_inside_0_and_1(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    low, high = score_interval(hits / n, n)
    assert 0 <= low <= hits / n <= high <= 1
    assert high > low


def test_a_perfect_small_sample_has_a_wide_interval_that_ends_at_1() -> None:
    found = proportion(ONES[:10], ONES[:10])
    assert found.value == 1.0
    assert found.high == 1.0
    assert 0.69 < found.low < 0.75  # Wilson: 10 / (10 + 1.96^2)
    assert found.n == 10


def test_nothing_counted_is_undefined() -> None:
    found = proportion(np.zeros(3), np.zeros(3))
    assert found.to_dict() == {"value": None, "ci95": [None, None], "n": 0}


def test_images_of_one_patient_count_for_less() -> None:
    right = np.arange(20) % 4 != 0
    single = proportion(right.astype(float), ONES)
    # The same images; those of a patient all right or all wrong.
    clustered = proportion(np.array([4.0, 4, 4, 3, 0]), np.full(5, 4.0))
    assert single.value == clustered.value == 0.75
    assert clustered.low < single.low
    assert clustered.high > single.high


def test_design_effect_of_copies_is_near_their_number_and_of_independent_images_near_1() -> None:
    rng = np.random.default_rng(0)
    patients = rng.random(4000) < 0.8
    assert design_effect(4.0 * patients, np.full(4000, 4.0)) == pytest.approx(4, rel=0.1)
    mixed = (rng.random((4000, 4)) < 0.8).sum(axis=1).astype(float)
    assert design_effect(mixed, np.full(4000, 4.0)) == pytest.approx(1, abs=0.1)


def test_a_perfect_sample_is_no_proof_that_images_are_independent() -> None:
    assert design_effect(np.full(6, 5.0), np.full(6, 5.0)) > 2
    clustered = proportion(np.full(6, 5.0), np.full(6, 5.0))
    assert clustered.low < proportion(np.ones(30), np.ones(30)).low


@given(
    st.floats(0, 1),
    st.floats(0, 0.5),
    st.integers(2, 300),
    st.floats(1, 1000),
    st.sampled_from([0.0, -1.0]),
)
def test_a_bounded_statistic_stays_in_range_and_has_a_width(
    value: float, spread: float, groups: int, most: float, low: float
) -> None:
    drawn = value + spread * np.linspace(-1, 1, 50)
    found = bounded(value, drawn, groups=groups, most=most, low=low)
    assert low - 1e-12 <= found.low <= value + 1e-9
    assert value - 1e-9 <= found.high <= 1 + 1e-12
    assert found.high > found.low


def test_a_perfect_auroc_is_as_wide_as_the_cases_allow() -> None:
    def perfect(cases: float) -> Estimate:
        return bounded(1.0, np.ones(100), groups=50, most=cases)

    assert perfect(20.0).low < perfect(200.0).low < 1
    assert perfect(20.0).high == 1.0


def test_mostly_undefined_resamples_give_no_interval() -> None:
    drawn = np.where(np.arange(10) < 3, 0.5, np.nan)
    assert bounded(0.5, drawn, groups=5, most=5).value is None


def test_cases_of_an_auroc_are_about_four_times_the_smaller_side() -> None:
    cases = auroc_cases(np.array([50.0, 5.0, 0.0]), np.array([50.0, 500.0, 10.0]))
    assert cases == pytest.approx([4 * 50 * 50 / 51, 4 * 5 * 500 / 501, 0])


def test_limits_discount_groups() -> None:
    truth = np.eye(2, dtype=bool)[np.arange(40) % 2]
    right = np.repeat(np.arange(10) < 8, 4)
    single = EffectiveSizes.of(truth, right, group_rows([str(i) for i in range(40)]))
    grouped = EffectiveSizes.of(truth, right, group_rows([str(i // 4) for i in range(40)]))
    assert single.n == 40
    assert 9 < grouped.n < 16
    assert (grouped.ranked / single.ranked < grouped.decided / single.decided).all()
    assert single.balanced == pytest.approx(40)


def test_numbers_in_files_are_finite_and_rounded() -> None:
    assert tidy(float("nan")) is None
    assert tidy(None) is None
    assert tidy(0.1 + 0.2) == 0.3
    assert str(tidy(-1e-15)) == "0.0"
    assert Estimate(0.5, 0.25, 0.75, 9).to_dict() == {"value": 0.5, "ci95": [0.25, 0.75], "n": 9}
