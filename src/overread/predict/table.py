"""Predictions to a CSV or JSON Lines file, row by row, so that a stopped run can go on."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from overread.errors import ConfigError, DataError
from overread.files import write_text
from overread.predict.prediction import Prediction

SUFFIXES = (".csv", ".jsonl")
FIXED = ("path", "status", "label", "probability", "reason", "ood_score")
MODEL = "model_sha256"


class PredictionFile:
    """An open table of predictions; `done` holds the paths that it had already.

    Rows cut short by a crash are dropped at opening. Raises ConfigError for another suffix,
    DataError when the file was made with another model or is no such table.
    """

    def __init__(self, path: Path, classes: Iterable[str], sha256: str) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise ConfigError(
                f"is {path.name!r}", where="--out", hint=f"End it in {' or '.join(SUFFIXES)}."
            )
        self.path, self.sha256 = path, sha256
        self.columns = (*FIXED, *(f"p_{name}" for name in classes), MODEL)
        self.is_csv = path.suffix.lower() == ".csv"
        kept = list(self._kept(path)) if path.exists() else []
        self.done = {row["path"] for row in kept}
        # Written whole first: what a crash left half-written must not stay in the middle.
        write_text(path, "".join([self._head(), *map(self._text, kept)]))
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

    def _row(self, prediction: Prediction) -> dict[str, Any]:
        whole = prediction.to_dict()
        chances = {f"p_{name}": p for name, p in prediction.probabilities.items()}
        return {**{name: whole[name] for name in FIXED}, **chances, MODEL: self.sha256}

    def _head(self) -> str:
        return _csv_line(self.columns) if self.is_csv else ""

    def _text(self, row: dict[str, Any]) -> str:
        if self.is_csv:
            return _csv_line([row.get(name) for name in self.columns])
        return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"

    def _kept(self, path: Path) -> Iterator[dict[str, Any]]:
        """The whole rows of the file as it is."""
        try:
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})", where=path) from error
        rows = self._csv_rows(text) if self.is_csv else _json_rows(text)
        for row in rows:
            made_with = row[MODEL] if self.is_csv else row.get("model", {}).get("sha256")
            if made_with != self.sha256:
                raise DataError(
                    "was made with another model",
                    where=path,
                    hint="Give another --out, or move the file away.",
                )
            yield row

    def _csv_rows(self, text: str) -> Iterator[dict[str, Any]]:
        reader = csv.reader(io.StringIO(text, newline=""))
        head = tuple(next(reader, []))
        if self._is_ours(text, head):
            yield from self._whole_rows(reader)
            return
        if head:
            raise DataError(
                "holds other columns", where=self.path, hint="Give another --out, or move it away."
            )

    def _is_ours(self, text: str, head: tuple[str, ...]) -> bool:
        """Whether the header is this table's, perhaps cut short by a crash."""
        return head == self.columns or ("\n" not in text and self._head().startswith(text))

    def _whole_rows(self, rows: Iterable[list[str]]) -> Iterator[dict[str, Any]]:
        for values in rows:
            if len(values) == len(self.columns) and len(values[-1]) == len(self.sha256):
                yield dict(zip(self.columns, values, strict=True))


def _json_rows(text: str) -> Iterator[dict[str, Any]]:
    for line in text.split("\n"):
        try:
            row = json.loads(line)
        except ValueError:  # cut short
            continue
        if isinstance(row, dict) and "path" in row:
            yield row


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
