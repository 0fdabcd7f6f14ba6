"""The rows of manifest.csv as texts, for evaluation, the report and checks of a run."""

from __future__ import annotations

from pathlib import Path

from overread.errors import DataError
from overread.files import read_csv

HINT = "Run `overread audit DATA --out` and this folder again."


def read_manifest_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a manifest.csv, which must have a column `path`."""
    columns, rows = read_csv(path)
    if "path" not in columns:
        raise DataError(
            f"has no column 'path', only {', '.join(columns) or 'nothing'}", where=path, hint=HINT
        )
    return rows
