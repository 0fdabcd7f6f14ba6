"""Drift figures against values worked out by hand: exact tests from binomial coefficients, closed
forms of exact intervals, ranks counted one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from drift_cases import START, case, only
from overread.documents.bundle import ResultFigure
from overread.serve.case_log.drift import (
    ALPHA,
    DISTANCE,
    Change,
    WeeklyValues,
    find_change,
    mean_of,
    share_of,
)
from overread.serve.case_log.drift_words import sentences, table, to_dict
from tiny_bundle import info

MONDAY = START.date()


def series(name: str, *weeks: Sequence[float]) -> WeeklyValues:
    """A measure with these values in weeks that follow each other."""
    ordinals = [MONDAY.toordinal() + 7 * k for k, values in enumerate(weeks) for _ in values]
    return WeeklyValues(name, np.array(ordinals), np.array([v for values in weeks for v in values]))


def hits(count: int, n: int) -> list[float]:
    return [1.0] * count + [0.0] * (n - count)


def fisher(a: int, n: int, b: int, m: int) -> float:
    """Two-sided p of a hits in n against b in m: all tables as likely as this one, or less."""
    whole = math.comb(n + m, a + b)

    def chance(k: int) -> int:
        return math.comb(n, k) * math.comb(m, a + b - k)

    tables = range(max(0, a + b - m), min(n, a + b) + 1)
    return sum(chance(k) for k in tables if chance(k) <= chance(a)) / whole


def mann_whitney(before: Sequence[float], now: Sequence[float]) -> float:
    """Two-sided p by the normal law, with the corrections for ties and for continuity."""
    n, m = len(before), len(now)
    u = sum((x > y) + 0.5 * (x == y) for x in before for y in now)
    both = [*before, *now]
    ties = sum(both.count(v) ** 3 - both.count(v) for v in set(both))
    spread = math.sqrt(n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1))))
    return math.erfc((abs(u - n * m / 2) - 0.5) / spread / math.sqrt(2))


@pytest.mark.parametrize(("a", "n", "b", "m"), [(0, 30, 12, 30), (2, 50, 20, 40), (25, 25, 5, 30)])
def test_the_p_of_a_share_is_fishers_times_the_comparisons(a: int, n: int, b: int, m: int) -> None:
    change = find_change(series("rejected", hits(a, n), hits(b, m)), comparisons=3)
    assert change is not None
    assert change.p == pytest.approx(3 * fisher(a, n, b, m), rel=1e-9)
    assert (change.before.value, change.now.value) == (a / n, b / m)
    assert change.since == MONDAY + timedelta(weeks=1)


def test_the_p_of_the_distance_is_that_of_ranks_and_not_of_means() -> None:
    before = [float(k % 8) for k in range(40)]
    now = [float(k % 8) + 3 for k in range(24)] + [1000.0]  # one wild value moves no rank further
    change = find_change(series(DISTANCE, before, now), comparisons=2)
    assert change is not None
    assert change.p == pytest.approx(2 * mann_whitney(before, now), rel=1e-9)


def test_looking_more_often_asks_for_more() -> None:
    weeks = hits(2, 40), hits(12, 40)
    p = fisher(2, 40, 12, 40)
    enough = int(ALPHA / p)
    assert enough >= 1
    assert find_change(series("rejected", *weeks), comparisons=enough) is not None
    assert find_change(series("rejected", *weeks), comparisons=enough + 1) is None


def test_the_beginning_is_where_most_is_explained() -> None:
    """30 a week: 1, 1, 1, 14, 15 rejected. A start in week 3 or 4 would explain less."""
    change = find_change(series("rejected", *(hits(k, 30) for k in (1, 1, 1, 14, 15))))
    assert isinstance(change, Change)
    assert change.since == MONDAY + timedelta(weeks=3)
    assert (change.before.value, change.before.n) == (3 / 90, 90)
    assert (change.now.value, change.now.n) == (29 / 60, 60)


def test_weeks_before_there_are_twenty_images_are_joined_and_not_tried() -> None:
    """A change after 10 images is there from the first week, and is told from the second on."""
    change = find_change(series("rejected", hits(0, 10), hits(6, 12), hits(30, 30)))
    assert change is not None
    assert change.since == MONDAY + timedelta(weeks=2)
    assert change.before.n == 22


@pytest.mark.parametrize(("now", "told"), [(600, False), (608, True)])
def test_less_than_five_points_is_no_change_however_sure(now: int, told: bool) -> None:
    """Of 4,000 each: 10 % before, and 15 % less a hair or a hair more."""
    before, later = hits(400, 4000), hits(now - (not told), 4000)
    assert fisher(400, 4000, now - (not told), 4000) < 1e-6
    assert (find_change(series("rejected", before, later)) is not None) is told


def test_less_than_a_quarter_of_a_spread_is_no_change_of_distance() -> None:
    before = [0.0, 2.0] * 2000  # mean 1, standard deviation 1
    for shift, told in ((0.24, False), (0.26, True)):
        later = [value + shift for value in before]
        assert mann_whitney(before[:200], later[:200]) < 1
        assert (find_change(series(DISTANCE, before, later)) is not None) is told


@pytest.mark.parametrize("n", [1, 5, 20, 100])
def test_exact_intervals_at_none_and_all_have_a_closed_form(n: int) -> None:
    none, everything = share_of(0, n), share_of(n, n)
    bound = 0.025 ** (1 / n)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(1 - bound)
    assert (everything.value, everything.high) == (1, 1)
    assert everything.low == pytest.approx(bound)


def test_exact_bounds_leave_a_fortieth_on_either_side() -> None:
    found = share_of(7, 30)
    assert found.low is not None and found.high is not None

    def at_least(k: int, p: float) -> float:
        return sum(math.comb(30, i) * p**i * (1 - p) ** (30 - i) for i in range(k, 31))

    assert at_least(7, found.low) == pytest.approx(0.025)
    assert 1 - at_least(8, found.high) == pytest.approx(0.025)


def test_a_mean_of_four_has_students_interval() -> None:
    found = mean_of(np.array([1.0, 2.0, 3.0, 6.0]))
    spread = math.sqrt((4 + 1 + 0 + 9) / 3)
    half = 3.182446305 * spread / 2  # t with 3 degrees of freedom, from the table
    assert found.value == 3
    assert (found.low, found.high) == (pytest.approx(3 - half), pytest.approx(3 + half))
    assert found.n == 4


def test_weeks_and_measures_are_counted_as_on_paper() -> None:
    cases = [
        case(1, 0, ood_score=1.0),
        case(2, 0, status="refer", predicted="malignant", ood_score=3.0),
        case(3, 0, status="reject", predicted=None, ood_score=8.0),
        case(4, 2, predicted="malignant", reading="malignant"),
        case(5, 2, predicted="malignant", reading="benign"),
        case(5, 2, predicted="malignant"),  # sent again
    ]
    rows = to_dict(only(cases))["weeks"]
    assert [row["week"] for row in rows] == ["2026-03-02", "2026-03-16"]
    paper = {
        "answered": [(1 / 3, 3), (1, 2)],
        "referred": [(1 / 3, 3), (0, 2)],
        "rejected": [(1 / 3, 3), (0, 2)],
        "predicted benign": [(1 / 2, 2), (0, 2)],
        "predicted malignant": [(1 / 2, 2), (1, 2)],
        "distance": [(4, 3), (None, 0)],
        "agreement": [(None, 0), (1 / 2, 2)],
    }
    for name, figures in paper.items():
        for row, (value, n) in zip(rows, figures, strict=True):
            assert row[name]["n"] == n
            assert row[name]["value"] == pytest.approx(value, abs=1e-9), name
    assert set(rows[0]) == {"week", *paper}


def test_the_week_of_a_sunday_is_the_monday_before_also_over_new_year() -> None:
    times = ["2026-12-31T23:59:59", "2027-01-03T23:59:59", "2027-01-04T00:00:00"]
    cases = [
        case(n, time=datetime.fromisoformat(text).replace(tzinfo=UTC))
        for n, text in enumerate(times)
    ]
    found = only(cases)
    assert found.weeks == (date(2026, 12, 28), date(2027, 1, 4))


def test_several_findings_are_a_set_whatever_order_a_clinician_writes() -> None:
    label = "nodule|effusion"
    read = ["effusion|nodule", "nodule|effusion", "nodule", "nodule|effusion|mass"]
    cases = [case(n, predicted=label, reading=said) for n, said in enumerate(read)]
    assert only(cases).series["agreement"].values.tolist() == [1, 1, 0, 0]


def test_what_is_looked_at_is_counted_in_weeks_and_measures() -> None:
    """Six measures (three kinds of answer, one label, distance, agreement) in 3 weeks: 12 looks."""
    cases = [
        case(100 * week + n, week, status="reject" if n < bad else "answer")
        for week, bad in enumerate((1, 1, 12))
        for n in range(30)
    ]
    change = {one.measure: one for one in only(cases).changes}["rejected"]
    assert change.p == pytest.approx(12 * fisher(2, 60, 12, 30), rel=1e-9)
    assert change.since == date(2026, 3, 16)


@pytest.mark.parametrize(
    ("coverage", "low", "high", "differs"),
    [(0.5, 0.45, 0.55, True), (0.74, 0.6, 0.76, False), (0.80, 0.72, 0.85, False)],
)
def test_beside_its_own_test_only_intervals_apart_and_five_points_differ(
    coverage: float, low: float, high: float, differs: bool
) -> None:
    cases = [case(n, status="answer" if n < 700 else "refer") for n in range(1000)]
    figures = {"answered.coverage": ResultFigure(value=coverage, ci95=(low, high), n=400)}
    found = only(cases, models={"a" * 64: info(results=figures)})
    (answered,) = found.against
    assert (answered.measure, answered.here.value) == ("answered", 0.7)
    assert answered.differs is differs
    document = to_dict(found)["against_own_test"][0]
    assert document["own_test"] == {"value": coverage, "ci95": [low, high], "n": 400}
    assert document["differs"] is differs


def test_apart_by_less_than_five_points_is_the_same() -> None:
    cases = [case(n, status="answer" if n < 18_000 else "refer") for n in range(20_000)]
    figures = {"answered.coverage": ResultFigure(value=0.94, ci95=(0.935, 0.945), n=9000)}
    (answered,) = only(cases, models={"a" * 64: info(results=figures)}).against
    assert answered.here.high is not None and answered.here.high < 0.935
    assert not answered.differs


def test_sentences_round_small_shares_finer_and_name_the_numbers() -> None:
    cases = [
        case(100 * week + n, week, status="reject" if n < bad else "answer", predicted=None)
        for week, bad in enumerate((1, 20))
        for n in range(40)
    ]
    (said,) = [one for one in sentences(only(cases)) if "rejected" in one]
    # 1 of 40: Clopper and Pearson 0.06 to 13.16 %; 20 of 40: 33.80 to 66.20 %.
    assert said == (
        "Since 2026-03-09 the share of rejected images is 50 % (95 % interval 34 to 66 %, n = 40); "
        "before, 2.5 % (95 % interval 0.1 to 13 %, n = 40)."
    )


def test_the_table_lines_up_under_long_class_names() -> None:
    cases = [case(n, n % 2, predicted="a very long name of a class") for n in range(6)]
    lines = list(table(only(cases)))
    assert len({len(line) for line in lines}) == 1
    column = lines[0].index("predicted a very long name of a class")
    assert all("100 %" in line[column : column + 37] for line in lines[1:])
