"""What a finished run left on disk, each part optional: a page says what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from overread.documents.predictions import PredictionTable, read_predictions
from overread.documents.run_documents import read_document, read_manifest_rows, read_metrics
from overread.errors import DataError
from overread.files import read_csv, sha256_file
from overread.report.verdict import Leak, leak_of

Document = Mapping[str, Any]
Rows = tuple[Mapping[str, str], ...]
# The files a report is made from; their hashes are printed in it.
SOURCES = (
    "predictions.csv",
    "metrics.json",
    "manifest.csv",
    "certificate.json",
    "audit.json",
    "plan.json",
    "training.csv",
    "shortcuts.csv",
    "heatmaps.csv",
    "model.overread",
)
MISTAKES = ("figures/mistakes/mistakes.json", "figures/mistakes.json", "mistakes.json")


@dataclass(frozen=True)
class Mistake:
    """One wrong answer; `picture` and `heatmap` are PNG or JPEG bytes, b"" where there is none."""

    path: str
    label: str
    predicted: str
    probability: float
    picture: bytes = b""
    heatmap: bytes = b""


@dataclass(frozen=True)
class RunFiles:
    """The documents of a run; None or empty where the file is missing."""

    folder: Path
    table: PredictionTable | None
    metrics: Document | None
    certificate: Document | None
    audit: Document | None
    plan: Document | None
    training: Rows
    manifest: Rows
    mistakes: tuple[Mistake, ...]

    @property
    def part_name(self) -> str:
        """The part to judge by: "test", or "val" where no test image was predicted."""
        metrics = self.metrics or {}
        return "test" if metrics.get("test") or not metrics.get("val") else "val"

    @property
    def part(self) -> Document:
        """That part of metrics.json; empty where there is none."""
        return (self.metrics or {}).get(self.part_name) or {}

    @cached_property
    def leak(self) -> Leak:
        """Whether the split leaks, by certificate and manifest."""
        return leak_of(self.certificate, self.manifest, self.hashes.get("manifest.csv"))

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of every source file present, by name."""
        return {
            name: sha256_file(self.folder / name)
            for name in SOURCES
            if (self.folder / name).is_file()
        }


def load_run(folder: Path) -> RunFiles:
    """Read what RUN holds. Raises DataError for a damaged file, or when there is nothing to show.

    Files that are missing are left None or empty; files that are there must be readable.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError("is no folder", where=folder, hint="Give the folder of a run (--out).")
    if not any((folder / name).is_file() for name in ("predictions.csv", "metrics.json")):
        raise DataError(
            "holds neither predictions.csv nor metrics.json",
            where=folder,
            hint="Run `overread train` or `overread evaluate` first.",
        )
    predictions = folder / "predictions.csv"
    table = read_predictions(predictions) if predictions.is_file() else None
    return RunFiles(
        folder,
        table,
        _read(folder / "metrics.json", read_metrics),
        _read(folder / "certificate.json", read_document),
        _read(folder / "audit.json", read_document),
        _read(folder / "plan.json", read_document),
        tuple(_read(folder / "training.csv", lambda path: read_csv(path)[1]) or ()),
        tuple(_read(folder / "manifest.csv", read_manifest_rows) or ()),
        _mistakes(folder),
    )


def _read(path: Path, read: Callable[[Path], Any]) -> Any:
    return read(path) if path.is_file() else None


def _mistakes(folder: Path) -> tuple[Mistake, ...]:
    """The pictures that training wrote: a list, or a document that holds one."""
    found = next((folder / name for name in MISTAKES if (folder / name).is_file()), None)
    if found is None:
        return ()
    try:
        document = json.loads(found.read_text(encoding="utf-8"))
        rows = document["mistakes"] if isinstance(document, dict) else document
        return tuple(_mistake(folder, found.parent, row) for row in rows)
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"is no list of mistakes ({type(error).__name__}: {error})",
            where=found,
            hint="Delete it, or make it again with `overread train`.",
        ) from error


def _mistake(run: Path, beside: Path, row: Mapping[str, Any]) -> Mistake:
    return Mistake(
        str(row["path"]),
        str(row["label"]),
        str(row["predicted"]),
        float(row["probability"]),
        _picture(run, beside, row.get("picture")),
        _picture(run, beside, row.get("heatmap")),
    )


def _picture(run: Path, beside: Path, name: object) -> bytes:
    """The bytes of a picture named relative to RUN or to mistakes.json; never from outside RUN."""
    for folder in (beside, run):
        path = (folder / str(name)).resolve() if name else run
        if path.is_file() and path.is_relative_to(run.resolve()):
            return path.read_bytes()
    return b""
