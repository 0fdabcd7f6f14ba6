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
    score: float = Field(description="How sure it is, 0 to 1.")
    kind: str = Field(description="What was done to one to get the other: rotation, crop, ...")
    transform: tuple[tuple[float, ...], ...] | None = Field(
        default=None, description="2 x 3 matrix that takes pixels of a to pixels of b."
    )


class Leak(Part):
    """Two images that belong together but lie in different given splits."""

    a: str
    b: str
    splits: tuple[str, str]
    reason: str
    transform: tuple[tuple[float, ...], ...] | None = Field(
        default=None, description="For an altered copy, as in near_duplicates; else null."
    )


class LabelIssue(Part):
    """An image whose label the rest of the data contradicts."""

    path: str
    label: str
    suggested: str
    score: float = Field(description="How much likelier the suggestion is than the label, 0..1.")


class QualityFlag(Part):
    """An image that a quality check reports."""

    path: str
    issue: str
    score: float


class ShortcutProbe(Part):
    """How well the label can be told from what is not medicine."""

    probe: str
    auroc: float
    ci95: tuple[float, float] = Field(description="95 % interval of the AUROC, over groups.")
    verdict: Literal["clean", "suspicious", "shortcut"]
    meaning: str = Field(default="", description="What the label can be told from.")
    n: int | None = Field(default=None, description="Images that were scored.")
    accuracy: float | None = Field(
        default=None, description="Of the best guess from a published source alone; else null."
    )
    one_vs_rest: dict[str, float] | None = Field(
        default=None, description="The same, asked of each class against the others; else null."
    )


class Finding(Part):
    """What was found, in a sentence, and what to do."""

    check: str
    severity: Severity
    count: int | float
    message: str
    advice: str
    values: dict[str, Any] = Field(default={}, description="The figures that the message names.")


class Audit(Document):
    """Everything an audit found."""

    FILE: ClassVar[str] = "audit.json"
    HINT: ClassVar[str] = "Run `overread audit DATA --out` and this folder again."

    data: str = Field(default="", description="DATA as it was given, made absolute.")
    images: int
    classes: dict[str, int] = Field(default={}, description="Images a class: {name: n}.")
    unreadable: tuple[UnreadableFile, ...] = ()
    exact_duplicates: tuple[tuple[str, ...], ...] = Field(
        default=(), description="Sets of files with the same bytes."
    )
    near_duplicates: tuple[CopiedPair, ...] = ()
    groups: tuple[tuple[str, ...], ...] = Field(
        default=(), description="Only those of two or more."
    )
    conflicting_labels: tuple[tuple[str, ...], ...] = Field(
        default=(), description="Sets of copies whose labels differ."
    )
    leaks: tuple[Leak, ...] = ()
    label_issues: tuple[LabelIssue, ...] = ()
    quality: tuple[QualityFlag, ...] = ()
    shortcuts: tuple[ShortcutProbe, ...] = ()
    known_data_set: str | None = Field(
        default=None, description="Name of the published data set that DATA was recognised as."
    )
    given_splits: dict[str, tuple[str, ...]] = Field(
        default={}, description="The splits that DATA itself gives: {split: [path]}."
    )
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    verdict: Literal["clean", "warnings", "blocked"]
    duplicate_search: bool = Field(
        default=True, description="False where the search for altered copies did not run."
    )
    conflict_column: str | None = Field(
        default=None, description="Column of manifest.csv in which --fix marked conflicts; or null."
    )
