"""How well the model does for parts of the patients: each site, sex, device, age band.

A model can be good on average and poor for some. Each subgroup is set against everyone else by the
same draws of groups; a gap in macro AUROC above 0.05 (Seah et al. 2021, BMJ Open 11:e053024) whose
interval excludes 0 is flagged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from overread.documents.metrics import SubgroupMetrics, UnjudgedSubgroup
from overread.evaluation.estimates import Sample, bootstrap, point, with_intervals
from overread.stats.differences import difference, excludes_zero
from overread.stats.estimate import Estimate
from overread.stats.resample import Groups

Bools = NDArray[np.bool_]
FLAGGED_GAP = 0.05
SHOWN = ("accuracy", "balanced_accuracy", "macro_auroc")
MOST_VALUES = 12  # a column with more different words describes images, not subgroups
FEWEST_IMAGES = 5
MISSING = "(not given)"


def subgroups(
    sample: Sample, columns: Mapping[str, Sequence[str]], *, resamples: int, seed: int
) -> dict[str, dict[str, SubgroupMetrics]]:
    """For each column and value: images, groups, estimates, and the gap to all other images.

    `columns` holds (n,) texts each. Numbers with many values are cut into thirds; see `left_out`
    for what is not judged.
    """
    found = {}
    for name, texts in columns.items():
        values = banded(texts)
        kinds = sorted(set(values))
        if 2 <= len(kinds) <= MOST_VALUES:
            inside = {kind: np.array([v == kind for v in values]) for kind in kinds}
            found[name] = {
                kind: _against_rest(sample, rows, resamples, seed)
                for kind, rows in inside.items()
                if rows.sum() >= FEWEST_IMAGES
            }
    return {name: rows for name, rows in found.items() if rows}


def left_out(columns: Mapping[str, Sequence[str]]) -> tuple[UnjudgedSubgroup, ...]:
    """What `subgroups` does not judge.

    Values with fewer than FEWEST_IMAGES images; and, with a `value` of None, columns with more than
    MOST_VALUES different ones, of which `n` says how many. A column of one value holds no subgroup.
    """
    found: list[UnjudgedSubgroup] = []
    for name, texts in columns.items():
        counts = Counter(banded(texts))
        if len(counts) > MOST_VALUES:
            found.append(UnjudgedSubgroup(column=name, value=None, n=len(counts)))
        elif len(counts) > 1:
            few = sorted(value for value, n in counts.items() if n < FEWEST_IMAGES)
            found += [UnjudgedSubgroup(column=name, value=value, n=counts[value]) for value in few]
    return tuple(found)


def banded(texts: Sequence[str]) -> list[str]:
    """The texts, or thirds such as "40 to 57" where they are numbers with many values."""
    numbers = np.array([_number(text) for text in texts])
    known = np.isfinite(numbers)
    if len(set(texts)) <= MOST_VALUES or not known.any() or known.sum() < sum(map(bool, texts)):
        return [text or MISSING for text in texts]
    cuts = np.quantile(numbers[known], [1 / 3, 2 / 3])
    third = np.searchsorted(cuts, numbers, side="left")
    ends = [
        (numbers[known & (third == t)].min(), numbers[known & (third == t)].max())
        for t in sorted(set(third[known]))
    ]
    names = dict(
        zip(
            sorted(set(third[known])), (f"{_short(a)} to {_short(b)}" for a, b in ends), strict=True
        )
    )
    return [names[t] if k else MISSING for t, k in zip(third, known, strict=True)]


def _short(number: float) -> str:
    """Whole numbers whole: a date such as 20230131 is none in six digits."""
    return f"{number:.0f}" if float(number).is_integer() else f"{number:g}"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _against_rest(sample: Sample, inside: Bools, resamples: int, seed: int) -> SubgroupMetrics:
    part, rest = (_judged(_take(sample, rows), resamples, seed) for rows in (inside, ~inside))
    gaps = {name: difference(part[name], rest[name]) for name in SHOWN}
    auroc = gaps["macro_auroc"]
    large = auroc.value is not None and abs(auroc.value) > FLAGGED_GAP
    return SubgroupMetrics(
        n=int(inside.sum()),
        groups=len(np.unique(sample.groups.codes[inside])),
        **{name: part[name].rounded() for name in SHOWN},
        gap={name: gap.rounded() for name, gap in gaps.items()},
        flagged=bool(large and excludes_zero(auroc)),
    )


def _judged(sample: Sample, resamples: int, seed: int) -> dict[str, Estimate]:
    return with_intervals(sample, point(sample), bootstrap(sample, resamples, seed)).overall


def _take(sample: Sample, rows: Bools) -> Sample:
    return replace(
        sample,
        truth=sample.truth[rows],
        decisions=sample.decisions[rows],
        probabilities=sample.probabilities[rows],
        answered=sample.answered[rows],
        groups=Groups(sample.groups.codes[rows], sample.groups.count),
    )
