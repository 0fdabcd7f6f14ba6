"""audit.json: what an audit found, before anything was split or trained."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from overread.documents.document import Document, Part

Severity = Literal["block", "warn", "note"]


class UnreadableFile(Part):
    """An image file that could not be read, and why."""

    path: str
    reason: str


class CopiedPair(Part):
    """Two images of which one is an altered copy of the other."""

    a: str
    b: str
    score: float = Field(description="Evidence, 0 to 1.")
    kind: str = Field(description="What was done to it: rotation, crop, ...")
    transform: tuple[tuple[float, ...], ...] | None = Field(
        default=None, description="2 x 3 matrix that takes pixels of a to pixels of b."
    )


class Leak(Part):
    """Two images that belong together but lie in different given splits."""

    a: str
    b: str
    splits: tuple[str, str]
    reason: str


class LabelIssue(Part):
    """An image whose label the rest of the data contradicts."""

    path: str
    label: str
    suggested: str
    score: float = Field(description="Share of the cross-validated vote for the suggestion, 0..1.")


class QualityFlag(Part):
    """An image that a quality check reports."""

    path: str
    issue: str
    score: float


class ShortcutProbe(Part):
    """How well the label can be told from what is not medicine."""

    probe: str
    auroc: float
    ci95: tuple[float, float]
    verdict: Literal["clean", "suspicious", "shortcut"]
    meaning: str = ""
    n: int | None = None
    accuracy: float | None = None
    one_vs_rest: dict[str, float] | None = None


class Finding(Part):
    """What was found, in a sentence, and what to do."""

    check: str
    severity: Severity
    count: float
    message: str
    advice: str
    values: dict[str, Any] = {}


class Audit(Document):
    """Everything an audit found."""

    FILE: ClassVar[str] = "audit.json"
    HINT: ClassVar[str] = "Run `overread audit DATA --out` and this folder again."

    data: str = Field(default="", description="DATA as it was given, made absolute.")
    images: int
    classes: dict[str, int] = {}
    unreadable: tuple[UnreadableFile, ...] = ()
    exact_duplicates: tuple[tuple[str, ...], ...] = ()
    near_duplicates: tuple[CopiedPair, ...] = ()
    groups: tuple[tuple[str, ...], ...] = Field(
        default=(), description="Only those of two or more."
    )
    conflicting_labels: tuple[tuple[str, ...], ...] = ()
    leaks: tuple[Leak, ...] = ()
    label_issues: tuple[LabelIssue, ...] = ()
    quality: tuple[QualityFlag, ...] = ()
    shortcuts: tuple[ShortcutProbe, ...] = ()
    known_data_set: str | None = None
    given_splits: dict[str, tuple[str, ...]] = Field(
        default={}, description="The splits that DATA itself gives: {split: [path]}."
    )
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    verdict: Literal["clean", "warnings", "blocked"]
    duplicate_search: bool = Field(
        default=True, description="False where the search for altered copies did not run."
    )
