"""DATA to manifest: reads folders, CSV tables and archives, opens and hashes every image."""

from __future__ import annotations

import csv
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from overread.dataset.read.known_data_sets import (
    KnownDataSet,
    archive_names,
    fits_classes,
    merged_labels,
    patient_of,
    recognise_archive,
    recognise_names,
)
from overread.dataset.read.layouts import Entry, Tree, read_tree, remarks
from overread.dataset.read.medmnist import read_archive
from overread.dataset.read.patients import dicom_patient, numbered_patients, without_placeholders
from overread.dataset.read.source import folder_of, image_bytes, is_archive
from overread.dataset.read.table import read_table, table_in_folder
from overread.dataset.read.walk import Listing, list_images
from overread.documents.manifest import ImageRecord, Manifest, Unreadable
from overread.errors import DataError, ImageRefused
from overread.files import sha256_bytes
from overread.images.decode import read_image
from overread.progress import track
from overread.threads import blas_in_one_thread, thread_map


@dataclass(frozen=True)
class Facts:
    """What a scan notes of an image: size in pixels as displayed, colour mode."""

    width: int
    height: int
    mode: str


# Opens an image given its hash and bytes; raises ImageRefused.
OpenImage = Callable[[str, bytes], Facts]


def scan(data: Path, *, min_classes: int = 2, open_image: OpenImage | None = None) -> Manifest:
    """The manifest of DATA: a tree of class folders, a CSV, or a MedMNIST `.npz` archive.

    Every image is read, hashed and decoded; those that cannot be are in `unreadable`. `split` holds
    the splits DATA gives, `patient` what a table, a known data set's names or DICOM tell (a DICOM
    PatientID only as a number that stands for it). `group` is still empty.

    Raises DataError when DATA cannot be used: nothing to read, images outside any class folder,
    fewer than `min_classes` classes, a faulty table.
    """
    data = Path(data).absolute()
    tree, data_set, listing = _entries(data)
    entries, unnamed = without_placeholders(tree.entries)
    records, unreadable, noted = _open_all(data, entries, open_image or _decode)
    manifest = Manifest(
        root=data,
        records=tuple(sorted(records, key=lambda record: record.path)),
        unreadable=tuple(sorted((*listing.unreadable, *unreadable), key=lambda item: item.path)),
        known_data_set=data_set.name if data_set else None,
        notes=(*tree.notes, *remarks(tree.entries), *listing.notes(), *unnamed, *noted),
    )
    _refuse_useless(manifest, min_classes)
    return manifest


def _entries(data: Path) -> tuple[Tree, KnownDataSet | None, Listing]:
    if is_archive(data):
        data_set = recognise_archive(data)
        return read_archive(data, archive_names(data_set, data)), data_set, Listing()
    if data.is_file():
        if data.suffix.lower() != ".csv":
            raise DataError(
                "is neither a folder, a .csv table nor a .npz archive",
                where=data,
                hint="Give a folder of class folders, or a CSV with path,label.",
            )
        tree = read_table(data)
        return *_with_known(tree, recognise_names([e.path for e in tree.entries])), Listing()
    listing = list_images(data)
    if not listing.images:
        left = "; ".join(listing.notes()) or "it is empty"
        raise DataError(
            f"contains no images ({left})",
            where=data,
            hint="Give a folder with one folder for each class.",
        )
    data_set = recognise_names(listing.images)
    try:
        tree = _known_table(data, listing, data_set) or read_tree(
            listing.images, listing.folders, data_set.wrappers if data_set else ()
        )
    except DataError as error:
        error.where = error.where or str(data)
        raise
    tree, data_set = _with_known(tree, data_set)
    if data_set is None:
        tree = replace(tree, notes=(*tree.notes, *_unread_tables(data)))
    return tree, data_set, listing


