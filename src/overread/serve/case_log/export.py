"""Cases as a table for other programs, and as labelled images for `audit` and `evaluate`."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from overread.errors import ConfigError, DataError
from overread.files import atomic_path, sha256_file
from overread.serve.case_log.keep import kept
from overread.serve.case_log.records import Case

COLUMNS = (
    "id", "time", "model", "model_version", "model_sha256", "image_sha256", "status", "predicted",
    "probability", "code", "ood_score", "user", "probabilities", "quality", "reading", "feedback",
)  # fmt: skip
LABELLED = ("path", "label", "case", "predicted", "status")
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
    suffix = target.suffix.lower()
    if suffix == ".jsonl":
        return _write(target, (_json(case.to_dict()) + "\n" for case in cases))
    if suffix == ".csv":
        return _write(target, map(_csv_row, cases), _csv_line(COLUMNS))
    raise ConfigError(
        f"'{target.name}' is not a .csv or .jsonl file",
        where="--out",
        hint="End it in .csv or .jsonl.",
    )


def export_labelled(cases: Iterable[Case], images: Path, target: Path) -> Labelled:
    """Write a manifest of the kept images in `images` that a clinician gave a reading.

    `target` must lie in that folder or above it: its paths are relative to it, and no image is
    copied, so each is still deleted when its time is over. Raises ConfigError elsewhere, DataError
    where there is not one such image.
    """
    folder, base = images.resolve(), target.parent.resolve()
    if target.suffix.lower() != ".csv" or not folder.is_relative_to(base):
        raise ConfigError(
            f"'{target}' is not a .csv file in the folder of the images or above it",
            where="--out",
            hint=f"Use --out {images / 'labelled.csv'}.",
        )
    files, left_out = kept(folder), Counter[str]()
    read: dict[Path, list[Case]] = {}
    classes: set[str] = set()
    for case in cases:
        classes.update(case.probabilities)
        path = files.get(case.image_sha256)
        why = _left_out(case, path)
        left_out[why] += 1
        if path and not why:
            read.setdefault(path, []).append(case)
    if not read:
        raise DataError(_none_of(left_out), where=images, hint=NEEDS)
    rows = [
        _labelled_row(path.relative_to(base), max(several, key=_read_at), classes)
        for path, several in sorted(read.items())
    ]
    _write(target, map(_csv_line, rows), _csv_line(LABELLED))
    disputed = sum(len(_readings(several)) > 1 for several in read.values())
    return Labelled(
        images=len(rows),
        without_reading=left_out["unread"],
        not_kept=left_out["not kept"],
        altered=left_out["altered"],
        disputed=disputed,
    )


NEEDS = (
    "A labelled export needs images kept with `overread serve --keep-images` and clinicians' "
    "readings given on the page or with POST /v1/cases/ID/feedback."
)


def harmless(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula; numbers stay as they are."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _write(target: Path, lines: Iterable[str], head: str = "") -> int:
    """Write `head` and `lines`, one by one; how many lines there were."""
    count = 0
    with (
        atomic_path(target, mode=0o600) as path,
        path.open("w", encoding="utf-8", newline="") as stream,
    ):
        stream.write(head)
        for line in lines:
            stream.write(line)
            count += 1
    return count


def _csv_line(cells: Sequence[object]) -> str:
    text = io.StringIO(newline="")
    # The writer quotes a line end within a cell only where it is one of the table's own.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()


def _csv_row(case: Case) -> str:
    row = {**case.to_dict(), "reading": case.reading}
    return _csv_line([harmless(_cell(row[name])) for name in COLUMNS])


def _cell(value: Any) -> object:
    return value if value is None or isinstance(value, str | float | int) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _left_out(case: Case, path: Path | None) -> str:
    if not case.reading:
        return "unread"
    if path is None:
        return "not kept"
    try:
        return "" if sha256_file(path) == case.image_sha256 else "altered"
    except FileNotFoundError:  # its time was over meanwhile
        return "not kept"


def _read_at(case: Case) -> datetime:
    return max(said.time for said in case.feedback if said.reading)


def _readings(cases: Iterable[Case]) -> set[frozenset[str]]:
    readings = (said.reading for case in cases for said in case.feedback if said.reading)
    return {frozenset(reading.split("|")) for reading in readings}


def _labelled_row(path: Path, case: Case, classes: set[str]) -> tuple[object, ...]:
    # A class of the model is written as it is, also one called "+": `evaluate` must know it again.
    names = case.reading.split("|")
    label = case.reading if classes.issuperset(names) else harmless(case.reading)
    predicted = case.predicted or ""
    said = predicted if predicted in classes else harmless(predicted)
    return path.as_posix(), label, case.id, said, case.status


def _none_of(left_out: Counter[str]) -> str:
    return (
        f"of {left_out.total()} cases, {left_out['unread']} have no reading, the images of "
        f"{left_out['not kept']} are not there and those of {left_out['altered']} were altered: "
        "nothing is left to label"
    )
