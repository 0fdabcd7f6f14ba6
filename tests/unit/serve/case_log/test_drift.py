"""Drift: what was planted is found, with its date; where nothing was, nothing is; little is said
of little."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from scipy import stats

from drift_cases import case, only
from overread.documents.bundle import ResultFigure
from overread.serve.case_log.drift import (
    DISTANCE,
    FEWEST,
    WeeklyValues,
    find_change,
    find_drift,
    mean_of,
    share_of,
)
from overread.serve.case_log.drift_words import sentences, table, to_dict
from overread.serve.case_log.records import Case
from tiny_bundle import info


def rejected(per_week: int, shares: list[float], seed: int = 0) -> Iterator[Case]:
    """Weeks in which the share that is rejected is known."""
    rng = np.random.default_rng(seed)
    for week, share in enumerate(shares):
        for n in range(per_week):
            status = "reject" if rng.random() < share else "answer"
            yield case(1000 * week + n, week, status=status, ood_score=float(rng.gamma(2, 0.2)))


def test_a_planted_change_is_found_with_its_date_and_shares() -> None:
    found = only(rejected(50, [0.04] * 6 + [0.31] * 4))
    assert found.verdict == "drifted"
    change = {c.measure: c for c in found.changes}["rejected"]
    assert change.since == date(2026, 4, 13)
    assert change.now.n == 200
    assert change.before.n == 300
    assert change.now.low < 0.31 < change.now.high  # type: ignore[operator]
    assert change.before.low < 0.04 < change.before.high  # type: ignore[operator]
    (said,) = [s for s in sentences(found) if "rejected" in s]
    assert said.startswith("Since 2026-04-13 the share of rejected images is ")
    assert f"n = {change.now.n}" in said
    assert "95 % interval" in said


def test_without_a_change_none_is_found_in_nearly_all_of_many_logs() -> None:
    wrong = [only(rejected(40, [0.1] * 8, seed)).verdict == "drifted" for seed in range(40)]
    assert sum(wrong) <= 1  # ALPHA is 1 in 100 for a whole log


def test_it_says_how_much_could_have_gone_unseen() -> None:
    small, large = (only(rejected(n, [0.1] * 8)) for n in (20, 400))
    points = []
    for found in (small, large):
        assert found.verdict == "no change found"
        (said,) = [s for s in sentences(found) if "could have moved" in s]
        points.append(int(said.split("moved by ")[1].split()[0]))
    assert points[0] > 2 * points[1]
    assert points[1] == 5  # less is never reported


@pytest.mark.parametrize("shares", [[0.0, 1.0], [0.5]])
def test_of_few_images_nothing_is_said(shares: list[float]) -> None:
    found = only(rejected(FEWEST - 1, shares))
    assert found.verdict == "too few"
    assert found.changes == ()
    weeks = "1 week" if len(shares) == 1 else "2 weeks"
    assert sentences(found)[0].startswith(f"Too few to tell: {found.images} images in {weeks}")


def test_a_large_log_does_not_make_a_trifle_of_a_change_a_finding() -> None:
    found = only(rejected(3000, [0.10, 0.10, 0.13, 0.13]))
    assert "rejected" not in {c.measure for c in found.changes}


def test_a_change_of_distance_or_of_what_is_said_is_found() -> None:
    rng = np.random.default_rng(1)
    cases = [
        case(n, n // 40, predicted="benign" if rng.random() < (0.8, 0.4)[n >= 200] else "malignant",
             ood_score=float(rng.gamma(2, (0.2, 0.35)[n >= 200])))
        for n in range(400)
    ]  # fmt: skip
    found = only(cases)
    since = {c.measure: c.since for c in found.changes}
    assert set(since) == {"predicted benign", "predicted malignant", DISTANCE}
    assert since["predicted benign"] == date(2026, 4, 6)
    assert abs((since[DISTANCE] - date(2026, 4, 6)).days) <= 7
    assert any("mean distance from the training images is 0." in s for s in sentences(found))


def test_agreement_counts_only_what_was_read_and_answered() -> None:
    cases = [case(n, 0, reading="benign") for n in range(8)]
    cases += [case(n, 0, reading="malignant") for n in range(8, 10)]
    cases += [case(n, 0) for n in range(10, 30)]
    cases += [case(30, 0, status="reject", reading="benign")]
    cases += [case(31, 0, predicted="a|b", reading="b|a")]
    found = only(cases)
    agreement = found.series["agreement"]
    estimate = agreement.estimate(agreement.values)
    assert (estimate.value, estimate.n) == (9 / 11, 11)
    assert sentences(found)[-1] == (
        "Of the answers themselves little is known: clinicians gave 11 readings."
    )


def test_an_image_counts_once_a_week_and_with_its_reading() -> None:
    again = [case(7, 0, status="reject") for _ in range(50)]
    found = only([*again, case(7, 0, reading="malignant"), case(7, 0), case(7, 1), case(8, 0)])
    assert found.images == 3
    assert found.series["agreement"].values.tolist() == [0.0]


def test_every_model_is_followed_on_its_own() -> None:
    cases = [case(n, n % 3, model_sha256="ab"[n % 2] * 64) for n in range(60)]
    found = find_drift(cases)
    assert [one.sha256[0] for one in found] == ["a", "b"]
    assert [one.images for one in found] == [30, 30]
    assert find_drift([]) == []


def test_the_week_begins_on_monday_in_utc() -> None:
    late = datetime(2026, 3, 8, 23, 59, tzinfo=UTC)
    found = only([case(1, 0, time=late), case(2, 0, time=late + timedelta(minutes=1))])
    assert found.weeks == (date(2026, 3, 2), date(2026, 3, 9))


def test_the_model_files_own_test_is_the_yardstick_where_it_is_known() -> None:
    figures = {
        "accuracy": ResultFigure(value=0.93, ci95=(0.9, 0.96), n=300),
        "answered.coverage": ResultFigure(value=0.8, ci95=(0.75, 0.85), n=300),
    }
    cases = [case(n, n // 60, reading=("benign", "malignant")[n % 10 < 4]) for n in range(120)]
    known = {"a" * 64: info(results=figures)}
    found = only(cases, models=known)
    assert {a.measure: a.differs for a in found.against} == {"agreement": True, "answered": True}
    said = " ".join(sentences(found))
    assert "Clinicians' readings agree with 60 % (95 % interval 51 to 69 %, n = 120)" in said
    assert "in the model's own test, 93 % (95 % interval 90 to 96 %, n = 300)" in said
    few = only(cases[: FEWEST - 1], models=known)
    assert not any(a.differs for a in few.against)
    assert only(cases, models={"b" * 64: info(results=figures)}).against == ()
    assert only(cases, models={"a" * 64: info()}).against == ()


def test_exact_intervals_are_those_of_the_textbook_and_never_too_short() -> None:
    for hits, n in ((0, 10), (10, 10), (3, 17), (1, 1)):
        ours = share_of(hits, n)
        theirs = stats.binomtest(hits, n).proportion_ci(0.95, "exact")
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert share_of(0, 0).value is None
    for share in (0.05, 0.4):
        caught = sum(
            stats.binom.pmf(k, 30, share)
            for k in range(31)
            if share_of(k, 30).low <= share <= share_of(k, 30).high  # type: ignore[operator]
        )
        assert caught >= 0.95
    assert mean_of(np.array([1.0])).value is None
    mean = mean_of(np.array([1.0, 2.0, 3.0]))
    assert (mean.low, mean.high) == pytest.approx(stats.t.interval(0.95, 2, 2, 1 / np.sqrt(3)))
    assert mean_of(np.ones(5)).high == 1.0


def test_a_change_in_the_first_or_last_few_images_is_left_alone() -> None:
    weeks = np.repeat([700_000, 700_007], [100, FEWEST - 1])
    values = np.repeat([0.0, 1.0], [100, FEWEST - 1])
    assert find_change(WeeklyValues("rejected", weeks, values)) is None
    weeks, values = np.append(weeks, 700_007), np.append(values, 1.0)
    assert find_change(WeeklyValues("rejected", weeks, values)) is not None


def test_table_and_json_hold_every_week_and_measure() -> None:
    found = only(rejected(30, [0.0, 0.5, 1.0]))
    lines = list(table(found))
    assert len({len(line) for line in lines}) == 1
    assert [line[:10] for line in lines[1:]] == ["2026-03-02", "2026-03-09", "2026-03-16"]
    assert lines[3].split()[1:4] == ["30", "0", "%"]
    assert "100 %" in lines[3]
    document = to_dict(found)
    assert document["weeks"][2]["rejected"]["value"] == 1.0
    assert document["weeks"][2]["rejected"]["n"] == 30
    assert document["weeks"][2]["agreement"] == {"value": None, "ci95": [None, None], "n": 0}
    assert document["verdict"] == "drifted"
    change = {row["measure"]: row for row in document["changes"]}["rejected"]
    assert change["now"]["ci95"][0] > change["before"]["ci95"][1]
