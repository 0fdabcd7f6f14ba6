"""The audit's checks: one row each, with its threshold and what it means.

Scores are measured elsewhere; here they become decisions, so a threshold can change without
opening an image again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from overread.dataset.audit import quality_scores
from overread.dataset.audit.measure import Scalars
from overread.documents.audit import Finding, QualityFlag, Severity


@dataclass(frozen=True)
class AuditCheck:
    """One check. `score` gives (n,) numbers for checks of single images, else None.

    `flags` says on which side of `threshold` an image or a data set is reported; `meaning` what it
    is, `advice` what to do.
    """

    name: str
    score: Callable[[Sequence[Scalars]], quality_scores.Scores] | None
    threshold: float
    flags: Literal["below", "above"]
    severity: Severity
    meaning: str
    advice: str

    def hit(self, score: float) -> bool:
        """Whether a score is reported."""
        return score < self.threshold if self.flags == "below" else score > self.threshold


CHECKS = (
    AuditCheck(
        "unreadable", None, 0, "above", "warn",
        "image files that cannot be read",
        "Replace or remove them; they are left out of everything that follows.",
    ),
    AuditCheck(
        "exact_duplicates", None, 0, "above", "warn",
        "sets of files with the same bytes",
        "Keep one of each with --fix; the split keeps them together either way.",
    ),
    AuditCheck(
        "near_duplicates", None, 0, "above", "warn",
        "pairs of altered copies of one picture",
        "Nothing to do for the split, which keeps them together; count pictures, not files.",
    ),
    AuditCheck(
        "conflicting_labels", None, 0, "above", "warn",
        "sets of copies whose labels differ",
        "Have an expert decide the label of each, or leave the set out.",
    ),
    AuditCheck(
        "leaks", None, 0, "above", "block",
        "pairs that belong together but lie in different given splits",
        "Split anew with --ignore-given; --split as-given only to repeat a published figure.",
    ),
    AuditCheck(
        "label_issues", None, 0.8, "above", "warn",
        "images whose label the rest of the data contradicts",
        "Have an expert look at them; none of these labels is proven wrong.",
    ),
    AuditCheck(
        "blank", quality_scores.spread, 2, "below", "warn",
        "images with nothing on them", "Remove them.",
    ),
    AuditCheck(
        "blurred", quality_scores.relative_sharpness, 0.04, "below", "warn",
        "images far less sharp than the others", "Look at them; leave out what cannot be read.",
    ),
    AuditCheck(
        "overexposed", quality_scores.darkest, 200, "above", "warn",
        "images without any dark area", "Look at them; leave out what cannot be read.",
    ),
    AuditCheck(
        "underexposed", quality_scores.brightest, 30, "below", "warn",
        "images without any bright area", "Look at them; leave out what cannot be read.",
    ),
    AuditCheck(
        "tiny", quality_scores.side_over_least, 1, "below", "warn",
        "images far smaller than the others, or under 16 pixels",
        "Find the originals; these may be thumbnails.",
    ),
    AuditCheck(
        "odd_aspect", quality_scores.aspect, 3, "above", "warn",
        "images more than three times longer than wide", "Check that they are what they should be.",
    ),
    AuditCheck(
        "damaged", quality_scores.grey_band, 0.08, "above", "warn",
        "images whose lower part is lost (flat grey)", "Copy them again from where they came.",
    ),
    AuditCheck(
        "burned_in_text", quality_scores.text, 4, "above", "note",
        "images with text burned in", "Check it for names; compare the probe 'text'.",
    ),
    AuditCheck(
        "markers", quality_scores.marks, 0.0005, "above", "note",
        "images with marks burned in: colour on grey, or a single L or R",
        "Marks can give away the answer, or the hospital; crop them or cover them up.",
    ),
    AuditCheck(
        "imbalance", None, 5, "above", "warn",
        "times more images in the largest class than in the smallest",
        "Judge by balanced accuracy and AUROC, not by accuracy.",
    ),
    AuditCheck(
        "small_class", None, 20, "below", "warn",
        "groups in the smallest class", "Collect more; figures for this class will tell little.",
    ),
    AuditCheck(
        "small_test", None, 0.80, "below", "warn",
        "is the accuracy that the test split cannot tell from 90 %",
        "Report the interval, use --folds, or collect more.",
    ),
    AuditCheck(
        "shortcut", None, 0.7, "above", "warn",
        "probes tell the label from what is not medicine",
        "Find out why the classes differ in it; even it out, or collect from one source.",
    ),
)  # fmt: skip

STRONG_SHORTCUT = 0.9


def check_named(name: str) -> AuditCheck:
    """The row of that name."""
    return next(check for check in CHECKS if check.name == name)


def quality_flags(paths: Sequence[str], facts: Sequence[Scalars]) -> tuple[QualityFlag, ...]:
    """All images that a check of single images reports, and by which."""
    if not facts:
        return ()
    found: list[QualityFlag] = []
    for check in CHECKS:
        if check.score is None:
            continue
        scores = check.score(facts)
        hits = scores < check.threshold if check.flags == "below" else scores > check.threshold
        found += [
            QualityFlag(path=paths[i], issue=check.name, score=round(float(scores[i]), 5))
            for i in np.flatnonzero(hits).tolist()
        ]
    return tuple(found)


def shortcut_verdict(auroc: float, low: float) -> Literal["clean", "suspicious", "shortcut"]:
    """ "clean", "suspicious" or "shortcut", from a probe's AUROC and the lower end of its interval.

    The interval must be clear of chance (0.5), so a small data set is not accused for nothing.
    """
    least = check_named("shortcut").threshold
    if auroc <= least or low <= 0.55:
        return "clean"
    return "shortcut" if auroc > STRONG_SHORTCUT and low > least else "suspicious"


def verdict(findings: Sequence[Finding]) -> Literal["clean", "warnings", "blocked"]:
    """ "blocked", "warnings" or "clean": the gravest of the findings."""
    grave = {finding.severity for finding in findings}
    return "blocked" if "block" in grave else "warnings" if "warn" in grave else "clean"
