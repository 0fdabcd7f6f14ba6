"""What must hold for any interval: nested in its level, narrower with more data, mirrored."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from overread.stats.differences import difference, excludes_zero, paired_difference
from overread.stats.effective_size import auroc_cases
from overread.stats.estimate import Estimate
from overread.stats.intervals import (
    bounded,
    design_effect,
    effective_size,
    proportion,
    score_interval,
)
from overread.stats.resample import CELLS_AT_ONCE, Groups, group_counts, group_rows

SHARES = st.floats(0, 1)
MANY = settings(max_examples=40, deadline=None, derandomize=True)
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)


@MANY
@given(SHARES, st.integers(1, 2000))
def test_a_surer_interval_holds_the_less_sure_one(value: float, n: int) -> None:
    found = [
        score_interval(value, n, quantile=float(stats.norm.ppf(0.5 + lv / 2))) for lv in LEVELS
    ]
    for (low, high), (lower, higher) in pairwise(found):
        assert lower <= low + 1e-12
        assert higher >= high - 1e-12
        assert higher - lower > high - low


@MANY
@given(SHARES, st.integers(1, 500))
def test_a_share_and_its_rest_have_mirrored_intervals(value: float, n: int) -> None:
    low, high = score_interval(value, n)
    assert score_interval(1 - value, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@MANY
@given(SHARES, st.integers(1, 500), st.integers(1, 500))
def test_more_cases_never_widen(value: float, n: int, more: int) -> None:
    low, high = score_interval(value, n)
    lower, higher = score_interval(value, n + more)
    assert higher - lower <= high - low + 1e-12


@MANY
@given(st.integers(1, 60), st.data())
def test_the_ends_are_the_shares_that_a_score_test_just_keeps(n: int, data: st.DataObject) -> None:
    """Wilson's definition: (p - end)^2 = z^2 end (1 - end) / n."""
    hits = data.draw(st.integers(0, n))
    for end in score_interval(hits / n, n):
        left = (hits / n - end) ** 2
        assert left == pytest.approx(1.959963985**2 * end * (1 - end) / n, abs=1e-9)


@MANY
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20))
def test_a_proportion_over_groups_is_that_of_all_images(pairs: list[tuple[int, int]]) -> None:
    hits = np.array([min(pair) for pair in pairs], float)
    sizes = np.array([max(pair) for pair in pairs], float)
    found = proportion(hits, sizes)
    if sizes.sum() == 0:
        assert found == Estimate(None, None, None, 0)
        return
    assert found.value == pytest.approx(hits.sum() / sizes.sum())
    assert found.n == sizes.sum()
    assert 0 <= found.low <= found.value <= found.high <= 1
    # Groups are never worth more than as many independent images.
    low, high = score_interval(found.value, found.n)
    assert found.low <= low + 1e-12 and found.high >= high - 1e-12


@MANY
@given(st.lists(st.integers(1, 6), min_size=2, max_size=20), st.integers(0, 10**6))
def test_empty_groups_and_the_order_of_groups_do_not_matter(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = np.array(sizes, float)
    hits = np.array([rng.integers(0, s + 1) for s in sizes], float)
    order = rng.permutation(len(sizes))
    padded = np.append(hits[order], [0.0, 0.0]), np.append(whole[order], [0.0, 0.0])
    assert design_effect(*padded) == pytest.approx(design_effect(hits, whole))
    assert design_effect(hits, whole) == pytest.approx(design_effect(whole - hits, whole))
    assert 0 < effective_size(hits, whole) <= whole.sum()


def test_groups_of_one_are_worth_their_number() -> None:
    hits = np.array([1.0, 0, 1, 1, 0, 1])
    assert effective_size(hits, np.ones(6)) == 6
    assert proportion(hits, np.ones(6)).low == pytest.approx(score_interval(4 / 6, 6)[0])


@MANY
@given(SHARES, st.floats(0.001, 0.3), st.integers(3, 200), st.floats(2, 500))
def test_a_bounded_statistic_and_its_mirror_image(
    value: float, spread: float, groups: int, most: float
) -> None:
    drawn = np.clip(value + spread * np.linspace(-1, 1, 41), 0, 1)
    one = bounded(value, drawn, groups=groups, most=most)
    two = bounded(1 - value, 1 - drawn, groups=groups, most=most)
    assert two.low == pytest.approx(1 - one.high, abs=1e-9)
    assert two.high == pytest.approx(1 - one.low, abs=1e-9)
    # On the scale -1..1 the same interval is twice as long.
    wide = bounded(2 * value - 1, 2 * drawn - 1, groups=groups, most=most, low=-1.0)
    assert wide.low == pytest.approx(2 * one.low - 1, abs=1e-9)
    assert wide.high == pytest.approx(2 * one.high - 1, abs=1e-9)


def test_wider_resamples_fewer_groups_and_fewer_cases_widen() -> None:
    def width(spread: float, groups: int, most: float) -> float:
        found = bounded(0.7, 0.7 + spread * np.linspace(-1, 1, 41), groups=groups, most=most)
        return found.high - found.low

    assert width(0.05, 50, 1e6) < width(0.1, 50, 1e6) < width(0.2, 50, 1e6)
    assert width(0.1, 50, 1e6) < width(0.1, 10, 1e6) < width(0.1, 3, 1e6)
    assert width(0.001, 50, 1000) < width(0.001, 50, 100) < width(0.001, 50, 10)


def test_undefined_resamples_are_left_out_of_the_spread() -> None:
    drawn = 0.6 + 0.1 * np.linspace(-1, 1, 40)
    with_holes = np.append(drawn, np.full(30, np.nan))
    one = bounded(0.6, drawn, groups=20, most=1e6)
    assert bounded(0.6, with_holes, groups=20, most=1e6) == one
    assert bounded(0.6, np.append(drawn, np.full(42, np.nan)), groups=20, most=9).value is None


@MANY
@given(st.integers(1, 40), st.integers(1, 40))
def test_cases_of_an_auroc_do_not_depend_on_which_side_is_called_positive(a: int, b: int) -> None:
    one = auroc_cases(np.array([a]), np.array([b]))
    assert one == auroc_cases(np.array([b]), np.array([a]))
    assert one[0] < 4 * min(a, b)


@MANY
@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 99))
def test_each_resample_draws_as_many_groups_as_there_are(
    groups: int, resamples: int, seed: int
) -> None:
    drawn = np.concatenate(list(group_counts(groups, resamples, seed)))
    assert drawn.shape == (resamples, groups)
    assert (drawn.sum(axis=1) == groups).all()
    assert (drawn >= 0).all() and (drawn == drawn.round()).all()
    again = np.concatenate(list(group_counts(groups, resamples, seed)))
    assert np.array_equal(drawn, again)


