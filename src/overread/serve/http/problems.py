"""Errors over HTTP: problem details (RFC 9457), each with a hint of what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from overread.errors import CaseLogError, DataError, OverreadError

MEDIA_TYPE = "application/problem+json"
HINTS: dict[int, str] = {
    404: "See /openapi.json for the addresses there are.",
    405: "The header Allow names the methods that this address takes.",
    500: "This is a fault of the server; its log says more.",
}


class Problem(HTTPException):
    """A request that is refused. `kind` is a stable word for programs, part of `type`."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.kind = kind
        self.hint = hint

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object that is sent."""
        return {
            "type": f"urn:overread:problem:{self.kind}",
            "title": HTTPStatus(self.status_code).phrase,
            "status": self.status_code,
            "detail": self.detail,
            "hint": self.hint,
        }

    def response(self) -> Response:
        """The problem as a response."""
        return Response(
            json.dumps(self.document, ensure_ascii=False).encode(errors="replace"),
            self.status_code,
            dict(self.headers or {}),
            MEDIA_TYPE,
        )


def busy(detail: str, seconds: float) -> Problem:
    """503: more work than the server takes on; `seconds` until it is worth trying again."""
    after = str(max(1, round(seconds)))
    return Problem(
        503,
        "busy",
        detail,
        hint=f"Try again in {after} s.",
        headers={"Retry-After": after},
    )


def problem_of(error: Exception) -> Problem:
    """Any exception that a request met, as a problem."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        kind = status.phrase.lower().replace(" ", "-")
        hint = HINTS.get(status, "See /openapi.json.")
        return Problem(status, kind, str(error.detail), hint=hint, headers=error.headers)
    if isinstance(error, DataError):
        return Problem(422, "invalid", error.problem, hint=error.hint)
    if isinstance(error, OverreadError):
        kind = "no-case-log" if isinstance(error, CaseLogError) else "unavailable"
        return Problem(503, kind, error.problem, hint=error.hint)
    return Problem(500, "internal", "the server met an unexpected error", hint=HINTS[500])


async def handle(request: Request, error: Exception) -> Response:
    """The exception handler of the application."""
    return problem_of(error).response()


def _invalid(error: RequestValidationError) -> Problem:
    first = error.errors()[0]
    place = " ".join(str(part) for part in first.get("loc", ()))
    detail = f"{place}: {first.get('msg', 'is not valid')}" if place else "is not valid"
    return Problem(
        422, "invalid", detail[:500], hint="See /openapi.json for what this address takes."
    )
