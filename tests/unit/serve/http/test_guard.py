"""A body on its way in, and an answer on its way out, message by message."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.types import Message

from overread.serve.http import guard
from overread.serve.http.guard import Body, Reply
from overread.serve.http.limits import Budget
from overread.serve.http.problems import Problem


class Sender:
    """Gives the messages it was made with, then waits for ever."""

    def __init__(self, *chunks: bytes, whole: bool = True) -> None:
        self.messages: list[Message] = [
            {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
        ]
        if whole:
            self.messages.append({"type": "http.request", "body": b"", "more_body": False})
        self.taken = 0

    async def __call__(self) -> Message:
        if self.taken == len(self.messages):
            await asyncio.Event().wait()
        self.taken += 1
        return self.messages[self.taken - 1]


def body(sender: Sender, cap: int = 100, held: int = 1000, **headers: str) -> Body:
    told = headers or {"transfer-encoding": "chunked"}
    return Body(sender, cap, Budget(held), Headers(told))


async def drain(one: Body) -> int:
    size = 0
    while True:
        message = await one.receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return size


def test_up_to_the_cap_is_let_through_and_one_byte_more_is_not() -> None:
    assert asyncio.run(drain(body(Sender(b"x" * 60, b"x" * 40)))) == 100
    with pytest.raises(Problem) as refused:
        asyncio.run(drain(body(Sender(b"x" * 60, b"x" * 41))))
    assert refused.value.status_code == 413


@pytest.mark.parametrize("told", ["101", "9" * 5000])
def test_a_length_that_is_told_is_judged_before_anything_is_read(told: str) -> None:
    sender = Sender(b"x")
    one = Body(sender, 100, Budget(1000), Headers({"content-length": told}))
    with pytest.raises(Problem) as refused:
        one.check_length()
    assert refused.value.status_code == 413 and sender.taken == 0


@pytest.mark.parametrize("told", ["100", "0", "abc", "-5", "٣"])
def test_other_lengths_are_left_to_the_protocol(told: str) -> None:
    raw = [(b"content-length", told.encode("utf-8"))]
    Body(Sender(), 100, Budget(1000), Headers(raw=raw)).check_length()


def test_bytes_are_held_until_released() -> None:
    budget = Budget(150)
    first = Body(Sender(b"x" * 90), 100, budget, Headers({"transfer-encoding": "chunked"}))
    second = Body(Sender(b"x" * 90), 100, budget, Headers({"transfer-encoding": "chunked"}))
    asyncio.run(drain(first))
    with pytest.raises(Problem) as refused:
        asyncio.run(drain(second))
    assert refused.value.status_code == 503
    first.release()
    first.release()
    second.release()
    assert budget.held == 0


def test_a_body_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "PATIENCE_S", 0.05)
    with pytest.raises(Problem) as refused:
        asyncio.run(drain(body(Sender(b"x", whole=False))))
    assert refused.value.status_code == 408


class Taken:
    """Collects what goes out."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)


START: Message = {"type": "http.response.start", "status": 413, "headers": []}
END: Message = {"type": "http.response.body", "body": b"no"}


def answer(one: Body, *, https: bool = False, start: Message = START) -> list[Message]:
    async def send() -> list[Message]:
        out = Taken()
        reply = Reply(out, one, https=https)
        await reply.send(start)
        await reply.send(END)
        return out.messages

    return asyncio.run(send())


def test_the_answer_goes_out_first_and_the_rest_of_the_body_is_dropped_after() -> None:
    sender = Sender(*[b"x" * 50] * 5)
    sent = answer(body(sender))
    assert [(m.get("body"), m.get("more_body", False)) for m in sent[1:]] == [
        (b"no", True),
        (b"", False),
    ]
    assert sender.taken == 6


def test_what_is_dropped_has_an_end_in_bytes_and_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard, "LINGER_S", 0.05)
    endless = Sender(*[b"x" * 100] * 50)
    answer(body(endless))
    assert endless.taken <= 6
    silent = Sender(whole=False)
    assert answer(body(silent))[-1]["body"] == b""


def test_without_a_body_nothing_is_waited_for() -> None:
    sender = Sender(whole=False)
    sent = answer(body(sender, **{"content-length": "0"}))
    assert len(sent) == 2 and sender.taken == 0


def headers_of(sent: list[Message]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in sent[0]["headers"]}


def test_headers_of_a_route_win_over_the_general_ones() -> None:
    own: dict[str, Any] = {**START, "headers": [(b"cache-control", b"no-cache")]}
    sent = headers_of(answer(body(Sender(), **{"content-length": "0"}), start=own))
    assert sent["cache-control"] == "no-cache"
    assert sent["x-content-type-options"] == "nosniff"


def test_only_over_tls_a_browser_is_told_to_stay_with_it() -> None:
    for https in (False, True):
        sent = headers_of(answer(body(Sender(), **{"content-length": "0"}), https=https))
        assert ("strict-transport-security" in sent) is https
