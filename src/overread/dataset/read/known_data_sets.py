"""Known data sets: how to recognise one, who is on its images, what is wrong with it.

Each is a YAML file in `known/`; a new one is one file. Unknown keys are errors.
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

    `within_split`: the numbers start anew in each split, so the split belongs to the name.
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
    splits: Mapping[str, str] = {}  # split -> text file that lists its images


class Trap(_Strict):
    """Something known to be wrong with the data, and where it is written."""

    text: str
    text_zh: str
    source: str


class KnownDataSet(_Strict):
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
        raise ValueError(f"is not a valid regular expression: {error}") from error
    return text


def read_known_data_set(path: Path) -> KnownDataSet:
    """One file of `known/`. Raises ConfigError naming the key that is wrong and the nearest right
    one."""
    try:
        return KnownDataSet.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ConfigError(f"is not readable YAML ({error})", where=path) from error
    except ValidationError as error:
        # An unknown key explains the missing one, so it is told first.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in first["loc"])
        hint = ""
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(str(first["loc"][-1]), KnownDataSet.model_fields)
        raise ConfigError(f"'{key}': {first['msg']}", where=path, hint=hint) from error


@lru_cache(maxsize=1)
def known_data_sets() -> tuple[KnownDataSet, ...]:
    """Every known data set that comes with the program, by file name."""
    return tuple(read_known_data_set(path) for path in sorted(FOLDER.glob("*.yaml")))


def known_data_set_named(name: str | None) -> KnownDataSet | None:
    """The known data set of that name, if there is one."""
    return next((p for p in known_data_sets() if p.name == name), None)


def recognise_names(files: Sequence[str]) -> KnownDataSet | None:
    """The known data set whose pattern nearly all file names fit, before classes are known."""
    stems = [_bare(path) for path in files]
    for data_set in known_data_sets():
        pattern = data_set.recognise.names
        if not pattern or not stems:
            continue
        fitting = sum(re.fullmatch(pattern, stem) is not None for stem in stems)
        if fitting >= RECOGNISED_SHARE * len(stems):
            return data_set
    return None


def recognise_archive(archive: Path) -> KnownDataSet | None:
    """The known data set whose archive pattern fits the file's name."""
    for data_set in known_data_sets():
        pattern = data_set.recognise.archive
        if pattern and re.fullmatch(pattern, archive.stem, re.IGNORECASE):
            return data_set
    return None


def fits_classes(data_set: KnownDataSet, entries: Sequence[Entry]) -> bool:
    """Whether every class found is one that the data set has."""
    known = {*data_set.recognise.classes, *data_set.labels}
    found = {label for entry in entries for label in entry.label.split("|")}
    return not data_set.recognise.classes or found <= known


def archive_names(data_set: KnownDataSet | None, archive: Path) -> Mapping[int, str]:
    """Class names by number for a known archive; empty for others."""
    if data_set is None:
        return {}
    stem = archive.stem.lower()
    return next((names for key, names in data_set.archive_labels.items() if key in stem), {})


def patient_of(data_set: KnownDataSet, entry: Entry) -> str:
    """The person on an image by the data set's rule; "" where the name does not tell."""
    if data_set.patient is None:
        return ""
    match = re.search(data_set.patient.pattern, _bare(entry.path))
    if match is None:
        return ""
    within = data_set.patient.within_split and entry.split
    return f"{entry.split}:{match['patient']}" if within else match["patient"]


def merged_labels(data_set: KnownDataSet, entries: Sequence[Entry]) -> dict[str, str]:
    """Spellings to replace: only those whose other spelling occurs too."""
    found = {entry.label for entry in entries}
    final = {label: data_set.labels.get(label, label) for label in found}
    shared = {name for name in final.values() if list(final.values()).count(name) > 1}
    return {label: name for label, name in final.items() if name in shared and label != name}


def _bare(path: str) -> str:
    return PurePosixPath(path).stem
