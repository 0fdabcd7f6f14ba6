"""Known data sets: how to recognise one, who is on its images, what is wrong with it.

A passport is a YAML file in `passports/`; a new one is one file. Unknown keys are errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from overread.dataset.read.layouts import Entry
from overread.errors import ConfigError, did_you_mean

FOLDER = Path(__file__).parent / "known"
RECOGNISED_SHARE = 0.9  # of the file names must fit


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Recognise(_Strict):
    """`names`: pattern of file names without suffix. `classes`: no other class may occur.

    `archive`: pattern of the archive's file name without suffix.
    """

    names: str = ""
    classes: tuple[str, ...] = ()
    archive: str = ""

    @field_validator("names", "archive")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        return _pattern(pattern)


class Patient(_Strict):
    """`pattern` finds the named group `patient` in the file name without suffix.

    `within_split`: the numbers start anew in each part, so the part belongs to the name.
    """

    pattern: str
    within_split: bool = False

    @field_validator("pattern")
    @classmethod
    def _names_the_patient(cls, pattern: str) -> str:
        if "(?P<patient>" not in _pattern(pattern):
            raise ValueError("has no group (?P<patient>...)")
        return pattern


class Table(_Strict):
    """The data set's own table: its file name and what its columns are called."""

    file: tuple[str, ...]
    image: str
    label: str
    separator: str = ""
    patient: str = ""
    parts: Mapping[str, str] = {}  # part -> text file that lists its images


class Trap(_Strict):
    """Something known to be wrong with the data, and where it is written."""

    text: str
    text_zh: str
    source: str


class Passport(_Strict):
    """What is known about a published data set."""

    name: str
    title: str
    licence: str
    citation: str
    recognise: Recognise
    patient: Patient | None = None
    table: Table | None = None
    wrappers: tuple[str, ...] = ()  # folder names above the class level
    labels: Mapping[str, str] = {}  # other spellings of a class, joined when both occur
    archive_labels: Mapping[str, Mapping[int, str]] = {}
    sources: Mapping[str, Mapping[str, int]] = {}  # published images per source and class
    traps: tuple[Trap, ...]
    subject: Mapping[str, str] = {}  # what one image is, by language


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from error
    return text


def read_passport(path: Path) -> Passport:
    """One passport. Raises ConfigError naming the key that is wrong and the nearest right one."""
    try:
        return Passport.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ConfigError(f"is not readable YAML ({error})", where=path) from error
    except ValidationError as error:
        # An unknown key explains the missing one, so it is told first.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in first["loc"])
        hint = ""
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(str(first["loc"][-1]), Passport.model_fields)
        raise ConfigError(f"'{key}': {first['msg']}", where=path, hint=hint) from error


@lru_cache(maxsize=1)
def passports() -> tuple[Passport, ...]:
    """Every passport that comes with the program, by file name."""
    return tuple(read_passport(path) for path in sorted(FOLDER.glob("*.yaml")))


def passport_named(name: str | None) -> Passport | None:
    """The passport of that name, if there is one."""
    return next((p for p in passports() if p.name == name), None)


def recognise_names(files: Sequence[str]) -> Passport | None:
    """The passport that nearly all file names fit, before classes are known."""
    stems = [_bare(path) for path in files]
    for passport in passports():
        pattern = passport.recognise.names
        if not pattern or not stems:
            continue
        fitting = sum(re.fullmatch(pattern, stem) is not None for stem in stems)
        if fitting >= RECOGNISED_SHARE * len(stems):
            return passport
    return None


def recognise_archive(archive: Path) -> Passport | None:
    """The passport whose archive pattern fits the file's name."""
    for passport in passports():
        pattern = passport.recognise.archive
        if pattern and re.fullmatch(pattern, archive.stem, re.IGNORECASE):
            return passport
    return None


def fits_classes(passport: Passport, entries: Sequence[Entry]) -> bool:
    """Whether every class found is one that the passport knows."""
    known = {*passport.recognise.classes, *passport.labels}
    found = {label for entry in entries for label in entry.label.split("|")}
    return not passport.recognise.classes or found <= known


def archive_names(passport: Passport | None, archive: Path) -> Mapping[int, str]:
    """Class names by number for a known archive; empty for others."""
    if passport is None:
        return {}
    stem = archive.stem.lower()
    return next((names for key, names in passport.archive_labels.items() if key in stem), {})


def patient_of(passport: Passport, entry: Entry) -> str:
    """The person on an image by the passport's rule; "" where the name does not tell."""
    if passport.patient is None:
        return ""
    match = re.search(passport.patient.pattern, _bare(entry.path))
    if match is None:
        return ""
    within = passport.patient.within_split and entry.split
    return f"{entry.split}:{match['patient']}" if within else match["patient"]


def merged_labels(passport: Passport, entries: Sequence[Entry]) -> dict[str, str]:
    """Spellings to replace: only those whose other spelling occurs too."""
    found = {entry.label for entry in entries}
    final = {label: passport.labels.get(label, label) for label in found}
    shared = {name for name in final.values() if list(final.values()).count(name) > 1}
    return {label: name for label, name in final.items() if name in shared and label != name}


def _bare(path: str) -> str:
    return PurePosixPath(path).stem
