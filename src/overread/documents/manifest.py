"""The manifest: one row per image, the table that every later stage starts from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from overread.errors import DataError
from overread.files import read_csv, read_json, write_csv

COLUMNS = (
    "path",
    "sha256",
    "width",
    "height",
    "mode",
    "label",
    "patient",
    "source",
    "site",
    "mask",
    "split",
    "group",
)
SPLITS = ("train", "val", "test")
MANIFEST_FILE = "manifest.csv"
AUDIT_FILE = "audit.json"


@dataclass(frozen=True)
class ImageRecord:
    """One image. `path` and `mask` are relative to DATA with forward slashes; "" means unknown.

    `label` is "" (none), "a", or "a|b" (several); `mask` may name several files joined by "|";
    `width` and `height` are pixels as displayed; `extra` holds the user's further columns.
    """

    path: str
    sha256: str
    width: int
    height: int
    mode: str
    label: str = ""
    patient: str = ""
    source: str = ""
    site: str = ""
    mask: str = ""
    split: str = ""
    group: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels one by one; empty when there is none."""
        return tuple(self.label.split("|")) if self.label else ()


@dataclass(frozen=True)
class Unreadable:
    """An image file that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """All images of a data set, sorted by path. `root` is DATA as given, made absolute."""

    root: Path
    records: tuple[ImageRecord, ...]
    unreadable: tuple[Unreadable, ...] = ()
    passport: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, sorted."""
        return tuple(sorted({label for record in self.records for label in record.labels}))

    @property
    def multilabel(self) -> bool:
        """Whether an image may carry several labels, or none."""
        return any(len(record.labels) != 1 for record in self.records)

    def class_counts(self) -> dict[str, int]:
        """Images per class, by class name."""
        counts = Counter(label for record in self.records for label in record.labels)
        return {name: counts[name] for name in self.classes}

    def with_records(self, records: tuple[ImageRecord, ...]) -> Manifest:
        """The same data set with other rows, sorted by path."""
        return replace(self, records=tuple(sorted(records, key=lambda record: record.path)))


def write_manifest(run: Path, manifest: Manifest) -> None:
    """Write RUN/manifest.csv: the contract's columns, then the user's own in their order."""
    extra = list(dict.fromkeys(name for record in manifest.records for name in record.extra))
    rows = (
        [getattr(record, name) for name in COLUMNS] + [record.extra.get(name, "") for name in extra]
        for record in manifest.records
    )
    write_csv(Path(run) / MANIFEST_FILE, [*COLUMNS, *extra], rows)


def read_manifest(run: Path) -> Manifest:
    """Read RUN/manifest.csv, with the data root and what was left out from RUN/audit.json.

    Raises DataError when either file is missing, of another version, or its values are unusable.
    """
    run = Path(run)
    audit = read_json(run / AUDIT_FILE, hint=f"Run `overread audit DATA --out {run}` first.")
    table = run / MANIFEST_FILE
    columns, rows = read_csv(table)
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise DataError(
            f"has no column '{missing[0]}'", where=table, hint="Run `overread audit` again."
        )
    records = tuple(_record(row, f"{table}, line {line}") for line, row in enumerate(rows, start=2))
    return _manifest(audit, run / AUDIT_FILE, records)


def _manifest(audit: dict[str, Any], where: Path, records: tuple[ImageRecord, ...]) -> Manifest:
    try:
        found = Manifest(
            root=Path(audit["data"]),
            records=records,
            unreadable=tuple(Unreadable(e["path"], e["reason"]) for e in audit["unreadable"]),
            passport=audit.get("passport"),
            notes=tuple(audit.get("notes", ())),
        )
    except (KeyError, TypeError) as error:
        raise DataError(
            f"lacks what it should hold ({error})", where=where, hint="Run `overread audit` again."
        ) from error
    return found.with_records(records)


def _record(row: dict[str, str], where: str) -> ImageRecord:
    try:
        size = {name: int(row[name]) for name in ("width", "height")}
    except ValueError as error:
        raise DataError(f"has an image size that is no number ({error})", where=where) from error
    if row["split"] not in (*SPLITS, ""):
        raise DataError(
            f"has the split '{row['split']}'", where=where, hint="Use train, val, test or nothing."
        )
    texts = {name: row[name] for name in COLUMNS if name not in size}
    extra = {name: value for name, value in row.items() if name not in COLUMNS}
    return ImageRecord(**texts, **size, extra=extra)  # type: ignore[arg-type]
