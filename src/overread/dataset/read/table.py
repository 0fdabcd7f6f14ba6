"""DATA given as a CSV: `path,label`, if known `patient,split,mask,site,source`, and any others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path, PurePosixPath

from overread.dataset.read.known_data_sets import Table
from overread.dataset.read.layouts import SPLIT_NAMES, Entry, Tree
from overread.documents.manifest import COLUMNS
from overread.errors import DataError, did_you_mean
from overread.files import read_csv

REQUIRED = ("path", "label")
OPTIONAL = ("patient", "split", "mask", "site", "source")
# Worked out from the images: a column of this name is not taken over.
COMPUTED = tuple(name for name in COLUMNS if name not in (*REQUIRED, *OPTIONAL))
FOLD = "fold"  # of the folds that `overread split` makes
NOT_A_VALUE = frozenset({"", "nan", "na", "n/a", "null", "<na>"})


def read_table(table: Path) -> Tree:
    """Entries of a CSV, in path order; paths are relative to the folder the CSV lies in.

    Raises DataError naming line and value for a missing column, an empty or NaN label, an unknown
    split, a path that leaves the folder, a missing file, or a path listed twice.
    """
    columns, rows = read_csv(table)
    for name in REQUIRED:
        if name not in columns:
            hint = did_you_mean(name, columns) if columns else "The file is empty."
            raise DataError(f"has no column '{name}'", where=table, hint=hint)
    if not rows:
        raise DataError("has a header but no rows", where=table, hint="Add a row for each image.")
    columns, rows, renamed = _fold_renamed(columns, rows)
    notes = [f"the column '{c}' was worked out anew" for c in COMPUTED if c in columns]
    if "group" in columns and "patient" not in columns:
        rows = [{**row, "patient": row["group"]} for row in rows]
        notes[-1] = "the column 'group' was taken as the patient: its images stay together"
    entries: list[Entry] = []
    seen: dict[str, int] = {}
    for line, row in enumerate(rows, start=2):
        entry = _entry(table, line, row)
        _once(entry.path, seen, line, table)
        entries.append(entry)
    return Tree(tuple(sorted(entries, key=lambda entry: entry.path)), (*notes, *renamed))


def _fold_renamed(
    columns: list[str], rows: list[dict[str, str]]
) -> tuple[list[str], list[dict[str, str]], list[str]]:
    """The table with its own column `fold`, where it has one, under a name that is free.

    In manifest.csv that column holds the folds that `overread split` makes.
    """
    if FOLD not in columns or not any(row[FOLD].strip() for row in rows):
        return columns, rows, []
    names = ("fold_given" if n == 1 else f"fold_given_{n}" for n in count(1))
    free = next(name for name in names if name not in columns)
    names_now = [free if name == FOLD else name for name in columns]
    kept = [dict(zip(names_now, row.values(), strict=True)) for row in rows]
    note = f"the column '{FOLD}' was kept as '{free}': folds made by a split are called '{FOLD}'"
    return names_now, kept, [note]


def _once(path: str, seen: dict[str, int], line: int, table: Path) -> None:
    """Note that `path` is on `line`; DataError where it was on another before."""
    if path in seen:
        raise DataError(
            f"lists '{path}' twice (first on line {seen[path]})",
            where=f"{table}, line {line}",
            hint="Keep one row; several labels go into one cell as a|b.",
        )
    seen[path] = line


def _entry(table: Path, line: int, row: dict[str, str]) -> Entry:
    where = f"{table}, line {line}"
    path = _file(table.parent, row["path"], where)
    masks = [_file(table.parent, name, where) for name in _value(row, "mask").split("|") if name]
    return Entry(
        path=path,
        label=_label(row["label"], where),
        split=_split(_value(row, "split"), where),
        source=_value(row, "source"),
        site=_value(row, "site"),
        patient=_value(row, "patient"),
        mask="|".join(masks),
        extra={k: v for k, v in row.items() if k not in COLUMNS},
    )


def _value(row: dict[str, str], name: str) -> str:
    value = row.get(name, "").strip()
    return "" if value.lower() in NOT_A_VALUE else value


def _label(text: str, where: str) -> str:
    parts = [part.strip() for part in text.split("|")]
    bad = [part for part in parts if part.lower() in NOT_A_VALUE]
    if bad:
        raise DataError(
            f"the label is '{text}'", where=where, hint="Name the class, or remove the row."
        )
    return "|".join(sorted(set(parts)))


def _split(text: str, where: str) -> str:
    if not text:
        return ""
    if text.lower() not in SPLIT_NAMES:
        raise DataError(
            f"the split is '{text}'", where=where, hint=did_you_mean(text.lower(), SPLIT_NAMES)
        )
    return SPLIT_NAMES[text.lower()]


def _file(folder: Path, text: str, where: str) -> str:
    """The path as kept in the manifest, after checking that it is a file inside the folder."""
    given = text.strip()
    if not (folder / given).is_file():
        given = given.replace("\\", "/")  # written on Windows, read elsewhere
    inside = PurePosixPath(given)
    outside = inside.is_absolute() or ".." in inside.parts or Path(given).is_absolute()
    if not given or outside or not _stays(folder, given):
        raise DataError(
            f"the path '{text}' leaves the folder of the CSV",
            where=where,
            hint="Use paths relative to the CSV, without '..'.",
        )
    if not (folder / given).is_file():
        raise DataError(
            f"the file '{text}' does not exist", where=where, hint="Correct the path or the row."
        )
    return str(inside)


def _stays(folder: Path, given: str) -> bool:
    """Whether a link on the way leads out of the folder."""
    return (folder / given).resolve().is_relative_to(folder.resolve())


def table_in_folder(
    table: Path, images: Iterable[str], rule: Table, split_of: Callable[[str], str]
) -> Tree:
    """Entries of a known data set whose labels lie in its own table beside the image folders.

    `rule` says what its columns are called, `split_of` gives the split of an image's file name.
    Images are found by name, with or without suffix.
    """
    columns, rows = read_csv(table)
    for name in filter(None, (rule.image, rule.label, rule.patient)):
        if name not in columns:
            raise DataError(
                f"has no column '{name}'", where=table, hint=did_you_mean(name, columns)
            )
    columns, rows, renamed = _fold_renamed(columns, rows)
    files = list(images)
    by_name = {PurePosixPath(path).stem: path for path in files}
    used = {rule.image, rule.label, rule.patient}
    entries: list[Entry] = []
    seen: dict[str, int] = {}
    missing = 0
    for line, row in enumerate(rows, start=2):
        path = by_name.get(PurePosixPath(row[rule.image]).stem)
        if path is None:
            missing += 1
            continue
        _once(path, seen, line, table)
        text = row[rule.label].replace(rule.separator or "|", "|")
        entries.append(
            Entry(
                path=path,
                label=_label(text, f"{table}, line {line}"),
                patient=_value(row, rule.patient) if rule.patient else "",
                split=split_of(PurePosixPath(path).name),
                extra={k: v for k, v in row.items() if k not in used and k not in COLUMNS},
            )
        )
    unlisted = len(files) - len(entries)
    notes = [f"{missing} rows of {table.name} have no image here"] if missing else []
    notes += [f"{unlisted} images are not in {table.name}; left out"] if unlisted else []
    return Tree(tuple(sorted(entries, key=lambda entry: entry.path)), (*notes, *renamed))