def test_groups_are_drawn_evenly_and_blocks_bound_the_memory() -> None:
    blocks = list(group_counts(500, 2000, 0))
    assert max(block.size for block in blocks) <= CELLS_AT_ONCE
    drawn = np.concatenate(blocks)
    assert drawn.mean(axis=0) == pytest.approx(np.ones(500), abs=0.15)
    assert drawn.var() == pytest.approx(1 - 1 / 500, abs=0.02)  # binomial
    assert not np.array_equal(drawn, np.concatenate(list(group_counts(500, 2000, 1))))


def test_sums_within_groups_are_plain_loops() -> None:
    rng = np.random.default_rng(0)
    names = [f"p{k}" for k in rng.integers(0, 7, 50)]
    rows = rng.random((50, 3))
    groups = group_rows(names)
    for code, name in enumerate(sorted(set(names))):
        inside = [i for i in range(50) if names[i] == name]
        assert groups.sum(rows)[code] == pytest.approx(rows[inside].sum(axis=0))
        assert groups.sum(rows[:, 0])[code] == pytest.approx(rows[inside, 0].sum())
    part = Groups(groups.codes[:4], groups.count)
    assert len(part.sum(np.ones(4))) == groups.count, "a part keeps the numbers of the whole"


ESTIMATES = st.tuples(SHARES, SHARES, SHARES).map(sorted).map(lambda v: Estimate(v[1], v[0], v[2]))


@MANY
@given(ESTIMATES, ESTIMATES)
def test_a_difference_turned_round_is_its_mirror_image(a: Estimate, b: Estimate) -> None:
    one, two = difference(a, b), difference(b, a)
    assert one.value == pytest.approx(-two.value)
    assert one.low == pytest.approx(-two.high)
    assert one.high == pytest.approx(-two.low)
    assert excludes_zero(one) == excludes_zero(two) or abs(one.low * one.high) < 1e-12
    assert one.low <= one.value <= one.high
    # Intervals that do not touch never give a difference that may be nothing.
    if a.low > b.high:
        assert one.low > -1e-12


@MANY
@given(ESTIMATES, ESTIMATES, st.integers(2, 60), st.floats(1, 1e4), st.integers(0, 10**6))
def test_a_paired_difference_turned_round_is_its_mirror_image(
    a: Estimate, b: Estimate, groups: int, cases: float, seed: int
) -> None:
    drawn = np.random.default_rng(seed).normal(size=30)
    shared = {"groups": groups, "cases": cases, "reach": 1.0}
    one, two = paired_difference(a, b, drawn, **shared), paired_difference(b, a, -drawn, **shared)
    assert [one.value, one.low, one.high] == pytest.approx([-two.value, -two.high, -two.low])
    assert -1 <= one.low < one.high <= 1


def test_a_bound_on_one_side_alone_does_not_exclude_nothing() -> None:
    assert not excludes_zero(Estimate(0.1, 0.0, 0.2))
    assert not excludes_zero(Estimate(-0.1, -0.2, 0.0))
    assert excludes_zero(Estimate(0.1, 1e-9, 0.2))
    assert not excludes_zero(replace(Estimate(0.1, 0.05, 0.2), low=None))
