"""What the case log keeps, and how texts and numbers are made fit for every database."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from overread.errors import CaseLogError, DataError

MOST_TEXT = 1_000
MOST_COMMENT = 10_000


@dataclass(frozen=True)
class NewCase:
    """One answer, as it goes into the log. No image, no file name, no name of a person.

    `status`, `predicted`, `probability`, `probabilities`, `code`, `quality`, `ood_score` are those
    of the prediction; `user` is a pseudonym ("" = unknown).
    """

    model: str
    model_version: str
    model_sha256: str
    image_sha256: str
    status: str
    predicted: str | None
    probability: float | None
    probabilities: Mapping[str, float]
    code: str
    quality: Mapping[str, Any]
    ood_score: float | None
    user: str = ""


@dataclass(frozen=True)
class Feedback:
    """What a clinician said of a case: their reading (a class, several as "a|b") and a comment."""

    time: datetime
    user: str
    reading: str
    comment: str

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON."""
        return {**vars(self), "time": self.time.isoformat()}


@dataclass(frozen=True, kw_only=True)
class Case(NewCase):
    """A case as it stands in the log; `feedback` in the order in which it came."""

    id: str
    time: datetime
    feedback: tuple[Feedback, ...] = ()

    @property
    def reading(self) -> str:
        """The latest reading, "" where nobody gave one."""
        return next((said.reading for said in reversed(self.feedback) if said.reading), "")

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON, `id` and `time` first."""
        own = {**vars(self), "time": self.time.isoformat()}
        own["feedback"] = [said.to_dict() for said in self.feedback]
        return {"id": own.pop("id"), "time": own.pop("time"), **own}


def plain(text: str, most: int = MOST_TEXT) -> str:
    """`text` as any database takes it: no NUL, no half of a surrogate pair, at most `most` long."""
    cut = text[: most + 1]
    whole = cut.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    whole = whole.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return whole if len(whole) <= most else whole[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def number(value: float | None) -> float | None:
    """A double that every database gives back bit for bit; None for NaN and infinity."""
    if value is None or not math.isfinite(value):
        return None
    return float(value) + 0.0  # SQLite keeps -0.0 as 0.0


def case_values(case: NewCase) -> dict[str, Any]:
    """The columns of a case that do not depend on its place in the log."""
    return {
        "model": plain(case.model),
        "model_version": plain(case.model_version),
        "model_sha256": plain(case.model_sha256),
        "image_sha256": plain(case.image_sha256),
        "status": plain(case.status),
        "predicted": None if case.predicted is None else plain(case.predicted),
        "probability": number(case.probability),
        "probabilities": _json({k: v for k, v in case.probabilities.items() if math.isfinite(v)}),
        "code": plain(case.code),
        "quality": _json(case.quality),
        "ood_score": number(case.ood_score),
        "user": plain(case.user),
    }


def feedback_values(reading: str, comment: str, user: str) -> dict[str, Any]:
    """The columns of feedback. What a person wrote is never cut: DataError where it is too long."""
    for name, text, most in (("reading", reading, MOST_TEXT), ("comment", comment, MOST_COMMENT)):
        if len(text) > most:
            raise DataError(
                f"has {len(text):,} characters, at most {most:,} are kept",
                where=name,
                hint="Shorten it.",
            )
    if not reading.strip() and not comment.strip():
        raise DataError("is empty", where="feedback", hint="Give a reading or a comment.")
    return {
        "reading": plain(reading.strip()),
        "comment": plain(comment, MOST_COMMENT),
        "user": plain(user),
    }


def to_case(row: Mapping[str, Any], feedback: Sequence[Feedback] = ()) -> Case:
    """A row of the table as a case."""
    fields = {name: row[name] for name in Case.__dataclass_fields__ if name in row}
    with _readable(row):
        fields["time"] = datetime.fromisoformat(row["time"])
        fields["probabilities"] = dict(json.loads(row["probabilities"]))
        fields["quality"] = dict(json.loads(row["quality"]))
    return Case(**fields, feedback=tuple(feedback))


def to_feedback(row: Mapping[str, Any]) -> Feedback:
    """A row of the table as feedback."""
    with _readable(row):
        time = datetime.fromisoformat(row["time"])
    return Feedback(time, row["user"], row["reading"], row["comment"])


@contextmanager
def _readable(row: Mapping[str, Any]) -> Iterator[None]:
    """A block that reads what this program wrote; CaseLogError where somebody else did."""
    try:
        yield
    except (TypeError, ValueError):
        raise CaseLogError(
            f"entry {row['number']} (id {row['id']}) was altered and cannot be read",
            hint="See `overread cases verify`.",
        ) from None


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(_clean(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {plain(str(name)): _clean(part) for name, part in value.items()}
    if isinstance(value, Sequence):
        return [_clean(part) for part in value]
    return number(float(value))
