"""The rows of the report's tables: pure functions from a run's files to what a template prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from overread.documents.predictions import PredictionTable
from overread.evaluation.prevalence import ppv_npv
from overread.pages.numbers import checked
from overread.pages.probes import probe_name
from overread.pages.render import data_uri
from overread.report.run_files import Mistake, RunFiles
from overread.report.verdict import matrix_of

MOST_MISTAKES = 24


def abstention(part: Mapping[str, Any]) -> dict[str, Any] | None:
    """How many images were answered, how many of these rightly; None where that is not known."""
    answered, n = part.get("answered") or {}, part.get("n") or 0
    if not checked(answered.get("coverage"), n, "answered.coverage"):
        return None
    given = round(answered["coverage"]["value"] * n)
    return {**answered, "n": n, "given": given, "all": given == n}


def matrix_rows(part: Mapping[str, Any]) -> list[tuple[str, list[tuple[int, float]], int]]:
    """(true class, cells (count, share of the row), row total)."""
    classes, counts = matrix_of(part)
    return [
        (name, [(count, count / max(sum(row), 1)) for count in row], sum(row))
        for name, row in zip(classes, counts, strict=True)
    ]


def class_tables(part: Mapping[str, Any]) -> tuple[tuple[str, list[list[int]]], ...]:
    """(class, [[TN, FP], [FN, TP]]) of each class where an image has several labels."""
    return tuple(zip(part.get("per_class", {}), part.get("confusion", ()), strict=False))


def operating_points(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Sensitivity and specificity with their intervals, for each class that has both."""
    rows = []
    for name, row in part.get("per_class", {}).items():
        sensitivity, specificity = row.get("sensitivity"), row.get("specificity")
        positive = (sensitivity or {}).get("n") or row.get("n") or None
        negative = (specificity or {}).get("n") or (part["n"] - row["n"]) or None
        found = checked(sensitivity, positive, f"per_class.{name}.sensitivity")
        against = checked(specificity, negative, f"per_class.{name}.specificity")
        if found and against:
            rows.append(
                {"name": name, "sensitivity": found, "specificity": against}
                | {"positive": positive, "negative": negative}
            )
    return rows


def predictive(row: Mapping[str, Any], prevalence: float) -> list[tuple[float, ...]]:
    """PPV and NPV as (value, low, high), both inputs at the same end of their interval."""
    ends = zip(row["sensitivity"], row["specificity"], strict=True)
    return list(zip(*(ppv_npv(a, b, prevalence) for a, b in ends), strict=True))


def subgroup_rows(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a subgroup: {column, value, gap in macro AUROC to all others, and its figures}."""
    return [
        {**row, "column": column, "value": value, "gap": (row.get("gap") or {}).get("macro_auroc")}
        for column, values in (part.get("subgroups") or {}).items()
        for value, row in values.items()
    ]


def shortcut_rows(probes: Sequence[Mapping[str, Any]], images: object) -> list[dict[str, Any]]:
    """The audit's shortcut probes, each with its estimate and n."""
    return [
        {
            "name": probe_name(str(probe["probe"])),
            "estimate": {"value": probe["auroc"], "ci95": probe.get("ci95")},
            "n": probe.get("n", images),
            "verdict": str(probe.get("verdict", "unknown")).lower(),
        }
        for probe in probes
    ]


def mistake_pictures(mistakes: Sequence[Mistake]) -> list[dict[str, Any]]:
    """The worst mistakes with their pictures embedded."""

    def embed(picture: bytes) -> str:
        kind = "image/jpeg" if picture.startswith(b"\xff\xd8") else "image/png"
        return data_uri(picture, kind) if picture else ""

    return [
        {"mistake": m, "picture": embed(m.picture), "heatmap": embed(m.heatmap)}
        for m in mistakes[:MOST_MISTAKES]
        if m.picture
    ]


def mistake_rows(files: RunFiles) -> list[tuple[str, str, str, float, str]]:
    """(path, label, predicted, probability, status) of the surest wrong answers, surest first."""
    if files.table is None:
        return []
    table = files.table.select(files.part_name)
    wrong = np.flatnonzero((table.truth() != table.decisions()).any(axis=1))
    sure = _sureness(table)
    order = wrong[np.argsort(-sure[wrong], kind="stable")][:MOST_MISTAKES]
    columns = (table.paths, table.labels, table.predicted)
    return [
        (*(str(column[i]) for column in columns), float(sure[i]), table.statuses[i]) for i in order
    ]


def _sureness(table: PredictionTable) -> Any:
    p = table.probabilities
    return np.maximum(p, 1 - p).max(axis=1) if table.multilabel else p.max(axis=1)


def split_rows(
    certificate: Mapping[str, Any] | None,
) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """Class names and (part, counts by class) of the certificate's `per_split`."""
    parts = (certificate or {}).get("per_split") or {}
    classes = sorted({name for counts in parts.values() for name in counts})
    order = sorted(parts, key=lambda name: {"train": 0, "val": 1, "test": 2}.get(name, 3))
    return classes, [(name, [int(parts[name].get(c, 0)) for c in classes]) for name in order]


@dataclass(frozen=True)
class PriceRow:
    """One row of the leak price: its text key, estimate and n."""

    key: str
    estimate: Mapping[str, Any]
    n: int | None


def price_rows(price: Mapping[str, Any] | None) -> list[PriceRow]:
    """The leaky figure, the leak-proof one and their difference."""
    rows = []
    for key in ("naive", "leak_proof", "gap"):
        found = (price or {}).get(key)
        if isinstance(found, Mapping):
            figure = str((price or {}).get("metric", "accuracy"))
            estimate = found if "value" in found else found.get(figure)
            n = found.get("n") or (price or {}).get("n")
            rows += [PriceRow(key, estimate, n)] if estimate else []
    return rows


def settings(plan: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """plan.json as (dotted name, value), without what has a place of its own."""
    for name, value in plan.items():
        if not prefix and name in ("schema_version", "versions", "command", "reasons"):
            continue
        if isinstance(value, Mapping):
            yield from settings(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield prefix + name, ", ".join(str(part) for part in value)
        elif value is not None:
            yield prefix + name, str(value)
