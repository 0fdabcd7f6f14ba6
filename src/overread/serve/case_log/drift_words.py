"""Drift in plain sentences, as a table of weeks, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from overread.serve.case_log.drift import (
    AGREEMENT,
    DISTANCE,
    FEWEST,
    PREDICTED,
    STATUSES,
    Against,
    Change,
    Drift,
    unseen,
)
from overread.stats.estimate import Estimate


def sentences(drift: Drift) -> list[str]:
    """What was found, each figure with its interval and n; and what could not have been found."""
    said = [_change(change) for change in drift.changes]
    said += [_against(found) for found in drift.against if found.differs]
    if drift.verdict == "no change found":
        points = 100 * unseen(drift)
        said.append(
            f"No change was found in {drift.images} images. That does not prove that there was "
            f"none: the share of rejected images could have moved by {points:.0f} points unseen."
        )
    if drift.verdict == "too few":
        weeks = "1 week" if len(drift.weeks) == 1 else f"{len(drift.weeks)} weeks"
        said.append(
            f"Too few to tell: {drift.images} images in {weeks}; "
            f"{FEWEST} before and {FEWEST} after a change of week are needed."
        )
    read = len(drift.series[AGREEMENT].values)
    if read < 2 * FEWEST:
        said.append(f"Of the answers themselves little is known: clinicians gave {read} readings.")
    return said


def table(drift: Drift) -> Iterator[str]:
    """A line a week under a line of titles: n, and every measure."""
    names = list(drift.series)
    yield "  ".join(["week of   ", "     n", *(f"{name:>10}" for name in names)])
    for week in drift.weeks:
        found = [drift.series[name].in_week(week.toordinal()) for name in names]
        n = len(drift.series["rejected"].values[drift.series["rejected"].weeks == week.toordinal()])
        cells = [
            f"{_short(one, name):>{max(10, len(name))}}"
            for name, one in zip(names, found, strict=True)
        ]
        yield "  ".join([week.isoformat(), f"{n:6}", *cells])


def to_dict(drift: Drift) -> dict[str, Any]:
    """Everything that was counted, as JSON: estimates are {"value", "ci95", "n"}."""
    return {
        "model": {"name": drift.model, "version": drift.version, "sha256": drift.sha256},
        "images": drift.images,
        "verdict": drift.verdict,
        "sentences": sentences(drift),
        "changes": [
            {
                "measure": change.measure,
                "since": change.since.isoformat(),
                "now": change.now.to_dict(),
                "before": change.before.to_dict(),
                "p": change.p,
            }
            for change in drift.changes
        ],
        "against_own_test": [
            {
                "measure": found.measure,
                "here": found.here.to_dict(),
                "own_test": found.there.to_dict(),
                "differs": found.differs,
            }
            for found in drift.against
        ],
        "weeks": [
            {
                "week": week.isoformat(),
                **{
                    name: one.in_week(week.toordinal()).to_dict()
                    for name, one in drift.series.items()
                },
            }
            for week in drift.weeks
        ],
    }


def _change(change: Change) -> str:
    now, before = (_words(one, change.measure) for one in (change.now, change.before))
    return f"Since {change.since.isoformat()} {_subject(change.measure)} {now}; before, {before}."


def _against(found: Against) -> str:
    here, there = _words(found.here, found.measure), _words(found.there, found.measure)
    return f"{_subject(found.measure).capitalize()} {here}; in the model's own test, {there}."


def _subject(measure: str) -> str:
    if measure == DISTANCE:
        return "the mean distance from the training images is"
    if measure == AGREEMENT:
        return "clinicians' readings agree with"
    if measure in STATUSES:
        return f"the share of {measure} images is"
    return f"the share predicted as {measure.removeprefix(PREDICTED)} is"


def _words(one: Estimate, measure: str) -> str:
    if one.value is None or one.low is None or one.high is None:
        return "unknown"
    n = "" if one.n is None else f", n = {one.n}"
    if measure == DISTANCE:
        return f"{one.value:.2f} (95 % interval {one.low:.2f} to {one.high:.2f}{n})"
    low, high = _percent(one.low), _percent(one.high)
    return f"{_percent(one.value)} % (95 % interval {low} to {high} %{n})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if 0 < share < 0.1 else f"{100 * share:.0f}"


def _short(one: Estimate, measure: str) -> str:
    if one.value is None:
        return "–"
    return f"{one.value:.2f}" if measure == DISTANCE else f"{_percent(one.value)} %"
