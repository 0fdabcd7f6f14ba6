"""A corrected manifest: one of each set of equal files, conflicts marked. No image is touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from overread.dataset.audit.examine import audit_without, refuse_inside
from overread.documents.audit import Audit
from overread.documents.manifest import (
    SPLITS,
    ImageRecord,
    Manifest,
    read_manifest,
    write_manifest,
)
from overread.errors import ConfigError
from overread.files import write_csv


@dataclass(frozen=True)
class Fixed:
    """A corrected manifest, (removed path, path kept in its place) pairs, and the column in which
    "yes" marks conflicts."""

    manifest: Manifest
    removed: tuple[tuple[str, str], ...]
    column: str

    @property
    def marked(self) -> int:
        """How many images are marked as a conflict."""
        return sum(record.extra[self.column] == "yes" for record in self.manifest.records)


def write_fixed(run: Path, folder: Path) -> Fixed:
    """Write FOLDER/manifest.csv, audit.json and removed.csv from an audited RUN.

    FOLDER is then a run of its own, on which `split` and `train` go on. Of files with equal bytes
    one stays: that of the given split test, then val, then train, then the first by path. Copies
    whose labels differ and equal files of two named patients all stay, with "yes" in the column
    `conflict` (`conflict_2`, ... where the user has a column of that name), for a person to decide.

    Raises ConfigError when FOLDER is RUN itself, DataError when it lies inside DATA.
    """
    run, folder = Path(run), Path(folder)
    if folder.resolve() == run.resolve():
        raise ConfigError(f"--fix names the run folder {run} itself", hint="Name another folder.")
    manifest, audit = read_manifest(run), Audit.read(run)
    refuse_inside(folder, manifest.root)
    by_path = {record.path: record for record in manifest.records}
    equal = {paths: _agree(by_path[p] for p in paths) for paths in audit.exact_duplicates}
    disputed = [*audit.conflicting_labels, *(paths for paths in equal if not equal[paths])]
    conflicts = {path for paths in disputed for path in paths}
    removed = tuple(
        (path, kept)
        for paths in equal
        if equal[paths]
        for kept in [min(paths, key=lambda path: _rank(by_path[path]))]
        for path in paths
        if path != kept
    )
    gone = dict(removed)
    known = {kept: by_path[path].patient for path, kept in removed if by_path[path].patient}
    column = audit.conflict_column or _free_name(manifest.records)
    fixed = manifest.with_records(
        tuple(_marked(r, column, conflicts, known) for r in manifest.records if r.path not in gone)
    )
    rest = audit_without(audit, fixed, gone).model_copy(update={"conflict_column": column})
    write_manifest(folder, fixed)
    write_csv(folder / "removed.csv", ("path", "kept"), removed)
    rest.write(folder)
    return Fixed(fixed, removed, column)


def _agree(copies: Iterable[ImageRecord]) -> bool:
    """Whether equal files have one label and name one patient at most.

    Without one of its copies, an image of two patients would no longer keep them together.
    """
    named = {(record.label, record.patient) for record in copies}
    labels, patients = ({*column} for column in zip(*named, strict=True))
    return len(labels) == 1 and len(patients - {""}) <= 1


def _free_name(records: Iterable[ImageRecord]) -> str:
    taken = {name for record in records for name in record.extra}
    names = ("conflict" if n == 1 else f"conflict_{n}" for n in count(1))
    return next(name for name in names if name not in taken)


def _rank(record: ImageRecord) -> tuple[int, str]:
    order = {name: place for place, name in enumerate(reversed(SPLITS))}
    return order.get(record.split, len(SPLITS)), record.path


def _marked(
    record: ImageRecord, column: str, conflicts: set[str], patients: Mapping[str, str]
) -> ImageRecord:
    """The record with its mark; who is on it may be known only from a copy that was removed."""
    mark = "yes" if record.path in conflicts else ""
    patient = record.patient or patients.get(record.path, "")
    return replace(record, patient=patient, extra={**record.extra, column: mark})
