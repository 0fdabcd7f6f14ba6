"""Shortcut tests: what a model still tells with the diagnostic region occluded.

Judged from shortcut_tests.csv alone.

The limits were set on phantom data with and without planted shortcuts (docs/explanation/
shortcuts.md), never on a real test set. They look at the class that is told best: a shortcut to one
class of many hardly shows in the mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from overread.documents.metrics import (
    ShortcutTest,
    ShortcutTests,
    ShortcutVerdict,
    StrongestClass,
    UntouchedFigures,
)
from overread.documents.predictions import PredictionTable, columns_of, decide, rows_of, table_of
from overread.errors import DataError
from overread.evaluation.estimates import Figures, Sample, bootstrap, point, with_intervals
from overread.files import read_csv, write_csv
from overread.stats.differences import paired_difference
from overread.stats.effective_size import EffectiveSizes
from overread.stats.estimate import Estimate, tidy

SHORTCUT_TESTS_FILE = "shortcut_tests.csv"
TestKind = Literal["gone", "coder", "told"]
RowVerdict = Literal["pass", "warn", "fail", "unknown", "note"]
CHANCE = 0.5  # of an AUROC
# The lower end of the interval of a class's AUROC that warns or fails where it is occluded
# (widened, because the best of several classes is looked at, which chance favours), ...
WARN_ABOVE, FAIL_ABOVE = 0.65, 0.75
FAIL_BORDER = 0.7  # ... for rows that leave the border alone, where less of it is left
BORDER = ("border_only", "centre_swapped")
KEPT = 0.5  # ... if it keeps at least this share of what the class is above chance untouched.
STILL = 0.1  # A row whose answers keep less of their spread over images clears nobody.
FALL = 0.05  # of the mean AUROC, through one coder: more than this is worth a look (Seah 2021)
# What each row can say: "gone" accuses when it does well, "coder" when it falls, "told" informs.
KINDS: Mapping[str, TestKind] = {
    "border_only": "gone",
    "centre_swapped": "gone",
    "centre_covered": "gone",
    "masked_out": "gone",
    "masked_only": "told",
    "blurred": "told",
    "pixels_shuffled": "told",
    "patches_shuffled": "told",
    "grey": "told",
    "reencoded": "coder",
}
SEVERAL = ("centre_swapped",)  # rows that hold several answers an image
ACCUSING = ("warn", "fail")
REASONS = {
    "fail": "With '{row}' the model still recognises '{label}' (AUROC {value:.2f}, 95 % interval "
    "{low:.2f} to {high:.2f}, chance 0.5): it has learnt something that is not the disease.",
    "warn": "With '{row}' the model still recognises '{label}' better than it should (AUROC "
    "{value:.2f}, 95 % interval {low:.2f} to {high:.2f}, chance 0.5).",
    "coder": "With every image saved by the same coder its mean AUROC changes by {value:+.2f} "
    "(95 % interval {low:+.2f} to {high:+.2f}): it relies on how files were saved.",
    "unknown": "On these images the model is not shown to be better than chance: nothing can be "
    "said of shortcuts.",
    "still": "With the diagnostic region occluded the model answers all images nearly alike: "
    "nothing can be said of shortcuts.",
    "pass": "With the diagnostic region occluded the model recognises no class: no shortcut was "
    "found.",
    "pass_some": "With the diagnostic region occluded the model recognises no class: no shortcut "
    "was found. (In {still} of {ways} ways of occluding it it answers all images nearly alike; "
    "these show nothing.)",
}


@dataclass(frozen=True)
class TableFigures:
    """The figures of one table, with the resamples that paired differences are made of."""

    sample: Sample
    found: Figures
    drawn: dict[str, NDArray[np.float64]]

    @classmethod
    def of(cls, table: PredictionTable, resamples: int, seed: int) -> TableFigures:
        sample = Sample.of(table)
        values, drawn = point(sample), bootstrap(sample, resamples, seed)
        return cls(sample, with_intervals(sample, values, drawn), drawn)


def write_tables(path: Path, tables: Mapping[str, PredictionTable]) -> None:
    """Write shortcut_tests.csv: the predictions after each intervention, one below the other."""
    columns = ["intervention", *columns_of(next(iter(tables.values())))]
    rows = ([name, *row] for name, table in tables.items() for row in rows_of(table))
    write_csv(path, columns, rows)


def read_tables(path: Path, *, multilabel: bool) -> dict[str, PredictionTable]:
    """Read shortcut_tests.csv. DataError where it is damaged or an intervention is not known."""
    columns, rows = read_csv(path)
    if "intervention" not in columns:
        raise DataError("has no column 'intervention'", where=path, hint="Make it again.")
    parts: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if row["intervention"] not in KINDS:
            raise DataError(f"'{row['intervention']}' is not a known intervention", where=path)
        parts.setdefault(row["intervention"], []).append(row)
    return {
        name: table_of(
            columns, part, Path(f"{path} ({name})"), multilabel=multilabel, repeated=name in SEVERAL
        )
        for name, part in parts.items()
    }


def judge(
    test: PredictionTable, tables: Mapping[str, PredictionTable], *, resamples: int, seed: int
) -> ShortcutTests:
    """Every row beside the untouched figures, and one verdict.

    `test` holds the untouched predictions of the whole test split, `tables` those of the same
    images, or of some of them, after each intervention.
    """
    untouched: dict[tuple[str, ...], TableFigures] = {}
    rows = []
    for name, answers in tables.items():
        table = _averaged(answers)
        if table.paths not in untouched:
            same = _same_images(test, table)
            untouched[table.paths] = TableFigures.of(same, resamples, seed)
        before, after = untouched[table.paths], TableFigures.of(table, resamples, seed)
        spread = _spread(before.sample.probabilities, answers.probabilities)
        rows.append(_row(name, before, after, spread))
    accusing = [row for row in rows if row.verdict in ACCUSING]
    worst = max(accusing, key=lambda row: ACCUSING.index(row.verdict), default=None)
    cleared = any(row.kind == "gone" and row.verdict == "pass" for row in rows)
    found = worst.verdict if worst else "pass" if cleared else "unknown"
    verdict: ShortcutVerdict = "unknown" if found == "note" else found
    return ShortcutTests(
        verdict=verdict,
        accused=worst.intervention if worst else None,
        reason=_reason(verdict, worst, rows),
        n=max((row.n for row in rows), default=0),
        of=len(test),
        rows=tuple(rows),
    )


def _averaged(answers: PredictionTable) -> PredictionTable:
    """One row an image: the mean of its answers, where it was covered in several ways."""
    places: dict[str, list[int]] = {}
    for i, path in enumerate(answers.paths):
        places.setdefault(path, []).append(i)
    if len(places) == len(answers):
        return answers
    p = np.stack([answers.probabilities[rows].mean(axis=0) for rows in places.values()])
    predicted = decide(p, answers.classes, answers.multilabel)
    first = answers.rows([rows[0] for rows in places.values()])
    return replace(first, probabilities=p, predicted=predicted)


def _row(
    name: str, before: TableFigures, after: TableFigures, spread: float | None
) -> ShortcutTest:
    change = _change(before, after)
    strongest = _strongest(before.found, after.found)
    whole, left = before.found.overall, after.found.overall
    return ShortcutTest(
        intervention=name,
        kind=KINDS[name],
        n=len(after.sample.truth),
        groups=after.sample.groups.present,
        chance=CHANCE,
        macro_auroc=left["macro_auroc"].rounded(),
        balanced_accuracy=left["balanced_accuracy"].rounded(),
        untouched=UntouchedFigures(
            macro_auroc=whole["macro_auroc"].rounded(),
            balanced_accuracy=whole["balanced_accuracy"].rounded(),
        ),
        change=change.rounded(),
        strongest=strongest,
        spread=spread,
        verdict=_verdict(name, whole["macro_auroc"], change, strongest, spread),
    )


def _same_images(test: PredictionTable, table: PredictionTable) -> PredictionTable:
    place = {path: i for i, path in enumerate(test.paths)}
    missing = [path for path in table.paths if path not in place]
    if missing:
        raise DataError(f"'{missing[0]}' has no untouched prediction", where=SHORTCUT_TESTS_FILE)
    return test.rows([place[path] for path in table.paths])


def _change(before: TableFigures, after: TableFigures) -> Estimate:
    """Macro AUROC after the intervention minus before, on the same images and resamples."""
    name, groups = "macro_auroc", after.sample.groups
    limits = EffectiveSizes.of(after.sample.truth, after.sample.right, groups)
    drawn = after.drawn[name] - before.drawn[name]
    one, other = after.found.overall[name], before.found.overall[name]
    cases = limits.macro_ranked
    return paired_difference(one, other, drawn, groups=groups.present, cases=cases, reach=1.0)


def _spread(before: NDArray[np.float64], after: NDArray[np.float64]) -> float | None:
    """How far the answers (n, K) lie apart, as a share of how far they do untouched."""
    whole, left = (float(np.sqrt(p.var(axis=0).sum())) for p in (before, after))
    return tidy(left / whole) if whole > 0 else None


def _strongest(before: Figures, after: Figures) -> StrongestClass | None:
    """The class that is told best: its AUROC, and what it keeps of what it was above chance."""
    aurocs: dict[str, Estimate] = {
        label: row["auroc"]
        for label, row in after.per_class.items()
        if row["auroc"].value is not None
    }
    if not aurocs:
        return None
    # Ties go to the first name, so that the same table always gives the same row.
    label = max(aurocs, key=lambda name: (aurocs[name].low or 0.0, aurocs[name].value or 0.0))
    whole = (before.per_class[label]["auroc"].value or CHANCE) - CHANCE
    left = (aurocs[label].value or CHANCE) - CHANCE
    kept = tidy(max(left, 0.0) / whole) if whole > 0 else None
    best = aurocs[label].rounded()
    return StrongestClass(label=label, auroc=best, kept=kept, low=_low_of_best(best, len(aurocs)))


def _low_of_best(auroc: Estimate, of: int) -> float:
    """Lower end of the interval of the best of `of` classes (Bonferroni, normal quantiles)."""
    arm = float(norm.ppf(1 - 0.025 / of) / norm.ppf(0.975))
    value, low = auroc.value or 0.0, auroc.low or 0.0
    return round(float(value - arm * (value - low)), 10)


def _verdict(
    name: str,
    untouched: Estimate,
    change: Estimate,
    strongest: StrongestClass | None,
    spread: float | None,
) -> RowVerdict:
    kind = KINDS[name]
    if kind == "told":
        return "note"
    if untouched.low is None or untouched.low <= CHANCE or strongest is None:
        return "unknown"
    if kind == "coder":
        return "warn" if change.high is not None and change.high < -FALL else "pass"
    if (strongest.kept or 0.0) >= KEPT and strongest.low > WARN_ABOVE:
        limit = FAIL_BORDER if name in BORDER else FAIL_ABOVE
        return "fail" if strongest.low > limit else "warn"
    return "unknown" if spread is None or spread < STILL else "pass"


def wording(verdict: str, rows: Sequence[ShortcutTest]) -> tuple[str, dict[str, int]]:
    """Which sentence says a verdict that accuses no row, and the counts that it names.

    A row that cannot tell of a model better than chance is one whose answers hardly varied.
    """
    ways = [row for row in rows if row.kind == "gone"]
    still = sum(row.verdict == "unknown" and _knows(row) for row in ways)
    key = {"pass": "pass_some", "unknown": "still"}[verdict] if still else verdict
    return key, {"still": still, "ways": len(ways)}


def _knows(row: ShortcutTest) -> bool:
    low = row.untouched.macro_auroc.low
    return low is not None and low > CHANCE


def _reason(verdict: str, worst: ShortcutTest | None, rows: Sequence[ShortcutTest]) -> str:
    """The verdict in one English sentence; the report has it in each language."""
    if worst is None or worst.strongest is None:
        key, counts = wording(verdict, rows)
        return REASONS[key].format(**counts)
    accused = worst.change if worst.kind == "coder" else worst.strongest.auroc
    text = REASONS["coder" if worst.kind == "coder" else verdict]
    row, label = worst.intervention.replace("_", " "), worst.strongest.label
    return text.format(
        row=row, label=label, value=accused.value, low=accused.low, high=accused.high
    )
