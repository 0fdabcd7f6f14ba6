"""What a report of an external test says: the model, the data, and its figures beside its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import Any

from overread.pages.numbers import NOTHING, checked, decimal, percent
from overread.pages.texts import Said, say
from overread.report.run_files import Document

LEADING = "balanced_accuracy"


@dataclass(frozen=True)
class Row:
    """One figure in the model's own test and in this one, with the difference in words."""

    name: str
    share: bool
    internal: Mapping[str, Any]
    here: Mapping[str, Any]
    gap: Said | str


@dataclass(frozen=True)
class External:
    """`said` sentences for the top of the page, `worse` where a drop is certain, and the rows."""

    said: tuple[Said, ...]
    worse: bool
    rows: tuple[Row, ...]


def external(metrics: Document | None, shares: Mapping[str, bool]) -> External | None:
    """The comparison that metrics.json holds; None for a run that is no external test.

    `shares` names the figures to show, and whether each is a share (printed in per cent).
    """
    document = metrics or {}
    if "drop" not in document or not document.get("test"):
        return None
    own, test = document.get("internal") or {}, document["test"]
    # A model file may hold a figure without interval or n: that is not printed.
    internal = {name: found for name, found in own.items() if _numbers(found) and found.get("n")}
    rows = tuple(
        Row(name, share, internal[name], test[name], _gap(document["drop"][name], share))
        for name, share in shares.items()
        if name in internal and name in document["drop"] and name in test
    )
    numbers = _numbers(document["drop"].get(LEADING))
    worse = bool(numbers) and numbers[2] < 0
    return External(tuple(_said(document, internal.get(LEADING), numbers)), worse, rows)


def _said(
    document: Document, own: Mapping[str, Any] | None, gap: Sequence[float]
) -> Iterator[Said]:
    model = document.get("model") or {}
    yield say(
        "external.lead",
        model=model.get("name") or NOTHING,
        version=model.get("version") or NOTHING,
        sha256=str(model.get("sha256") or NOTHING)[:12],
        # The name of the folder only: a page is sent to others. It knows both kinds of slash.
        data=PureWindowsPath(str(document.get("data") or NOTHING)).name,
    )
    here, n = document["test"].get(LEADING), document["test"].get("n")
    before = checked(own, (own or {}).get("n"), f"internal.{LEADING}")
    after = checked(here, n, f"test.{LEADING}")
    if before and after and gap:
        value, low, high = map(percent, after)
        own_value, own_low, own_high = map(percent, before)
        yield say("external.own", value=own_value, low=own_low, high=own_high, n=f"{own['n']:,}")  # type: ignore[index]
        yield say("external.here", value=value, low=low, high=high, n=f"{n:,}")
        yield say("external.gap", gap=_points(gap))
        outcome = "worse" if gap[2] < 0 else "better" if gap[1] > 0 else "open"
        yield say(f"external.{outcome}")
    else:
        yield say("external.unknown" if document["drop"] else "external.nothing")
    if lost := len(document.get("unreadable") or ()):
        yield say("external.unreadable", n=f"{lost:,}")


def _numbers(estimate: Mapping[str, Any] | None) -> tuple[float, ...]:
    """(value, low, high); () where not all are known."""
    low, high = (estimate or {}).get("ci95") or (None, None)
    numbers = ((estimate or {}).get("value"), low, high)
    return tuple(float(n) for n in numbers if n is not None) if None not in numbers else ()


def _gap(estimate: Mapping[str, Any], share: bool) -> Said | str:
    numbers = _numbers(estimate)
    if not numbers:
        return NOTHING
    return _points(numbers) if share else say("external.plain", **_signed(numbers, 1, 3))


def _points(numbers: Sequence[float]) -> Said:
    return say("external.points", **_signed(numbers, 100, 1))


def _signed(numbers: Sequence[float], scale: float, digits: int) -> dict[str, str]:
    """value, low and high, each with its sign."""
    texts = (decimal(scale * number, digits) for number in numbers)
    signed = (f"+{t}" if n > 0 else t for t, n in zip(texts, numbers, strict=True))
    return dict(zip(("value", "low", "high"), signed, strict=True))
