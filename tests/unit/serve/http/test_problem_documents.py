"""What goes wrong over HTTP: the right status, one shape, a hint, and nothing of the inside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from overread.errors import (
    BundleError,
    CaseLogError,
    ConfigError,
    DataError,
    ImageRefused,
    OverreadError,
)
from overread.serve.http.problems import Problem, problem_of
from overread.serve.http.schemas import FeedbackIn

FIELDS = ["type", "title", "status", "detail", "hint"]


def sent(error: Exception) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, document and headers of the response to a request that met `error`."""
    response = problem_of(error).response()
    headers = {name.decode(): value.decode() for name, value in response.raw_headers}
    return response.status_code, json.loads(bytes(response.body)), headers


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (DataError("says nothing", hint="Give a reading."), 422, "invalid"),
        (CaseLogError("is gone", where="db", hint="Start it."), 503, "no-case-log"),
        (BundleError("is damaged"), 503, "unavailable"),
        (ConfigError("is wrong"), 503, "unavailable"),
        (ImageRefused("cannot be read"), 503, "unavailable"),
        (OverreadError("something"), 503, "unavailable"),
        (HTTPException(404), 404, "not-found"),
        (HTTPException(405, headers={"Allow": "GET"}), 405, "method-not-allowed"),
        (HTTPException(418, "short and stout"), 418, "i'm-a-teapot"),
        (Problem(409, "own-kind", "own words", hint="own hint"), 409, "own-kind"),
        (ZeroDivisionError("SELECT secret FROM keys"), 500, "internal"),
        (KeyError("/home/someone/model"), 500, "internal"),
        (RecursionError(), 500, "internal"),
    ],
)
def test_every_error_is_a_problem_of_its_kind(error: Exception, status: int, kind: str) -> None:
    code, document, headers = sent(error)
    assert (code, document["status"]) == (status, status)
    assert document["type"] == f"urn:overread:problem:{kind}"
    assert list(document) == FIELDS
    assert document["title"]
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("error", [ZeroDivisionError("SECRET"), OSError(2, "SECRET", "/SECRET")])
def test_of_a_fault_of_ours_nothing_inside_is_told(error: Exception) -> None:
    _, document, _ = sent(error)
    assert "SECRET" not in json.dumps(document)
    assert "its log" in document["hint"]


def test_where_a_database_lies_is_not_told_to_callers() -> None:
    error = CaseLogError("cannot be used", where="postgresql://user@host/db", hint="Check it.")
    _, document, _ = sent(error)
    assert document["detail"] == "cannot be used"
    assert "postgresql" not in json.dumps(document)


def test_headers_of_a_refusal_go_out_with_it() -> None:
    assert sent(HTTPException(405, headers={"Allow": "GET"}))[2]["allow"] == "GET"
    busy = Problem(503, "busy", "full", headers={"Retry-After": "3"})
    assert sent(busy)[2]["retry-after"] == "3"


def test_text_that_no_utf8_holds_is_still_an_answer() -> None:
    response = Problem(404, "unknown-model", "there is no model '\ud800'").response()
    assert json.loads(bytes(response.body))["detail"] == "there is no model '?'"


def test_the_first_of_several_wrong_values_is_named_in_a_bounded_text() -> None:
    def errors(*rows: dict[str, Any]) -> RequestValidationError:
        return RequestValidationError(list(rows))

    one = {"loc": ("query", "limit"), "msg": "Input should be less than 1001", "type": "x"}
    two = {"loc": ("query", "frame"), "msg": "other", "type": "x"}
    status, document, _ = sent(errors(one, two))
    assert (status, document["detail"]) == (422, "query limit: Input should be less than 1001")
    assert "/openapi.json" in document["hint"]
    long = {"loc": ("body", "x" * 10_000), "msg": "Extra", "type": "x"}
    assert len(sent(errors(long))[1]["detail"]) == 500
    assert sent(errors({"type": "x"}))[1]["detail"] == "is not valid"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"reading": "benign"}, True),
        ({"reading": "良性", "comment": "x" * 10_000}, True),
        ({"reading": "x" * 1000}, True),
        ({"reading": " a"}, True),
        ({"reading": "x" * 1001}, False),
        ({"reading": "a", "comment": "x" * 10_001}, False),
        ({"reading": ""}, False),
        ({"reading": " \t\n"}, False),
        ({"reading": "\x00\x1f\x7f\x9f"}, False),
        ({"reading": "\u3000\u2003"}, False),  # spaces of other scripts
        ({"reading": None}, False),
        ({"reading": ["benign"]}, False),
        ({"reading": 1}, False),
        ({"comment": "no reading"}, False),
        ({"reading": "a", "user": "someone else"}, False),
        ({"reading": "a", "time": "1999-01-01"}, False),
    ],
)
def test_what_is_taken_as_a_reading(given: dict[str, Any], taken: bool) -> None:
    if taken:
        assert FeedbackIn.model_validate(given).reading == given["reading"]
        return
    with pytest.raises(ValidationError):
        FeedbackIn.model_validate(given)
