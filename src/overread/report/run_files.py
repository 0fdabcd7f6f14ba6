"""What a finished run left on disk, each part optional: a page says what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from overread.documents.audit import Audit
from overread.documents.certificate import Certificate
from overread.documents.document import Document
from overread.documents.manifest import read_manifest_rows
from overread.documents.metrics import Metrics, SplitMetrics
from overread.documents.predictions import PredictionTable, read_predictions
from overread.errors import DataError
from overread.files import read_csv, read_json, sha256_file
from overread.report.conclusion import LeakState, leak_state

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
    "shortcut_tests.csv",
    "heatmap_overlap.csv",
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


class PlanFields(Document):
    """The fields of plan.json that a page relies on; the others are printed as they are."""

    FILE: ClassVar[str] = "plan.json"
    HINT: ClassVar[str] = "Run `overread train` again, or take the file away."

    recipe: Any = Field(default=None, description="The recipe, or its name alone.")
    versions: dict[str, Any] | None = None
    reasons: tuple[str, ...] | None = None
    command: str | None = None

    @property
    def heatmap(self) -> str:
        """What the recipe draws heat maps with; it may be its name alone, or missing."""
        recipe = self.recipe if isinstance(self.recipe, dict) else {}
        return str(recipe.get("heatmap", "grad-cam"))


@dataclass(frozen=True)
class RunFiles:
    """The documents of a run; None or empty where the file is missing.

    `plan` is plan.json as it was read: every setting in it is printed.
    """

    folder: Path
    table: PredictionTable | None
    metrics: Metrics
    certificate: Certificate | None
    audit: Audit | None
    plan: Mapping[str, Any] | None
    training: Rows
    manifest: Rows
    mistakes: tuple[Mistake, ...]

    @property
    def split_name(self) -> Literal["test", "val"]:
        """The split to judge by: "test", or "val" where no test image was predicted."""
        return self.metrics.judged

    @property
    def judged(self) -> SplitMetrics | None:
        """The figures of that split; None where there are none."""
        return self.metrics.val if self.split_name == "val" else self.metrics.test

    @cached_property
    def leak(self) -> LeakState:
        """Whether the split leaks, by certificate and manifest."""
        return leak_state(self.certificate, self.manifest, self.hashes.get("manifest.csv"))

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
        raise DataError("is not a folder", where=folder, hint="Give the folder of a run (--out).")
    if not any((folder / name).is_file() for name in ("predictions.csv", "metrics.json")):
        raise DataError(
            "has neither predictions.csv nor metrics.json",
            where=folder,
            hint="Run `overread train` or `overread evaluate` first.",
        )
    predictions = folder / "predictions.csv"
    table = read_predictions(predictions) if predictions.is_file() else None
    return RunFiles(
        folder,
        table,
        _read(folder / Metrics.FILE, lambda path: Metrics.read(path.parent)) or Metrics(),
        _read(folder / Certificate.FILE, lambda path: Certificate.read(path.parent)),
        _read(folder / Audit.FILE, lambda path: Audit.read(path.parent)),
        _read(folder / PlanFields.FILE, _read_plan),
        tuple(_read(folder / "training.csv", lambda path: read_csv(path)[1]) or ()),
        tuple(_read(folder / "manifest.csv", read_manifest_rows) or ()),
        _mistakes(folder),
    )


def _read_plan(path: Path) -> dict[str, Any]:
    """plan.json as it stands, once the fields that a page relies on are checked."""
    document = read_json(path, hint=PlanFields.HINT)
    PlanFields.parse(document, where=path)
    return document


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
            f"is not a valid list of mistakes ({type(error).__name__}: {error})",
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
