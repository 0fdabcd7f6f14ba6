"""The area under risk and coverage: by hand, by group, and what its interval must keep to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overread.evaluation.selective import Bools, Floats, risk_area
from overread.stats.estimate import Estimate
from overread.stats.resample import group_rows


def area(confidence: Floats, right: Bools, groups: list[str] | None = None) -> Estimate:
    names = groups or [str(number) for number in range(len(right))]
    return risk_area(confidence, right, group_rows(names), resamples=400, seed=0)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_the_area_is_the_mean_risk_over_coverages(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    sure, right = rng.integers(0, levels, 30) / levels, rng.random(30) < 0.7
    wanted, before = 0.0, 0
    for cut in sorted(set(sure.tolist()), reverse=True):
        answered = sure >= cut
        wanted += float((~right)[answered].mean()) * (int(answered.sum()) - before) / 30
        before = int(answered.sum())
    assert area(sure, right).value == pytest.approx(wanted, abs=1e-12)


def test_a_confidence_that_knows_its_errors_has_the_smallest_area() -> None:
    right = np.arange(20) < 15
    spread = np.linspace(0, 0.1, 20)
    knows, fooled = area(right + spread, right), area(~right + spread, right)
    random = area(np.random.default_rng(0).random(20), right)
    assert knows.value is not None and random.value is not None and fooled.value is not None
    assert knows.value < random.value < fooled.value
    # Errors last: risk 0 for 15 images, then 1/16 ... 5/20.
    assert knows.value == pytest.approx(sum(k / (15 + k) for k in range(1, 6)) / 20)


@pytest.mark.parametrize(("right", "value"), [(True, 0.0), (False, 1.0)])
def test_a_small_sample_without_an_error_leaves_room_for_one(right: bool, value: float) -> None:
    found = area(np.linspace(0, 1, 12), np.full(12, right))
    assert found.value == value and found.low is not None and found.high is not None
    assert 0.0 <= found.low < found.high <= 1.0
    assert found.high - found.low > 0.1


def test_images_of_one_patient_make_the_interval_no_narrower() -> None:
    rng = np.random.default_rng(1)
    sure, right = np.repeat(rng.random(40), 5), np.repeat(rng.random(40) < 0.7, 5)
    patients = [str(number // 5) for number in range(200)]
    single, grouped = area(sure, right), area(sure, right, patients)
    assert single.value == grouped.value
    assert single.low is not None and single.high is not None
    assert grouped.low is not None and grouped.high is not None
    assert grouped.high - grouped.low > 1.5 * (single.high - single.low)


@pytest.mark.statistical
def test_its_interval_holds_the_truth_as_often_as_it_says() -> None:
    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Bools]:
        sure = rng.beta(4, 2, n)
        return sure, rng.random(n) < sure

    truth = area(*draw(np.random.default_rng(99), 50_000)).value
    assert truth is not None
    for n in (45, 156):
        hits = 0
        for seed in range(300):
            found = area(*draw(np.random.default_rng([n, seed]), n))
            assert found.low is not None and found.high is not None
            hits += found.low <= truth <= found.high
        assert 0.93 - 0.025 <= hits / 300 <= 0.97 + 0.02, (n, hits / 300)
