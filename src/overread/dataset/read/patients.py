"""Patients as tables and DICOM headers name them: placeholders that mean nobody, and pseudonyms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from overread.dataset.read.layouts import Entry
from overread.documents.manifest import ImageRecord
from overread.images.decode import read_facts

# What is written where nobody is meant, in small letters and without punctuation.
NOBODY = frozenset(
    ("anon", "anonym", "anonymous", "anonymised", "anonymized", "anonymouspatient", "deidentified")
    + ("hidden", "id", "n", "na", "nan", "nil", "noid", "noname", "none", "notapplicable")
    + ("notavailable", "null", "patient", "patientid", "removed", "undefined", "unidentified")
    + ("unknown", "unknownpatient")
)
_FILLED = re.compile(r"0+|x{2,}")


def placeholders(names: Iterable[str]) -> frozenset[str]:
    """Those of the patients' names that stand for nobody: "ANONYMOUS", "N/A", "0000", "xxx", ...

    Zeros are a number where other names are numbers of as many digits: patients may be counted
    from 0000.
    """
    names = frozenset(name for name in names if name)
    lengths = Counter(len(name) for name in names if name.isdecimal())
    found = set()
    for name in names:
        bare = re.sub(r"[\W_]+", "", name).lower()
        counted = name.isdecimal() and lengths[len(name)] > 1
        if not bare or bare in NOBODY or (_FILLED.fullmatch(bare) and not counted):
            found.add(name)
    return frozenset(found)


def without_placeholders(entries: Sequence[Entry]) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """The entries with no patient where a placeholder stood, and a note that says so.

    Taken for a patient, a placeholder would tie all its images together.
    """
    nobody = placeholders(entry.patient for entry in entries)
    count = sum(entry.patient in nobody for entry in entries)
    if not count:
        return tuple(entries), ()
    cleared = (replace(e, patient="") if e.patient in nobody else e for e in entries)
    return tuple(cleared), (_note(count, ", ".join(f"'{name}'" for name in sorted(nobody)[:3])),)


def dicom_patient(encoded: bytes, salt: str) -> str:
    """A salted hash of the PatientID of a DICOM file, or `salt` for a placeholder; "" for other
    formats and empty ids."""
    if encoded[128:132] != b"DICM":
        return ""
    from overread.images.dicom import patient_pseudonym

    patient = (read_facts(encoded).patient or "").strip()
    if patient in placeholders([patient]):
        return salt
    return f"{salt}{patient_pseudonym(patient, salt)}" if patient else ""


def numbered_patients(
    records: Sequence[ImageRecord], salt: str
) -> tuple[list[ImageRecord], tuple[str, ...]]:
    """Salted hashes of PatientIDs replaced by numbers in order of path; a note on placeholders.

    A number cannot be turned back by trying ids, and is the same each time DATA is scanned.
    """
    hashed = dict.fromkeys(r.patient for r in records if r.patient.startswith(salt))
    nobody = sum(record.patient == salt for record in records)
    hashed.pop(salt, None)
    numbers = {name: f"dicom-{i:04d}" for i, name in enumerate(hashed, start=1)} | {salt: ""}
    named = [replace(r, patient=numbers.get(r.patient, r.patient)) for r in records]
    return named, (_note(nobody, "PatientID"),) if nobody else ()


def _note(count: int, names: str) -> str:
    return f"{count} images name a patient that stands for nobody ({names}): not taken as one"
