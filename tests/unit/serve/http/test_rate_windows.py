"""Requests a minute, by a clock that the test turns: what is promised to those who wait, holds."""

from __future__ import annotations

import pytest

from overread.serve.http import limits
from overread.serve.http.limits import Admission, RateLimit
from overread.serve.http.problems import Problem, busy


class Clock:
    """Says the time it is told."""

    def __init__(self) -> None:
        self.now = 10_000.0

    def __call__(self) -> float:
        return self.now


def refused(rate: RateLimit, who: str = "a") -> int:
    """Seconds that the refusal of one request says to wait; fails when it is not refused."""
    with pytest.raises(Problem) as told:
        rate.spend(who)
    assert told.value.headers is not None
    return int(told.value.headers["Retry-After"])


def spend_all(rate: RateLimit, who: str = "a") -> int:
    taken = 0
    while True:
        try:
            rate.spend(who)
        except Problem:
            return taken
        taken += 1


@pytest.mark.parametrize("a_minute", [1, 2, 7, 11, 13, 24, 25, 40, 59, 60, 61, 240, 1000])
def test_who_waits_as_long_as_told_is_let_in(a_minute: int) -> None:
    clock = Clock()
    rate = RateLimit(a_minute, clock)
    assert spend_all(rate) == a_minute
    wait = refused(rate)
    clock.now += wait
    rate.spend("a")


@pytest.mark.parametrize(("a_minute", "seconds"), [(1, 60), (25, 3), (7, 9), (45, 2), (240, 1)])
def test_the_wait_is_the_first_whole_second_at_which_it_works(a_minute: int, seconds: int) -> None:
    clock = Clock()
    rate = RateLimit(a_minute, clock)
    spend_all(rate)
    assert refused(rate) == seconds
    if seconds > 1:
        clock.now += seconds - 1
        assert refused(rate) == 1


def test_the_wait_shrinks_while_time_goes_on() -> None:
    clock = Clock()
    rate = RateLimit(1, clock)
    rate.spend("a")
    told = []
    for _ in range(4):
        told.append(refused(rate))
        clock.now += 15
    assert told == [60, 45, 30, 15]
    rate.spend("a")


def test_asking_while_refused_costs_nothing() -> None:
    clock = Clock()
    rate = RateLimit(6, clock)
    spend_all(rate)
    for _ in range(100):
        clock.now += 0.05
        refused(rate)
    clock.now += 5.01  # with the 5 s of asking, one request's worth
    rate.spend("a")
    refused(rate)


def test_an_hour_of_silence_saves_up_one_minute_and_no_more() -> None:
    clock = Clock()
    rate = RateLimit(5, clock)
    spend_all(rate)
    clock.now += 3600
    assert spend_all(rate) == 5


def test_a_half_used_minute_is_filled_up_in_proportion() -> None:
    clock = Clock()
    rate = RateLimit(60, clock)
    for _ in range(40):
        rate.spend("a")
    clock.now += 10
    assert spend_all(rate) == 30  # 20 left and 10 new


def test_one_caller_does_not_use_up_anothers() -> None:
    clock = Clock()
    rate = RateLimit(3, clock)
    spend_all(rate, "a")
    assert spend_all(rate, "b") == 3
    clock.now += 20
    assert (spend_all(rate, "a"), spend_all(rate, "b")) == (1, 1)


def test_only_those_who_asked_longest_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUCKETS", 3)
    clock = Clock()
    rate = RateLimit(1, clock)
    for who in "abc":
        rate.spend(who)
    refused(rate, "a")  # asked again: now the newest
    rate.spend("d")  # so b is forgotten, and only b
    refused(rate, "a")
    refused(rate, "c")
    refused(rate, "d")
    rate.spend("b")


def test_a_refusal_says_how_many_are_allowed_and_when_to_come_back() -> None:
    rate = RateLimit(2, Clock())
    spend_all(rate)
    with pytest.raises(Problem) as told:
        rate.spend("a")
    assert told.value.document == {
        "type": "urn:overread:problem:rate",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "more than 2 requests a minute",
        "hint": "Try again in 30 s.",
    }


@pytest.mark.parametrize(("seconds", "told"), [(0.0, "1"), (0.4, "1"), (7.2, "7"), (90, "90")])
def test_who_is_told_that_it_is_busy_waits_a_second_at_least(seconds: float, told: str) -> None:
    problem = busy("full", seconds)
    assert problem.headers == {"Retry-After": told}
    assert told in problem.hint


def test_the_wait_for_room_follows_how_long_images_take(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(limits.time, "perf_counter", lambda: now[0])
    admission = Admission(2)
    for _ in range(200):
        with admission.room_for(2):
            now[0] += 12.0  # 6 s each
    assert admission.seconds_each == pytest.approx(6.0, rel=0.01)
    with admission.room_for(2), pytest.raises(Problem) as told:
        admission.check()
    assert told.value.headers == {"Retry-After": "12"}
    assert "2 images are in work, at most 2" in str(told.value.detail)
