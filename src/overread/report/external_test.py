"""What a report of an external test says: the model, the data, and its figures beside its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PureWindowsPath

from overread.documents.metrics import JudgedModel, Metrics
from overread.pages.numbers import NOTHING, checked, decimal, percent
from overread.pages.texts import Said, say
from overread.stats.estimate import Estimate

LEADING = "balanced_accuracy"


@dataclass(frozen=True)
class ComparedFigure:
    """One figure in the model's own test and in this one, with the difference in words."""

    name: str
    share: bool
    internal: Estimate
    here: Estimate
    gap: Said | str


@dataclass(frozen=True)
class ExternalTest:
    """`said` sentences for the top of the page, `worse` where a drop is certain, and the rows."""

    said: tuple[Said, ...]
    worse: bool
    rows: tuple[ComparedFigure, ...]


def external(metrics: Metrics, shares: Mapping[str, bool]) -> ExternalTest | None:
    """The comparison that metrics.json holds; None for a run that is no external test.

    `shares` names the figures to show, and whether each is a share (printed in per cent).
    """
    if metrics.drop is None or metrics.test is None:
        return None
    drop, here = metrics.drop, metrics.test.estimates()
    # A model file may hold a figure without interval or n: that is not printed.
    own = {name: e for name, e in (metrics.internal or {}).items() if _numbers(e) and e.n}
    rows = tuple(
        ComparedFigure(name, share, own[name], here[name], _gap(drop[name], share))
        for name, share in shares.items()
        if name in own and name in drop and name in here
    )
    numbers = _numbers(drop.get(LEADING))
    worse = bool(numbers) and numbers[2] < 0
    said = _said(metrics, own.get(LEADING), here.get(LEADING), numbers)
    return ExternalTest(tuple(said), worse, rows)


def _said(
    metrics: Metrics, own: Estimate | None, here: Estimate | None, gap: Sequence[float]
) -> Iterator[Said]:
    model = metrics.model or JudgedModel()
    yield say(
        "external.lead",
        model=model.name or NOTHING,
        version=model.version or NOTHING,
        sha256=(model.sha256 or NOTHING)[:12],
        # The name of the folder only: a page is sent to others. It knows both kinds of slash.
        data=PureWindowsPath(metrics.data or NOTHING).name,
    )
    n = None if metrics.test is None else metrics.test.n
    before = checked(own, own.n if own else None, f"internal.{LEADING}")
    after = checked(here, n, f"test.{LEADING}")
    if before and after and gap and own:
        value, low, high = map(percent, after)
        own_value, own_low, own_high = map(percent, before)
        yield say("external.own", value=own_value, low=own_low, high=own_high, n=f"{own.n:,}")
        yield say("external.here", value=value, low=low, high=high, n=f"{n:,}")
        yield say("external.gap", gap=_points(gap))
        outcome = "worse" if gap[2] < 0 else "better" if gap[1] > 0 else "open"
        yield say(f"external.{outcome}")
    else:
        yield say("external.unknown" if metrics.drop else "external.nothing")
    if lost := len(metrics.unreadable or ()):
        yield say("external.unreadable", n=f"{lost:,}")


def _numbers(estimate: Estimate | None) -> tuple[float, ...]:
    """(value, low, high); () where not all are known."""
    if estimate is None:
        return ()
    numbers = (estimate.value, estimate.low, estimate.high)
    return tuple(n for n in numbers if n is not None) if None not in numbers else ()


def _gap(estimate: Estimate, share: bool) -> Said | str:
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
