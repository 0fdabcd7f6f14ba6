"""Logged cases with what was planted in them, for the tests of drift."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from overread.serve.case_log.drift import Drift, find_drift
from overread.serve.case_log.records import Case, Feedback

START = datetime(2026, 3, 2, 9, tzinfo=UTC)  # a Monday


def case(number: int, week: int = 0, **changes: Any) -> Case:
    """A case of some week; `reading` is what a clinician said of it, if anything."""
    time = START + timedelta(weeks=week, hours=number % 100)
    fields: dict[str, Any] = {
        "model": "breast", "model_version": "1", "model_sha256": "a" * 64,
        "image_sha256": f"{number:064x}", "status": "answer", "predicted": "benign",
        "probability": 0.9, "probabilities": {}, "code": "sure", "quality": {}, "ood_score": None,
        "id": f"{number:032x}", "time": time,
    }  # fmt: skip
    reading = changes.pop("reading", "")
    if changes.get("status") == "reject":
        changes.setdefault("predicted", None)
    feedback = (Feedback(time, "", reading, ""),) if reading else ()
    return Case(**{**fields, **changes}, feedback=feedback)


def only(cases: Iterable[Case], **options: Any) -> Drift:
    """What is found in the log of one model."""
    (found,) = find_drift(cases, **options)
    return found