def _unread_tables(data: Path) -> Iterator[str]:
    """Notes on tables in DATA that could have been named instead of it."""
    for path in sorted(data.glob("*.csv")):
        try:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                header = next(csv.reader(stream), [])
        except (OSError, UnicodeDecodeError, csv.Error):
            continue
        if {"path", "label"} <= set(header):
            yield (
                f"'{path.name}' lists labels and was not read: name it instead of the folder "
                f"to use it ({', '.join(header)})"
            )


def _known_table(data: Path, listing: Listing, data_set: KnownDataSet | None) -> Tree | None:
    """Labels from the table a known data set comes with, when it lies in DATA."""
    rule = data_set.table if data_set else None
    table = next((data / n for n in rule.file if (data / n).is_file()), None) if rule else None
    if rule is None or table is None:
        return None
    splits: dict[str, str] = {}
    for split, name in rule.splits.items():
        if (data / name).is_file():
            splits |= dict.fromkeys((data / name).read_text(encoding="utf-8").split(), split)
    return table_in_folder(table, listing.images, rule, lambda name: splits.get(name, ""))


def _with_known(tree: Tree, data_set: KnownDataSet | None) -> tuple[Tree, KnownDataSet | None]:
    """Entries with the persons and spellings of a known data set; drops one that does not fit."""
    if data_set is None or not fits_classes(data_set, tree.entries):
        return tree, None
    merged = merged_labels(data_set, tree.entries)
    entries = tuple(
        replace(
            entry,
            label=merged.get(entry.label, entry.label),
            patient=entry.patient or patient_of(data_set, entry),
        )
        for entry in tree.entries
    )
    notes = tuple(f"the class '{old}' was joined with '{new}'" for old, new in merged.items())
    return Tree(entries, (*tree.notes, *notes)), data_set


def _decode(sha256: str, data: bytes) -> Facts:
    facts = read_image(data, reduce_to=(64, 64)).facts
    return Facts(facts.width, facts.height, facts.mode)


def _open_all(
    data: Path, entries: tuple[Entry, ...], open_image: OpenImage
) -> tuple[list[ImageRecord], list[Unreadable], tuple[str, ...]]:
    salt = secrets.token_hex(16)  # lives as long as this scan and is stored nowhere
    work = partial(_open, data, open_image, salt)
    done = track(thread_map(work, entries), "Reading images", len(entries))
    with blas_in_one_thread():
        found = list(done)
    read = [item for item in found if isinstance(item, ImageRecord)]
    records, notes = numbered_patients(read, salt)
    return records, [item for item in found if isinstance(item, Unreadable)], notes


def _open(data: Path, open_image: OpenImage, salt: str, entry: Entry) -> ImageRecord | Unreadable:
    try:
        encoded = image_bytes(data, entry.path)
    except DataError as error:
        return Unreadable(entry.path, _reason(error))
    sha256 = sha256_bytes(encoded)
    try:
        facts = open_image(sha256, encoded)
        patient = entry.patient or dicom_patient(encoded, salt)
    except ImageRefused as refusal:
        return Unreadable(entry.path, _reason(refusal))
    return ImageRecord(
        path=entry.path,
        sha256=sha256,
        width=facts.width,
        height=facts.height,
        mode=facts.mode,
        label=entry.label,
        patient=patient,
        source=entry.source,
        site=entry.site,
        mask=entry.mask,
        split=entry.split,
        extra=entry.extra,
    )


def _reason(error: DataError | ImageRefused) -> str:
    return f"{error.problem}. {error.hint}" if error.hint else error.problem


def _refuse_useless(manifest: Manifest, min_classes: int) -> None:
    where = folder_of(manifest.root)
    if not manifest.records:
        first = manifest.unreadable[0]
        raise DataError(
            f"none of its {len(manifest.unreadable)} images can be read "
            f"(such as {first.path}: {first.reason.rstrip('.')})",
            where=where,
        )
    if len(manifest.classes) < min_classes:
        named = ", ".join(f"'{name}'" for name in manifest.classes) or "none"
        raise DataError(
            f"contains {len(manifest.records)} images of {len(manifest.classes)} class ({named})",
            where=where,
            hint=f"Give at least {min_classes} classes, each in a folder of its own.",
        )
