"""Predictions to a Parquet file: collected as JSON Lines beside it, and written when complete.

A Parquet file cannot be added to, so a run that is stopped leaves those, from which the next one
goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from overread.errors import ConfigError, DataError, one_line
from overread.extras import install_hint
from overread.files import atomic_path
from overread.predict.prediction import Prediction
from overread.predict.table import FIXED, MODEL, PredictionFile

ROWS = 10_000  # in memory at a time
NUMBERS = ("probability", "ood_score")


class ParquetFile:
    """An open .parquet table of predictions; `done` holds the paths that it had already.

    The columns are those of the CSV table, probabilities as float64. Raises ConfigError without
    pyarrow, DataError when the file was made with another model or is not such a table.
    """

    def __init__(self, path: Path, classes: Sequence[str], sha256: str) -> None:
        self._arrow = _pyarrow()
        self.path, self.sha256, self.classes = path, sha256, tuple(classes)
        before = self._paths() if path.exists() else set()
        self._rows = PredictionFile(path.with_name(f".{path.name}.rows.jsonl"), classes, sha256)
        self.done = before | self._rows.done

    def __enter__(self) -> Self:
        self._rows.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._rows.__exit__(kind, error, trace)
        if error is None:
            self._write()
            self._rows.path.unlink()

    def write(self, prediction: Prediction) -> None:
        """Add one row; DataError when the disk refuses."""
        self._rows.write(prediction)

    @property
    def _schema(self) -> Any:
        numbers = {*NUMBERS, *(f"p_{name}" for name in self.classes)}
        text, number = self._arrow.string(), self._arrow.float64()
        names = (*FIXED, *(f"p_{name}" for name in self.classes), MODEL)
        return self._arrow.schema([(name, number if name in numbers else text) for name in names])

    def _paths(self) -> set[str]:
        found: set[str] = set()
        for batch in self._batches([MODEL, "path"]):
            if any(sha != self.sha256 for sha in batch.column(MODEL).to_pylist()):
                raise DataError(
                    "was made with another model",
                    where=self.path,
                    hint="Give another --out, or move the file away.",
                )
            found.update(batch.column("path").to_pylist())
        return found

    def _batches(self, columns: list[str] | None = None) -> Iterator[Any]:
        """What the file holds already, ROWS at a time."""
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path) as file:
                if file.schema_arrow != self._schema:
                    raise DataError(
                        "has different columns",
                        where=self.path,
                        hint="Give another --out, or move it away.",
                    )
                yield from file.iter_batches(ROWS, columns=columns)
        except (self._arrow.ArrowException, OSError) as error:
            raise DataError(
                f"is not a complete Parquet file ({one_line(str(error))})",
                where=self.path,
                hint="Give another --out, or move it away.",
            ) from error

    def _write(self) -> None:
        from pyarrow import parquet

        with ExitStack() as stack:
            fresh = stack.enter_context(atomic_path(self.path))
            writer = stack.enter_context(parquet.ParquetWriter(fresh, self._schema))
            for batch in self._batches() if self.path.exists() else ():
                writer.write_batch(batch)
            rows = map(self._flat, self._rows.rows())
            while some := list(islice(rows, ROWS)):
                writer.write_table(self._arrow.Table.from_pylist(some, schema=self._schema))

    def _flat(self, row: dict[str, Any]) -> dict[str, Any]:
        """A prediction as the columns of the table."""
        chances = {f"p_{name}": p for name, p in row["probabilities"].items()}
        return {**{name: row[name] for name in FIXED}, **chances, MODEL: self.sha256}


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise ConfigError(
            "needs pyarrow for a .parquet file",
            where="--out",
            hint=f"{install_hint('pyarrow')} Or end it in .csv.",
        ) from error
    return pyarrow
