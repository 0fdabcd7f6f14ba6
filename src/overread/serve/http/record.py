"""What was answered goes into the case log before it goes out, off the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from overread.errors import CaseLogError
from overread.serve.case_log.log import CaseLog, NewCase
from overread.serve.http.answering import JudgedUpload
from overread.serve.http.batching import Batcher
from overread.serve.http.problems import Problem
from overread.serve.http.telemetry import Telemetry

logger = logging.getLogger("overread.serve")
REQUESTS_A_TRANSACTION = 64


class Record:
    """Writes to a case log; requests that end at the same moment share one transaction.

    When the log fails, the answer is withheld if `required`; else it goes out without a case
    number, and the loss is counted and written to the server's own log.
    """

    def __init__(self, log: CaseLog, telemetry: Telemetry, *, required: bool) -> None:
        self.log, self.required, self._telemetry = log, required, telemetry
        self._batcher = Batcher(
            self._add, size=REQUESTS_A_TRANSACTION, name="overread-log", retry=False
        )

    async def keep(self, judged: Sequence[JudgedUpload], user: str) -> Sequence[str | None]:
        """The case numbers of one request's images; Problem 503 if they are required and lost."""
        cases = [new_case(one, user) for one in judged]
        try:
            return await asyncio.wrap_future(self._batcher.submit(cases))
        except CaseLogError as error:
            self._telemetry.lost.inc(len(cases))
            logger.error("%d cases are not in the log: %s", len(cases), error)
            if self.required:
                raise _withheld() from error
            return [None] * len(cases)

    def check(self) -> None:
        """Problem 503 when the log cannot be used. Waits for the database."""
        try:
            head = self.log.head()
        except CaseLogError as error:
            raise _withheld() from error
        if head is None:
            raise _withheld()

    def close(self) -> None:
        """Write what is queued."""
        self._batcher.close()

    def _add(self, requests: list[list[NewCase]]) -> list[tuple[str, ...]]:
        ids = iter(self.log.add([case for request in requests for case in request]))
        self._telemetry.logged.inc(sum(map(len, requests)))
        return [tuple(next(ids) for _ in request) for request in requests]


def _withheld() -> Problem:
    return Problem(
        503,
        "no-case-log",
        "cases cannot be stored, so no answer is given",
        hint="Tell the person who runs the server; its log says more.",
        headers={"Retry-After": "30"},
    )


def new_case(judged: JudgedUpload, user: str) -> NewCase:
    """What the log keeps of an answer: no image, no file name."""
    found = judged.prediction
    shown = found.to_dict()
    return NewCase(
        model=found.model["name"],
        model_version=found.model["version"],
        model_sha256=found.model["sha256"],
        image_sha256=judged.sha256,
        status=found.status,
        predicted=found.predicted,
        probability=found.probability,
        probabilities=shown["probabilities"],
        code=found.code,
        quality=shown["quality"],
        ood_score=found.ood_score,
        user=user,
    )
