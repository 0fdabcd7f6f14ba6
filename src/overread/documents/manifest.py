"""The manifest: one row per image, the table that every later stage starts from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from overread.documents.audit import Audit
from overread.errors import DataError
from overread.files import read_csv, write_csv

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
    "fold",
    "group",
)
SPLITS = ("train", "val", "test")
MANIFEST_FILE = "manifest.csv"


@dataclass(frozen=True)
class ImageRecord:
    """One image. `path` and `mask` are relative to DATA with forward slashes; "" means unknown.

    `label` is "" (none), "a", or "a|b" (several); `mask` may name several files joined by "|";
    `width` and `height` are pixels as displayed; `split` is train, val or test, `fold` a number
    from 0 where there are folds; `extra` holds the user's further columns.
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
    fold: str = ""
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
    known_data_set: str | None = None
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
    audit = Audit.read(run)
    if not audit.data:
        raise DataError("has no 'data'", where=run / Audit.FILE, hint=Audit.HINT)
    table = run / MANIFEST_FILE
    columns, rows = read_csv(table)
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise DataError(
            f"has no column '{missing[0]}'", where=table, hint="Run `overread audit` again."
        )
    records = (_record(row, f"{table}, line {line}") for line, row in enumerate(rows, start=2))
    found = Manifest(
        root=Path(audit.data),
        records=tuple(records),
        unreadable=tuple(Unreadable(item.path, item.reason) for item in audit.unreadable),
        known_data_set=audit.known_data_set,
        notes=audit.notes,
    )
    return found.with_records(found.records)


def read_manifest_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a manifest.csv as texts, whatever its columns but `path`, which must be there.

    For whoever needs the table alone: evaluation and the report, also of another tool's run.
    """
    columns, rows = read_csv(path)
    if "path" not in columns:
        found = ", ".join(columns) or "nothing"
        raise DataError(f"has no column 'path', only {found}", where=path, hint=Audit.HINT)
    return rows


def _record(row: dict[str, str], where: str) -> ImageRecord:
    try:
        size = {name: int(row[name]) for name in ("width", "height")}
    except ValueError as error:
        raise DataError(
            f"has an image size that is not a whole number ({error})", where=where
        ) from error
    if row["split"] not in (*SPLITS, ""):
        raise DataError(
            f"has the split '{row['split']}'", where=where, hint="Use train, val, test or nothing."
        )
    texts = {name: row[name] for name in COLUMNS if name not in size}
    extra = {name: value for name, value in row.items() if name not in COLUMNS}
    return ImageRecord(**texts, **size, extra=extra)  # type: ignore[arg-type]
