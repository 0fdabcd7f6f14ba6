"""A number without its interval or its n is not printed."""

from __future__ import annotations

import math

import pytest

from overread.errors import DataError
from overread.pages.numbers import (
    NOTHING,
    checked,
    decimal,
    estimate_html,
    estimate_n,
    estimate_text,
    percent,
)
from overread.stats.estimate import Estimate

GOOD = Estimate(0.8214, 0.743, 0.88)
OWN = Estimate(0.8214, 0.743, 0.88, 46)


@pytest.mark.parametrize(
    "estimate",
    [
        Estimate(0.8, None, None),
        Estimate(0.8, None, 0.9),
        Estimate(0.8, 0.7, math.nan),
        Estimate(math.inf, 0.7, 0.9),
    ],
)
def test_an_estimate_without_a_whole_interval_is_refused(estimate: Estimate) -> None:
    for show in (checked, estimate_text, estimate_html):
        with pytest.raises(DataError, match=r"test\.accuracy"):
            show(estimate, 120, "test.accuracy")


@pytest.mark.parametrize("n", [None, 0, -1])
def test_an_estimate_without_n_is_refused(n: int | None) -> None:
    with pytest.raises(DataError, match="number of cases"):
        estimate_html(GOOD, n, "test.accuracy")


@pytest.mark.parametrize("estimate", [None, Estimate(None, None, None, 0)])
def test_an_undefined_estimate_is_a_dash_and_no_zero(estimate: Estimate | None) -> None:
    assert checked(estimate, 0, "x") == ()
    assert estimate_text(estimate, None, "x") == NOTHING
    assert NOTHING in estimate_html(estimate, None, "x")
    assert "0" not in estimate_html(estimate, None, "x")


def test_an_estimate_shows_value_interval_and_n() -> None:
    assert estimate_text(GOOD, 120, "x") == "82.1% (74.3%–88.0%)"
    assert estimate_text(GOOD, 120, "x", share=False) == "0.821 (0.743–0.880)"
    html = estimate_html(GOOD, 1200, "x")
    assert "<b>82.1%</b>" in html and "74.3–88.0%" in html and "n=1,200" in html


def test_its_own_n_goes_before_that_of_the_split() -> None:
    assert estimate_n(OWN, 156) == 46
    assert estimate_n(GOOD, 156) == 156
    assert "n=46" in estimate_html(OWN, 156, "x")


def test_numbers_are_printed_plainly() -> None:
    assert percent(0.5, 0) == "50%" and percent(1) == "100.0%" and percent(math.nan) == NOTHING
    assert decimal(-0.25, 2) == "\N{MINUS SIGN}0.25"
