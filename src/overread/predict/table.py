"""Predictions to a CSV, JSON Lines or Parquet file, so that a stopped run can go on."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from overread.errors import ConfigError, DataError
from overread.files import atomic_path, csv_line
from overread.predict.prediction import Prediction

if TYPE_CHECKING:
    from overread.predict.parquet import ParquetFile

SUFFIXES = (".csv", ".jsonl", ".parquet")
FIXED = ("path", "status", "predicted", "probability", "reason", "ood_score")
MODEL = "model_sha256"
JSON_HEAD = '{"path": '  # how each line of a .jsonl table begins


def open_table(path: Path, classes: Sequence[str], sha256: str) -> PredictionFile | ParquetFile:
    """The table at `path`, of the kind that its suffix says; goes on with one that exists.

    Raises ConfigError for an unknown suffix or where pyarrow is missing, DataError when the file
    was made with another model or is not such a table.
    """
    if path.suffix.lower() not in SUFFIXES:
        known = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise ConfigError(f"is {path.name!r}", where="--out", hint=f"End it in {known}.")
    if path.suffix.lower() == ".parquet":
        from overread.predict.parquet import ParquetFile

        return ParquetFile(path, classes, sha256)
    return PredictionFile(path, classes, sha256)


def as_text(path: str) -> str:
    """A path as a table holds it: bytes of a file's name that are not UTF-8 as "\\udcff"."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


class PredictionFile:
    """An open .csv or .jsonl table of predictions; `done` holds the paths that it had already.

    Rows cut short by a crash are dropped at opening. Memory does not grow with the rows, but for
    their paths. Raises DataError when the file was made with another model or is not such a table.
    """

    def __init__(self, path: Path, classes: Iterable[str], sha256: str) -> None:
        self.path, self.sha256 = path, sha256
        self.columns = (*FIXED, *(f"p_{name}" for name in classes), MODEL)
        self.is_csv = path.suffix.lower() == ".csv"
        self.done: set[str] = set()
        # Written anew first: what a crash left half-written must not stay in the middle.
        with atomic_path(path) as fresh, fresh.open("w", encoding="utf-8", newline="") as stream:
            stream.write(self._head())
            for row in self.rows() if path.exists() else ():
                self.done.add(row["path"])
                stream.write(self._text(row))
        self._stream: IO[str] | None = None

    def __enter__(self) -> Self:
        self._stream = self.path.open("a", encoding="utf-8", newline="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    def write(self, prediction: Prediction) -> None:
        """Append one row; DataError when the disk refuses."""
        if prediction.path is not None:
            prediction = prediction.named(as_text(prediction.path))
        row: Mapping[str, object]
        row = self._row(prediction) if self.is_csv else prediction.to_dict()
        try:
            assert self._stream is not None, "used outside its `with` block"  # noqa: S101
            self._stream.write(self._text(row))
            self._stream.flush()
        except OSError as error:
            raise DataError(
                f"cannot be written ({error.strerror or error})",
                where=self.path,
                hint="Free some space and run the same command again; it goes on.",
            ) from error

    def _row(self, prediction: Prediction) -> dict[str, object]:
        whole: Mapping[str, object] = prediction.to_dict()
        chances = {f"p_{name}": p for name, p in prediction.probabilities.items()}
        return {**{name: whole[name] for name in FIXED}, **chances, MODEL: self.sha256}

    def _head(self) -> str:
        return csv_line(self.columns) if self.is_csv else ""

    def _text(self, row: Mapping[str, object]) -> str:
        if self.is_csv:
            return csv_line([row.get(name) for name in self.columns])
        return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"

    def rows(self) -> Iterator[dict[str, Any]]:
        """The whole rows of the file as it is, one by one."""
        try:
            with self.path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
                for row in self._csv_rows(stream) if self.is_csv else self._json_rows(stream):
                    made_with = row[MODEL] if self.is_csv else _model_of(row)
                    if made_with != self.sha256:
                        raise DataError(
                            "was made with another model",
                            where=self.path,
                            hint="Give another --out, or move the file away.",
                        )
                    yield row
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})", where=self.path) from error

    def _csv_rows(self, stream: IO[str]) -> Iterator[dict[str, Any]]:
        reader = csv.reader(stream)
        head = tuple(next(reader, []))
        if head == self.columns:
            yield from self._whole_rows(reader)
        elif head and not self._is_cut_head():
            raise self._other("columns")

    def _other(self, what: str) -> DataError:
        hint = "Give another --out, or move it away."
        return DataError(f"has different {what}", where=self.path, hint=hint)

    def _is_cut_head(self) -> bool:
        """Whether the file is the beginning of this table's header: a crash at its very start."""
        head = self._head().encode()
        return self.path.stat().st_size < len(head) and head.startswith(self.path.read_bytes())

    def _whole_rows(self, rows: Iterable[list[str]]) -> Iterator[dict[str, Any]]:
        for values in rows:
            if len(values) == len(self.columns) and len(values[-1]) == len(self.sha256):
                yield dict(zip(self.columns, values, strict=True))

    def _json_rows(self, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if isinstance(row, dict) and "path" in row:
                yield row
            elif line.endswith("\n") or not _is_cut(line):
                raise self._other("lines")


def _is_cut(line: str) -> bool:
    """Whether a line without its end is the beginning of one of a table's."""
    return line.startswith(JSON_HEAD) or JSON_HEAD.startswith(line)


def _model_of(row: dict[str, Any]) -> object:
    model = row.get("model")
    return model.get("sha256") if isinstance(model, dict) else None
