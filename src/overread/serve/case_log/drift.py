"""Has what a model meets, or how it answers, changed since it was put to work?

Each share is followed by week. For every week it could have begun in, all images since then are set
against all before; the best beginning is kept and tested exactly (Fisher; Mann and Whitney for
distances), with Bonferroni's correction for all weeks and measures compared. An image counts once
a week, however often it was sent.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from overread.documents.bundle import BundleInfo
from overread.serve.case_log.records import Case
from overread.stats.estimate import Estimate
from overread.stats.intervals import LEVEL

ALPHA = 0.01  # low: people look every week
FEWEST = 20  # images on either side of a change
LEAST_POINTS = 0.05  # a smaller change of a share is not reported, however sure
LEAST_SPREADS = 0.25  # nor one of the mean distance, in standard deviations
STATUSES = {"answered": "answer", "referred": "refer", "rejected": "reject"}
DISTANCE, AGREEMENT = "distance", "agreement"
PREDICTED = "predicted "  # before the name of a class

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WeeklyValues:
    """One measure: `values` (n,) of images in the weeks `weeks` (n,), Mondays as ordinals, rising.

    A share holds 0 and 1; the mean distance from the training images holds scores.
    """

    name: str
    weeks: NDArray[np.int64]
    values: Floats

    @property
    def share(self) -> bool:
        return self.name != DISTANCE

    def in_week(self, week: int) -> Estimate:
        """The measure in one week, with its interval and n."""
        return self.estimate(self.values[self.weeks == week])

    def estimate(self, values: Floats) -> Estimate:
        """Share with Clopper and Pearson's exact interval, or mean with Student's."""
        return share_of(int(values.sum()), len(values)) if self.share else mean_of(values)


@dataclass(frozen=True)
class Change:
    """A measure that differs since the week `since` (a Monday); `p` is corrected."""

    measure: str
    since: date
    now: Estimate
    before: Estimate
    p: float


@dataclass(frozen=True)
class Against:
    """A measure here, and what the model file says of its own test; `differs` if they cannot be
    one."""

    measure: str
    here: Estimate
    there: Estimate
    differs: bool


@dataclass(frozen=True)
class Drift:
    """What was found for one model: `weeks` are Mondays, `series` the measures by name."""

    model: str
    version: str
    sha256: str
    images: int
    weeks: tuple[date, ...]
    series: Mapping[str, WeeklyValues]
    changes: tuple[Change, ...]
    against: tuple[Against, ...]

    @property
    def verdict(self) -> str:
        """ "drifted", "too few" to tell, or "no change found"."""
        if self.changes or any(found.differs for found in self.against):
            return "drifted"
        enough = self.images >= 2 * FEWEST and len(self.weeks) > 1
        return "no change found" if enough else "too few"


def share_of(hits: int, n: int) -> Estimate:
    """A share with its exact interval (Clopper and Pearson 1934); undefined for n = 0."""
    if n == 0:
        return Estimate(None, None, None, 0)
    tail = (1 - LEVEL) / 2
    low = float(stats.beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return Estimate(hits / n, low, high, n)


def mean_of(values: Floats) -> Estimate:
    """A mean with Student's interval; undefined for fewer than two values."""
    n = len(values)
    if n < 2:
        return Estimate(None, None, None, n)
    mean = float(values.mean())
    half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is needed of a case; logs are long."""

    week: int
    status: str
    predicted: str | None
    score: float | None
    agrees: bool | None

    @classmethod
    def of(cls, case: Case, week: int) -> _Seen:
        predicted = None if case.predicted is None else sys.intern(case.predicted)
        agrees = None
        if case.predicted is not None and case.reading:
            agrees = set(case.reading.split("|")) == set(case.predicted.split("|"))
        return cls(week, sys.intern(case.status), predicted, case.ood_score, agrees)


def find_drift(
    cases: Iterable[Case], models: Mapping[str, BundleInfo] | None = None
) -> list[Drift]:
    """The drift of every model in `cases`; `models` are known model files by SHA-256."""
    by_model: dict[tuple[str, str, str], dict[tuple[int, str], _Seen]] = {}
    for case in cases:
        week = case.time.date().toordinal() - case.time.weekday()
        images = by_model.setdefault((case.model, case.model_version, case.model_sha256), {})
        key, seen = (week, case.image_sha256), _Seen.of(case, week)
        if key not in images or seen.agrees is not None or images[key].agrees is None:
            images[key] = seen
    return [
        _drift(name, list(images.values()), (models or {}).get(name[2]))
        for name, images in sorted(by_model.items())
    ]


def _drift(name: tuple[str, str, str], seen: list[_Seen], info: BundleInfo | None) -> Drift:
    seen.sort(key=lambda one: one.week)
    series = {found.name: found for found in _series(seen)}
    weeks = tuple(date.fromordinal(week) for week in sorted({one.week for one in seen}))
    comparisons = len(series) * max(len(weeks) - 1, 1)
    changes = [change for one in series.values() if (change := find_change(one, comparisons))]
    changes.sort(key=lambda change: change.p)
    against = tuple(_against(series, info)) if info else ()
    return Drift(*name, len(seen), weeks, series, tuple(changes), against)


def _series(seen: Sequence[_Seen]) -> Iterator[WeeklyValues]:
    def series(name: str, values: Iterable[float | None]) -> WeeklyValues:
        kept = [(one.week, v) for one, v in zip(seen, values, strict=True) if v is not None]
        table = np.array(kept, np.float64).reshape(-1, 2)
        return WeeklyValues(name, table[:, 0].astype(np.int64), table[:, 1])

    for name, status in STATUSES.items():
        yield series(name, (one.status == status for one in seen))
    for name in sorted({one.predicted for one in seen if one.predicted is not None}):
        yield series(
            f"{PREDICTED}{name}",
            (None if one.predicted is None else one.predicted == name for one in seen),
        )
    yield series(DISTANCE, (one.score for one in seen))
    yield series(AGREEMENT, (one.agrees for one in seen))


def find_change(series: WeeklyValues, comparisons: int = 1) -> Change | None:
    """The change of a measure that is clearest, if it is clear and large enough to matter.

    `comparisons` is how many pairs of week and measure are tried in all.
    """
    starts = np.flatnonzero(np.diff(series.weeks)) + 1  # where a new week begins
    n = len(series.values)
    starts = starts[(starts >= FEWEST) & (n - starts >= FEWEST)]
    if not len(starts):
        return None
    at = int(starts[np.argmax(_evidence(series.values, starts))])
    before, now = series.values[:at], series.values[at:]
    gap = abs(float(now.mean() - before.mean()))
    p = min(1.0, comparisons * _p_value(series.share, before, now))
    if p >= ALPHA or gap < (LEAST_POINTS if series.share else LEAST_SPREADS * before.std()):
        return None
    since = date.fromordinal(int(series.weeks[at]))
    return Change(series.name, since, series.estimate(now), series.estimate(before), p)


def _evidence(values: Floats, starts: NDArray[np.int64]) -> Floats:
    """The variance that a change at each of `starts` would explain."""
    total, n = values.sum(), len(values)
    first = np.cumsum(values)[starts - 1]
    return np.asarray((first - total * starts / n) ** 2 / (starts * (n - starts)))


def _p_value(share: bool, before: Floats, now: Floats) -> float:
    if not share:
        return float(stats.mannwhitneyu(before, now, method="asymptotic").pvalue)
    hits = np.array([before.sum(), now.sum()], np.int64)
    table = np.stack([hits, np.array([len(before), len(now)]) - hits])
    return float(stats.fisher_exact(table).pvalue)


def _against(series: Mapping[str, WeeklyValues], info: BundleInfo) -> Iterator[Against]:
    """Shares here beside those of the model's own test split, where its file has them."""
    results = info.results or {}
    for measure, figure in (("answered", "answered.coverage"), (AGREEMENT, "accuracy")):
        found, one = results.get(figure), series[measure]
        if found is None or found.ci95 is None:
            continue
        low, high = found.ci95
        there = Estimate(found.value, low, high, found.n)
        here = one.estimate(one.values)
        yield Against(measure, here, there, _apart(here, there))


def _apart(here: Estimate, there: Estimate) -> bool:
    if None in (here.value, here.low, here.high, there.low, there.high) or (here.n or 0) < FEWEST:
        return False
    gap = max(here.low - there.high, there.low - here.high)  # type: ignore[operator]
    return gap > 0 and abs(here.value - there.value) >= LEAST_POINTS  # type: ignore[operator]


def unseen(drift: Drift) -> float:
    """How far the share of rejected images may have moved half way through and still go unseen, one
    time in five."""
    share = drift.series["rejected"].values.mean() if drift.images else 0.0
    share = min(max(float(share), 1 / max(drift.images, 1)), 0.5)
    comparisons = len(drift.series) * max(len(drift.weeks) - 1, 1)
    z = stats.norm.ppf(1 - ALPHA / comparisons / 2) + stats.norm.ppf(0.8)
    spread = float(z * np.sqrt(4 * share * (1 - share) / max(drift.images, 1)))
    return max(LEAST_POINTS, spread)
