"""The JSON documents and tables of a run, read with a look at the fields that others build on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from overread.errors import DataError
from overread.files import read_csv, read_json

WORDS = {str: "a text", int: "a whole number", float: "a number", dict: "an object", list: "a list"}
EVALUATE = "Run `overread evaluate` or `overread train` again."
AUDIT = "Run `overread audit DATA --out` and this folder again."
SPLIT = "Run `overread split` again."
TRAIN = "Run `overread train` again, or take the file away."
# Document -> fields that must be there, what each known field is (null is let be), what to do.
KNOWN: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "metrics.json": (
        (),
        {
            "test": dict,
            "val": dict,
            "test.per_class": dict,
            "test.subgroups": dict,
            "test.subgroups_left_out": [{"column": str}],
            "method": dict,
            "method.resamples": int,
            "method.seed": int,
            "leak_price": dict,
            "test_looks": int,
            "model": dict,
            "unreadable": list,
            "internal": dict,
            "drop": dict,
        },
        "Put it right, or delete the file: `overread report` makes it again from predictions.csv.",
    ),
    "audit.json": (
        ("images", "verdict"),
        {
            "images": int,
            "verdict": str,
            "known_data_set": str,
            "classes": dict,
            "exact_duplicates": list,
            "near_duplicates": list,
            "conflicting_labels": list,
            "label_issues": list,
            "unreadable": list,
            "shortcuts": [{"probe": str, "auroc": float}],
        },
        AUDIT,
    ),
    "certificate.json": (
        (),
        {
            "manifest_sha256": str,
            "crossing_groups": int,
            "leaked_test_images": int,
            "test_images": int,
            "per_split": dict,
            "notes": list,
        },
        SPLIT,
    ),
    "plan.json": ((), {"recipe": (dict, str), "versions": dict, "reasons": list}, TRAIN),
}


def read_document(path: Path) -> dict[str, Any]:
    """One of the KNOWN documents of a run. DataError names a field that is missing or of another
    kind, with its value.
    """
    needed, fields, hint = KNOWN[path.name]
    document = read_json(path)
    for name in needed:
        if document.get(name) is None:
            raise DataError(f"has no '{name}'", where=path, hint=hint)
    for name, kind in fields.items():
        _check(_dig(document, name), kind, name, path, hint)
    return document


def read_metrics(path: Path) -> dict[str, Any]:
    """metrics.json, its own figures and the settings of its intervals fit to compute with."""
    document = read_document(path)
    hint = KNOWN["metrics.json"][2]
    for name, least in (("method.resamples", 1), ("method.seed", 0)):
        value = _dig(document, name)
        if value is not None and value < least:
            raise DataError(f"has {name} {value}, less than {least}", where=path, hint=hint)
    for group in ("internal", "drop"):
        for name, found in (document.get(group) or {}).items():
            _check_estimate(found, f"{group}.{name}", path)
    return document


def read_manifest_rows(path: Path) -> list[dict[str, str]]:
    """The rows of manifest.csv, which must have a column `path`."""
    columns, rows = read_csv(path)
    if "path" not in columns:
        raise DataError(
            f"has no column 'path', only {', '.join(columns) or 'nothing'}", where=path, hint=AUDIT
        )
    return rows


def _dig(document: Mapping[str, Any], field: str) -> Any:
    found: Any = document
    for step in field.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _check(value: Any, kind: Any, name: str, path: Path, hint: str) -> None:
    """Raise where `value` is not of a kind: a type, several, or a list of objects with fields."""
    if value is None:
        return
    if isinstance(kind, list):
        _check(value, list, name, path, hint)
        for number, row in enumerate(value):
            _check_row(row, kind[0], f"{name}[{number}]", path, hint)
        return
    kinds: Iterable[Any] = kind if isinstance(kind, tuple) else (kind,)
    wanted = tuple(k for one in kinds for k in ((float, int) if one is float else (one,)))
    if not isinstance(value, wanted) or isinstance(value, bool):
        words = " or ".join(WORDS[one] for one in kinds)
        raise DataError(f"has {name} {_short(value)}, not {words}", where=path, hint=hint)


def _check_row(row: Any, fields: Mapping[str, Any], name: str, path: Path, hint: str) -> None:
    _check(row, dict, name, path, hint)
    for field, kind in fields.items():
        if not isinstance(row, dict) or row.get(field) is None:
            raise DataError(f"has no {name}.{field}", where=path, hint=hint)
        _check(row[field], kind, f"{name}.{field}", path, hint)


def _check_estimate(found: Any, name: str, path: Path) -> None:
    ends = found.get("ci95") if isinstance(found, dict) else None
    numbers = [found.get("value"), *(ends or ())] if isinstance(found, dict) else [found]
    fit = isinstance(found, dict) and "value" in found and "ci95" in found
    fit = fit and (ends is None or (isinstance(ends, list) and len(ends) == 2))
    plain = all(n is None or type(n) in (int, float) for n in numbers)
    if not fit or not plain:
        problem = f"has {name} {_short(found)}, no value with a 95 % interval"
        raise DataError(problem, where=path, hint=EVALUATE)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
