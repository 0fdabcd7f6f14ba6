"""The HTTP API of the case log: look up, page through, and add a clinician's reading."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from overread.serve.case_log.log import CaseLog
from overread.serve.http.openapi import refusals
from overread.serve.http.problems import Problem
from overread.serve.http.schemas import CaseReply, CasesReply, FeedbackIn, FeedbackOut, Status

case_api = APIRouter(prefix="/v1/cases", tags=["cases"])
CaseId = Annotated[str, Path(max_length=64, description="The `case` of a prediction.")]


@case_api.get("", summary="Logged cases, newest first", responses=refusals(404, 422, 503))
def cases(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    after: Annotated[str | None, Query(max_length=64, description="`next` of a page.")] = None,
    status: Status | None = None,
    model: Annotated[str | None, Query(max_length=250, description="A model's name.")] = None,
) -> CasesReply:
    """A page of cases, of one status or model if asked; `next` leads to the page after it."""
    log = _log(request)
    try:
        page = log.page(limit=limit, after=after, status=status, model=model)
    except LookupError:
        raise _unknown(after or "") from None
    return CasesReply.model_validate(
        {"cases": [case.to_dict() for case in page.cases], "next": page.next}
    )


@case_api.get("/{case_id}", summary="One case", responses=refusals(404, 422, 503))
def case(request: Request, case_id: CaseId) -> CaseReply:
    """A case with the readings that were added to it."""
    try:
        return CaseReply.model_validate(_log(request).get(case_id).to_dict())
    except LookupError:
        raise _unknown(case_id) from None


@case_api.post(
    "/{case_id}/feedback",
    status_code=201,
    summary="Add a clinician's reading to a case",
    responses=refusals(404, 408, 413, 422, 503),
)
def feedback(request: Request, case_id: CaseId, given: FeedbackIn) -> FeedbackOut:
    """Stored beside the case, which itself never changes; several readings may be added."""
    user = request.state.caller.user
    try:
        stored = _log(request).add_feedback(
            case_id, reading=given.reading, comment=given.comment, user=user
        )
    except LookupError:
        raise _unknown(case_id) from None
    return FeedbackOut.model_validate(stored.to_dict())


def _log(request: Request) -> CaseLog:
    log: Any = request.app.state.log
    if log is None:
        raise Problem(
            404,
            "no-case-log",
            "this server keeps no case log",
            hint="Start it without `--database none`.",
        )
    assert isinstance(log, CaseLog)  # noqa: S101
    return log


def _unknown(case_id: str) -> Problem:
    return Problem(404, "unknown-case", f"there is no case '{case_id[:40]}'", hint="See /v1/cases.")
