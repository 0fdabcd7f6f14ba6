"""Requests that end together share a transaction; a failure is told to each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from overread.errors import CaseLogError
from overread.files import sha256_bytes
from overread.predict.predictor import load
from overread.serve.case_log.log import CaseLog, NewCase, open_case_log
from overread.serve.http.answering import JudgedUpload
from overread.serve.http.problems import Problem
from overread.serve.http.record import Record, new_case
from overread.serve.http.telemetry import Telemetry
from overread.serve.http.uploads import Upload
from tiny_bundle import picture, png, write_tiny


@pytest.fixture
def judged(tmp_path: Path) -> list[JudgedUpload]:
    predictor = load(write_tiny(tmp_path / "tiny.overread"))
    datas = [png(picture("red")), b"no image", png(picture("blue"))]
    return [
        JudgedUpload(
            Upload("a.png", data), sha256_bytes(data), predictor.predict(data).named("a.png")
        )
        for data in datas
    ]


@pytest.fixture
def log(tmp_path: Path) -> CaseLog:
    return open_case_log(f"sqlite:///{tmp_path / 'cases.sqlite'}")


class Broken(CaseLog):
    """A log whose database is gone; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def add(self, cases: Sequence[NewCase], **_: Any) -> tuple[str, ...]:
        self.asked += 1
        raise CaseLogError("the case log cannot be used")

    def head(self) -> None:
        raise CaseLogError("the case log cannot be used")


def test_a_case_says_what_was_said_and_neither_image_nor_file_name(
    judged: list[JudgedUpload],
) -> None:
    red, nothing, _ = (new_case(one, "someone") for one in judged)
    assert (red.status, red.predicted, red.code, red.user) == ("answer", "red", "sure", "someone")
    assert red.image_sha256 == judged[0].sha256
    assert red.probability == red.probabilities["red"]
    assert red.quality["min_side"] == 48
    assert (nothing.status, nothing.predicted, nothing.probability) == ("reject", None, None)
    assert nothing.probabilities == {}
    assert "a.png" not in repr(red)


def test_every_request_gets_the_numbers_of_its_own_images(
    judged: list[JudgedUpload], log: CaseLog
) -> None:
    async def ask() -> list[Sequence[str | None]]:
        requests = [judged[:1], judged[1:], judged, judged[2:]] * 5
        return list(await asyncio.gather(*(record.keep(one, "") for one in requests)))

    telemetry = Telemetry()
    record = Record(log, telemetry, required=True)
    found = asyncio.run(ask())
    assert [len(ids) for ids in found] == [1, 2, 3, 1] * 5
    for ids, images in zip(found, [judged[:1], judged[1:], judged, judged[2:]] * 5, strict=True):
        stored = [log.get(str(case)).image_sha256 for case in ids]
        assert stored == [one.sha256 for one in images]
    assert b"overread_cases_logged_total 35.0" in telemetry.page()
    record.close()
    log.close()


def test_what_is_lost_is_counted_once_for_each_image_and_the_answer_goes_out(
    judged: list[JudgedUpload], caplog: pytest.LogCaptureFixture
) -> None:
    telemetry = Telemetry()
    record = Record(Broken(), telemetry, required=False)
    assert asyncio.run(record.keep(judged, "")) == [None] * 3
    assert b"overread_cases_lost_total 3.0" in telemetry.page()
    assert "3 cases are not in the log" in caplog.text
    record.close()


def test_if_required_the_answer_is_withheld(judged: list[JudgedUpload]) -> None:
    record = Record(Broken(), Telemetry(), required=True)
    with pytest.raises(Problem) as withheld:
        asyncio.run(record.keep(judged, ""))
    assert withheld.value.status_code == 503
    with pytest.raises(Problem):
        record.check()
    record.close()


def test_a_log_that_is_gone_is_asked_once_and_not_for_each_who_waits(
    judged: list[JudgedUpload],
) -> None:
    async def ask() -> None:
        await asyncio.gather(*(record.keep(judged, "") for _ in range(40)))

    broken = Broken()
    record = Record(broken, Telemetry(), required=False)
    asyncio.run(ask())
    assert broken.asked < 40
    record.close()


def test_a_log_that_is_there_is_ready(log: CaseLog) -> None:
    record = Record(log, Telemetry(), required=True)
    record.check()
    record.close()
    log.close()
