"""Room for images, bytes held, requests a minute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overread.serve.http.limits import BUCKETS, Admission, Budget, RateLimit, neighbourhood
from overread.serve.http.problems import Problem


def test_the_image_above_the_limit_is_refused_and_room_comes_back() -> None:
    admission = Admission(3)
    with admission.room_for(2):
        admission.check()
        with pytest.raises(Problem) as refused, admission.room_for(2):
            pytest.fail("there was no room")
        with admission.room_for(1), pytest.raises(Problem):
            admission.check()
    assert refused.value.status_code == 503
    assert refused.value.headers is not None
    assert int(refused.value.headers["Retry-After"]) >= 1
    assert admission.inside == 0


def test_a_request_larger_than_the_limit_is_taken_when_nothing_else_is() -> None:
    admission = Admission(3)
    with admission.room_for(10):
        assert admission.inside == 10


def test_room_comes_back_after_a_failure() -> None:
    admission = Admission(1)
    with pytest.raises(ValueError, match="x"), admission.room_for(1):
        raise ValueError("x")
    assert admission.inside == 0


@given(st.lists(st.integers(0, 60), max_size=40))
def test_no_more_bytes_are_held_than_the_budget_and_all_come_back(sizes: list[int]) -> None:
    budget, held = Budget(100), []
    for size in sizes:
        try:
            budget.take(size)
            held.append(size)
        except Problem as refused:
            assert refused.status_code == 503
        assert budget.held == sum(held) <= 100
    for size in held:
        budget.give_back(size)
    assert budget.held == 0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_as_many_requests_a_minute_as_allowed_for_each_caller() -> None:
    clock = Clock()
    rate = RateLimit(3, clock)
    for _ in range(3):
        rate.spend("a")
    with pytest.raises(Problem) as refused:
        rate.spend("a")
    assert refused.value.status_code == 429
    assert refused.value.headers == {"Retry-After": "20"}
    rate.spend("b")
    clock.now += 20
    rate.spend("a")
    with pytest.raises(Problem):
        rate.spend("a")
    clock.now += 3600
    for _ in range(3):
        rate.spend("a")
    with pytest.raises(Problem):
        rate.spend("a")


@given(st.lists(st.floats(0, 5), min_size=1, max_size=300))
def test_never_more_than_the_burst_and_the_rate_together(waits: list[float]) -> None:
    clock, taken = Clock(), 0
    rate = RateLimit(60, clock)
    for wait in waits:
        clock.now += wait
        try:
            rate.spend("a")
            taken += 1
        except Problem:
            pass
    assert taken <= 60 + clock.now + 1e-6


def test_no_limit_counts_nothing() -> None:
    rate = RateLimit(0)
    for _ in range(1000):
        rate.spend("a")
    assert not rate._buckets


def test_callers_without_number_take_bounded_memory() -> None:
    rate = RateLimit(5)
    for number in range(BUCKETS + 500):
        rate.spend(str(number))
    assert len(rate._buckets) == BUCKETS


def test_an_address_is_a_host_or_a_home_network() -> None:
    assert neighbourhood("192.0.2.7") == "192.0.2.7"
    assert neighbourhood("2001:db8:1:2:3::4") == neighbourhood("2001:db8:1:2:ffff::1")
    assert neighbourhood("2001:db8:1:2::1") != neighbourhood("2001:db8:1:3::1")
    assert neighbourhood("testclient") == "testclient"
