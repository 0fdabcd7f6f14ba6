"""A corrected manifest: one of each set of equal files, conflicts marked. No image is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from overread.dataset.audit import document_without, refuse_inside
from overread.dataset.manifest import (
    AUDIT_FILE,
    SPLITS,
    ImageRecord,
    Manifest,
    read_manifest,
    write_manifest,
)
from overread.errors import ConfigError
from overread.files import read_json, write_csv, write_json

CONFLICT_COLUMN = "conflict"


def write_fixed(run: Path, folder: Path) -> tuple[Manifest, list[tuple[str, str]]]:
    """Write FOLDER/manifest.csv, audit.json and removed.csv from an audited RUN.

    FOLDER is then a run of its own, on which `split` and `train` go on. Of files with equal bytes
    one stays: that of the given part test, then val, then train, then the first by path. Copies
    whose labels differ all stay, with "yes" in the column `conflict`, for a person to decide.

    Returns the corrected manifest and (removed path, path kept in its place) pairs. Raises
    ConfigError when FOLDER is RUN itself, DataError when it lies inside DATA.
    """
    run, folder = Path(run), Path(folder)
    if folder.resolve() == run.resolve():
        raise ConfigError(f"--fix names the run folder {run} itself", hint="Name another folder.")
    manifest, audit = read_manifest(run), read_json(run / AUDIT_FILE)
    refuse_inside(folder, manifest.root)
    by_path = {record.path: record for record in manifest.records}
    conflicts = {path for paths in audit["conflicting_labels"] for path in paths}
    removed = [
        (path, kept)
        for paths in audit["exact_duplicates"]
        if len({by_path[path].label for path in paths}) == 1
        for kept in [min(paths, key=lambda path: _rank(by_path[path]))]
        for path in paths
        if path != kept
    ]
    gone = dict(removed)
    known = {kept: by_path[path].patient for path, kept in removed if by_path[path].patient}
    fixed = manifest.with_records(
        tuple(_marked(r, conflicts, known) for r in manifest.records if r.path not in gone)
    )
    write_manifest(folder, fixed)
    write_csv(folder / "removed.csv", ("path", "kept"), removed)
    write_json(folder / AUDIT_FILE, document_without(audit, fixed, gone))
    return fixed, removed


def _rank(record: ImageRecord) -> tuple[int, str]:
    order = {part: place for place, part in enumerate(reversed(SPLITS))}
    return order.get(record.split, len(SPLITS)), record.path


def _marked(record: ImageRecord, conflicts: set[str], patients: Mapping[str, str]) -> ImageRecord:
    """The record with its mark; who is on it may be known only from a copy that was removed."""
    mark = "yes" if record.path in conflicts else ""
    patient = record.patient or patients.get(record.path, "")
    return replace(record, patient=patient, extra={**record.extra, CONFLICT_COLUMN: mark})
