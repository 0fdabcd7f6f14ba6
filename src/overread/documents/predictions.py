"""The predictions table: what a model said about each image, and what was true.

The one input of evaluation, from our runs or from any other tool. A table of `path`, `label` and
one `p_<class>` column a class is enough; every image is then its own group in the split "test".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.errors import DataError, did_you_mean
from overread.files import read_csv, write_csv

SPLITS = ("train", "val", "test")
STATUSES = ("answer", "refer", "reject")
SEPARATOR = "|"
PREFIX = "p_"
SUM_TOLERANCE = 1e-3
MULTILABEL_CUTOFF = 0.5


@dataclass(frozen=True)
class PredictionTable:
    """One row an image. `probabilities` is (n, K) float64 in 0..1, columns as in `classes`.

    With one label an image each row of `probabilities` sums to 1. With several (`multilabel`),
    `labels` and `predicted` are class names joined by "|" ("" for none).
    """

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    groups: tuple[str, ...]
    splits: tuple[str, ...]
    labels: tuple[str, ...]
    predicted: tuple[str, ...]
    probabilities: NDArray[np.float64]
    statuses: tuple[str, ...]
    multilabel: bool = False

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, split: str) -> PredictionTable:
        """The rows of one split, in their order; possibly none."""
        return self.rows([i for i, name in enumerate(self.splits) if name == split])

    def rows(self, index: Sequence[int] | NDArray[np.intp]) -> PredictionTable:
        """The rows at `index`, in that order."""

        def pick(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[i] for i in index)

        return PredictionTable(
            self.classes,
            pick(self.paths),
            pick(self.groups),
            pick(self.splits),
            pick(self.labels),
            pick(self.predicted),
            self.probabilities[np.asarray(index, dtype=np.intp)],
            pick(self.statuses),
            self.multilabel,
        )

    def truth(self) -> NDArray[np.bool_]:
        """(n, K): which classes each image has."""
        return _indicator(self.labels, self.classes)

    def decisions(self) -> NDArray[np.bool_]:
        """(n, K): which classes the model named for each image."""
        return _indicator(self.predicted, self.classes)


def _indicator(names: Sequence[str], classes: Sequence[str]) -> NDArray[np.bool_]:
    column = {name: k for k, name in enumerate(classes)}
    table = np.zeros((len(names), len(classes)), dtype=bool)
    for row, joined in enumerate(names):
        for name in split_labels(joined):
            table[row, column[name]] = True
    return table


def split_labels(joined: str) -> list[str]:
    """The class names in "a|b"; none in ""."""
    return joined.split(SEPARATOR) if joined else []


def decide(
    probabilities: NDArray[np.float64], classes: Sequence[str], multilabel: bool
) -> tuple[str, ...]:
    """The predicted label of each row: the likeliest class, or every class at or above 0.5."""
    if not multilabel:
        return tuple(classes[k] for k in probabilities.argmax(axis=1))
    return tuple(
        SEPARATOR.join(name for name, on in zip(classes, row, strict=True) if on)
        for row in probabilities >= MULTILABEL_CUTOFF
    )


def write_predictions(path: Path, table: PredictionTable) -> None:
    """Write the table as CSV; probabilities with every digit, so that reading gives them back."""
    write_csv(path, columns_of(table), rows_of(table))


def columns_of(table: PredictionTable) -> list[str]:
    """The names of its columns in a CSV."""
    classes = [PREFIX + name for name in table.classes]
    return ["path", "group", "split", "label", "predicted", *classes, "status"]


def rows_of(table: PredictionTable) -> Iterator[list[str]]:
    """Its rows as they are written in a CSV."""
    texts = zip(table.paths, table.groups, table.splits, table.labels, table.predicted, strict=True)
    numbers = (map(repr, row) for row in table.probabilities.tolist())
    for text, row, status in zip(texts, numbers, table.statuses, strict=True):
        yield [*text, *row, status]


def read_predictions(path: Path, *, multilabel: bool | None = None) -> PredictionTable:
    """Read and check a predictions table.

    `multilabel` says whether an image can have several labels or none; left out, it is taken from
    the table (a "|" or an empty label anywhere). Raises DataError naming line, column and value.
    """
    return table_of(*read_csv(path), path, multilabel=multilabel)


def table_of(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    path: Path,
    *,
    multilabel: bool | None = None,
    repeated: bool = False,
) -> PredictionTable:
    """The table that CSV `rows` hold, checked as `read_predictions` does; `path` names them.

    `repeated`: an image may have several rows.
    """
    classes = _classes(path, columns)
    if not rows:
        raise DataError("has no predictions", where=path, hint="Check what wrote it.")
    several = _several(rows) if multilabel is None else multilabel
    probabilities = _probabilities(path, rows, classes)
    if not several:
        _check_sums(path, probabilities)
    predicted = tuple(row.get("predicted", "") for row in rows)
    if "predicted" not in columns:
        predicted = decide(probabilities, classes, several)
    table = PredictionTable(
        classes=classes,
        paths=tuple(row["path"] for row in rows),
        groups=tuple(row.get("group") or row["path"] for row in rows),
        splits=tuple(row.get("split", "test") for row in rows),
        labels=tuple(row["label"] for row in rows),
        predicted=predicted,
        probabilities=probabilities,
        statuses=tuple(row.get("status", "answer") for row in rows),
        multilabel=several,
    )
    _check_words(path, table)
    if not repeated:
        _check_once(path, table)
    return table


def _classes(path: Path, columns: Sequence[str]) -> tuple[str, ...]:
    for name in ("path", "label"):
        if name not in columns:
            found = ", ".join(columns) or "none"
            raise DataError(
                f"has no column '{name}' (columns found: {found})",
                where=path,
                hint="A predictions table needs path, label and a p_<class> column a class.",
            )
    classes = tuple(name.removeprefix(PREFIX) for name in columns if name.startswith(PREFIX))
    if len(classes) < 2:
        raise DataError(
            f"has {len(classes)} probability columns, at least 2 are needed",
            where=path,
            hint="Name them p_<class>, one for every class.",
        )
    return classes


def _several(rows: Sequence[Mapping[str, str]]) -> bool:
    return any(not row["label"] or SEPARATOR in row["label"] for row in rows) or any(
        SEPARATOR in row.get("predicted", "") for row in rows
    )


def _line(path: Path, row: int, column: str) -> str:
    return f"{path}, line {row + 2}, column '{column}'"


def _probabilities(
    path: Path, rows: Sequence[Mapping[str, str]], classes: Sequence[str]
) -> NDArray[np.float64]:
    values = np.empty((len(rows), len(classes)))
    for i, row in enumerate(rows):
        for k, name in enumerate(classes):
            values[i, k] = _probability(row[PREFIX + name], path, i, PREFIX + name)
    return values


def _probability(text: str, path: Path, row: int, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise DataError(
            f"'{text}' is not a probability between 0 and 1",
            where=_line(path, row, column),
            hint="Correct the value, or leave the image out.",
        )
    return value


def _check_sums(path: Path, probabilities: NDArray[np.float64]) -> None:
    sums = probabilities.sum(axis=1)
    wrong = np.flatnonzero(np.abs(sums - 1) > SUM_TOLERANCE)
    if wrong.size:
        raise DataError(
            f"the probabilities sum to {sums[wrong[0]]:.4g}, not 1",
            where=_line(path, int(wrong[0]), f"{PREFIX}*"),
            hint="Give softmax probabilities; several labels an image are written 'a|b'.",
        )


def _check_words(path: Path, table: PredictionTable) -> None:
    for row, column, word, known in _words(table):
        if word not in known:
            raise DataError(
                f"'{word}' is not known",
                where=_line(path, row, column),
                hint=did_you_mean(word, known),
            )


def _check_once(path: Path, table: PredictionTable) -> None:
    seen = Counter(zip(table.paths, table.splits, strict=True))
    for row, key in enumerate(zip(table.paths, table.splits, strict=True)):
        if seen[key] > 1:
            raise DataError(
                f"'{key[0]}' is in the split '{key[1]}' {seen[key]} times",
                where=_line(path, row, "path"),
                hint="Keep one row an image.",
            )


def _words(table: PredictionTable) -> Iterator[tuple[int, str, str, tuple[str, ...]]]:
    for column, values, known in (
        ("split", table.splits, SPLITS),
        ("status", table.statuses, STATUSES),
    ):
        yield from ((row, column, word, known) for row, word in enumerate(values))
    for column, values in (("label", table.labels), ("predicted", table.predicted)):
        for row, joined in enumerate(values):
            names = split_labels(joined) if table.multilabel else [joined]
            yield from ((row, column, name, table.classes) for name in names)
