"""RUN/training.csv as numbers."""

from __future__ import annotations

from pathlib import Path

from overread.files import read_csv
from overread.training.record import COLUMNS, TRAINING_FILE


def read_history(run: Path) -> list[dict[str, float]]:
    """The rows of RUN/training.csv, one an epoch; NaN where a cell is empty."""
    columns, rows = read_csv(run / TRAINING_FILE)
    assert tuple(columns) == COLUMNS
    return [{name: float(row[name] or "nan") for name in COLUMNS} for row in rows]
