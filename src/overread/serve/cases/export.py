"""Cases as a table for other programs, and as labelled images for `audit` and `evaluate`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from overread.errors import ConfigError, DataError
from overread.files import atomic_path, sha256_file
from overread.serve.cases.keep import kept
from overread.serve.cases.records import Case

COLUMNS = (
    "id", "time", "model", "model_version", "model_sha256", "image_sha256", "status", "label",
    "probability", "code", "ood_score", "user", "probabilities", "quality", "reading", "feedback",
)  # fmt: skip
LABELLED = ("path", "label", "case", "model_said", "status")
# What a spreadsheet would take for a formula. Tab and line ends are dropped before it looks.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True)
class Labelled:
    """What became of the cases: `images` are in the manifest; the rest has no `reading`, or its
    image is no longer there (`not_kept`) or is not what was uploaded (`altered`). `disputed` images
    are in it with the latest of several different readings."""

    images: int
    without_reading: int
    not_kept: int
    altered: int
    disputed: int


def export_cases(cases: Iterable[Case], target: Path) -> int:
    """Write `cases` to a .csv or .jsonl file, whole or not at all, readable by its owner only.

    In CSV, texts that a spreadsheet would run as a formula get an apostrophe in front. Returns how
    many there were. Raises ConfigError for another suffix.
    """
    writers: dict[str, Callable[[TextIO, Iterable[Case]], int]] = {
        ".csv": _write_csv,
        ".jsonl": _write_jsonl,
    }
    write = writers.get(target.suffix.lower())
    if write is None:
        raise ConfigError(
            f"'{target.name}' is of no known kind", where="--out", hint="Use .csv or .jsonl."
        )
    with atomic_path(target, mode=0o600) as path:
        with path.open("w", encoding="utf-8", newline="") as stream:
            return write(stream, cases)


def export_labelled(cases: Iterable[Case], images: Path, target: Path) -> Labelled:
    """Write a manifest of the kept images in `images` that a clinician gave a reading.

    `target` must lie in that folder or above it: its paths are relative to it, and no image is
    copied, so each is still deleted when its time is over. Raises ConfigError elsewhere, DataError
    where there is not one such image.
    """
    folder, base = images.resolve(), target.parent.resolve()
    if target.suffix.lower() != ".csv" or not folder.is_relative_to(base):
        raise ConfigError(
            f"'{target}' is no .csv in the folder of the images or above it",
            where="--out",
            hint=f"Use --out {images / 'labelled.csv'}.",
        )
    files, latest, counts = kept(folder), {}, dict.fromkeys(("reading", "kept", "altered"), 0)
    readings: dict[str, set[str]] = {}
    classes: set[str] = set()
    for case in cases:
        classes.update(case.probabilities)
        path = files.get(case.image_sha256)
        why = _left_out(case, path)
        if why or path is None:
            counts[why] += 1
            continue
        latest[path] = case
        readings.setdefault(case.image_sha256, set()).update(f.reading for f in case.feedback)
    if not latest:
        raise DataError(_none_of(counts), where=images, hint=NEEDS)
    rows = [_labelled_row(path.relative_to(base), case, classes) for path, case in latest.items()]
    _write_manifest(target, sorted(rows))
    disputed = sum(len(said - {""}) > 1 for said in readings.values())
    return Labelled(len(rows), counts["reading"], counts["kept"], counts["altered"], disputed)


NEEDS = (
    "A labelled export needs images kept with `overread serve --keep-images` and clinicians' "
    "readings given on the page or with POST /v1/cases/ID/feedback."
)


def harmless(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula; numbers stay as they are."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _write_csv(stream: TextIO, cases: Iterable[Case]) -> int:
    writer, count = csv.writer(stream, lineterminator="\n"), 0
    writer.writerow(COLUMNS)
    for count, case in enumerate(cases, start=1):
        row = {**case.to_dict(), "reading": case.reading}
        writer.writerow([harmless(_cell(row[name])) for name in COLUMNS])
    return count


def _cell(value: Any) -> object:
    return value if value is None or isinstance(value, str | float | int) else _line(value)


def _write_jsonl(stream: TextIO, cases: Iterable[Case]) -> int:
    count = 0
    for count, case in enumerate(cases, start=1):
        stream.write(_line(case.to_dict()) + "\n")
    return count


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _left_out(case: Case, path: Path | None) -> str:
    if not case.reading:
        return "reading"
    if path is None:
        return "kept"
    return "" if sha256_file(path) == case.image_sha256 else "altered"


def _labelled_row(path: Path, case: Case, classes: set[str]) -> tuple[object, ...]:
    # A class of the model is written as it is, also one called "+": `evaluate` must know it again.
    names = case.reading.split("|")
    label = case.reading if classes.issuperset(names) else harmless(case.reading)
    said = case.label if case.label in classes else harmless(case.label or "")
    return path.as_posix(), label, case.id, said, case.status


def _write_manifest(target: Path, rows: list[tuple[object, ...]]) -> None:
    with atomic_path(target, mode=0o600) as path:
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([LABELLED, *rows])


def _none_of(counts: dict[str, int]) -> str:
    return (
        f"of {sum(counts.values())} cases, {counts['reading']} have no reading, the images of "
        f"{counts['kept']} are not there and those of {counts['altered']} were altered: "
        "nothing is left to label"
    )
