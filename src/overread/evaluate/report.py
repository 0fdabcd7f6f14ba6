"""RUN/report.html: one self-contained page that says what a model can and cannot do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from overread.evaluate.charts import Chart, render_svg
from overread.evaluate.figures import Matrix, write_figures
from overread.evaluate.plots import part_charts, training_charts
from overread.evaluate.predictions import PredictionTable
from overread.evaluate.prevalence import ppv_npv
from overread.evaluate.run_files import Mistake, RunFiles, load_run
from overread.evaluate.verdict import Leak, matrix_of, verdict
from overread.files import write_text
from overread.pages.numbers import checked
from overread.pages.page import data_uri, render_page
from overread.pages.probes import FAILED, probe_name
from overread.pages.texts import LANGUAGES, Said, Texts, load_texts, say

PACKAGE = Path(__file__).parent
HEADLINES = ("balanced_accuracy", "macro_auroc", "accuracy", "mcc")
# Figure -> whether it is a share (printed as a percentage).
FIGURES = {
    "balanced_accuracy": True,
    "accuracy": True,
    "macro_auroc": False,
    "macro_average_precision": False,
    "macro_f1": False,
    "mcc": False,
    "nll": False,
    "brier": False,
    "ece": False,
}
CLASS_FIGURES = {
    "sensitivity": True,
    "specificity": True,
    "precision": True,
    "npv": True,
    "f1": False,
    "auroc": False,
    "average_precision": False,
}
PREVALENCES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5)
MOST_MISTAKES = 24


def write_report(run: Path) -> Path:
    """Write RUN/report.html and RUN/figures/ from what the run left; returns the page's path.

    Only predictions.csv or metrics.json is needed; every other part is said to be missing where it
    is. Raises DataError where a file is damaged or an estimate has no interval or no n.
    """
    files = load_run(run)
    texts = load_texts(PACKAGE / "texts")
    charts = {language: _charts(files, texts, language) for language in LANGUAGES}
    page = render_page(PACKAGE, "report.html", **_context(files, charts))
    write_figures(files.folder / "figures", charts["en"], _matrix(files, texts))
    write_text(files.folder / "report.html", page)
    return files.folder / "report.html"


def _charts(files: RunFiles, texts: Texts, language: str) -> list[Chart]:
    words = partial(texts.plain, language)
    table = files.table.select(files.part_name) if files.table else None
    charts = part_charts(files.part, table, words) if files.part else []
    return [*charts, *training_charts(files.training, words)]


def _matrix(files: RunFiles, texts: Texts) -> Matrix | None:
    classes, counts = matrix_of(files.part)
    words = (texts.plain("en", f"report.matrix.{key}") for key in ("title", "truth", "called"))
    return Matrix(np.array(counts), tuple(classes), *words) if classes else None


def _context(files: RunFiles, charts: Mapping[str, list[Chart]]) -> dict[str, Any]:
    part, leak = files.part, files.leak
    multilabel = bool(part.get("multilabel"))
    shortcuts = (files.audit or {}).get("shortcuts") or ()
    figures = {
        chart.name: {"title": f"chart.{key}.title", "note": f"chart.{key}.description"}
        | {language: render_svg(charts[language][i]) for language in LANGUAGES}
        for i, chart in enumerate(charts["en"])
        for key in [CHART_TEXTS.get(chart.name, chart.name)]
    }
    context = {
        "heading": files.folder.resolve().name,
        "files": files,
        "part": part,
        "part_name": files.part_name,
        "leak": leak,
        "stamped": leak.state == "leaky",
        "warnings": tuple(_warnings(leak)),
        "verdict": verdict(part, leak, shortcuts=shortcuts, multilabel=multilabel),
        "headlines": [name for name in HEADLINES if name in part],
        "figure_rows": [(name, share) for name, share in FIGURES.items() if name in part],
        "class_columns": CLASS_FIGURES,
        "answered": _answered(part),
        "matrix": _matrix_rows(part),
        "pairs": _pairs(part) if multilabel else (),
        "charts": figures,
        "prevalence": _prevalence(part),
        "prevalences": PREVALENCES,
        "predictive": _predictive,
        "failed": FAILED,
        "subgroups": _subgroups(part),
        "shortcuts": _shortcuts(shortcuts, (files.audit or {}).get("images")),
        "mistakes": _pictures(files.mistakes),
        "mistake_rows": _mistake_rows(files),
        "split_rows": _split_rows(files.certificate),
        "price": _price((files.metrics or {}).get("leak_price")),
        "settings": tuple(_settings(files.plan or {})),
        "reasons": (files.plan or {}).get("reasons") or (),
        "versions": (files.plan or {}).get("versions") or {},
        "command": (files.plan or {}).get("command") or "",
        "looks": (files.metrics or {}).get("test_looks"),
        "method": (files.metrics or {}).get("method") or {},
        "hashes": files.hashes,
    }
    return context | {"sections": _sections(context)}


CHART_TEXTS = {"precision_recall": "pr", "risk_coverage": "risk"}


def _sections(context: Mapping[str, Any]) -> list[str]:
    """The sections of the page in order; a few exist only where there is something to say."""
    measured = ("figures", "classes", "confusion", "curves", "calibration", "abstention")
    chosen = ["verdict", *(measured if context["part"] else ())]
    chosen += ["prevalence"] if context["prevalence"] else []
    chosen += ["subgroups", "shortcuts", "mistakes", "data"]
    chosen += ["price"] if context["price"] else []
    return [*chosen, "training", "provenance", "limits"]


def _warnings(leak: Leak) -> Iterator[Said]:
    """Why the split leaks, in sentences; nothing for a clean one."""
    if leak.state != "leaky":
        return
    if leak.siblings:
        yield say("report.leak.siblings", siblings=f"{leak.siblings:,}", tests=f"{leak.tests:,}")
    elif leak.crossing:
        yield say("report.leak.crossing", crossing=f"{leak.crossing:,}")
    else:
        yield say("report.leak.plain")
    if leak.policy:
        yield say("report.leak.policy", policy=leak.policy)


def _answered(part: Mapping[str, Any]) -> dict[str, Any] | None:
    answered, n = part.get("answered") or {}, part.get("n") or 0
    if not checked(answered.get("coverage"), n, "answered.coverage"):
        return None
    given = round(answered["coverage"]["value"] * n)
    return {**answered, "n": n, "given": given, "all": given == n}


def _matrix_rows(part: Mapping[str, Any]) -> list[tuple[str, list[tuple[int, float]], int]]:
    """(true class, cells (count, share of the row), row total)."""
    classes, counts = matrix_of(part)
    return [
        (name, [(count, count / max(sum(row), 1)) for count in row], sum(row))
        for name, row in zip(classes, counts, strict=True)
    ]


def _pairs(part: Mapping[str, Any]) -> tuple[tuple[str, list[list[int]]], ...]:
    """(class, [[TN, FP], [FN, TP]]) of each class where an image has several labels."""
    return tuple(zip(part.get("per_class", {}), part.get("confusion", ()), strict=False))


def _prevalence(part: Mapping[str, Any]) -> list[dict[str, Any]]:
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


def _predictive(row: Mapping[str, Any], prevalence: float) -> list[tuple[float, ...]]:
    """PPV and NPV as (value, low, high), both inputs at the same end of their interval."""
    ends = zip(row["sensitivity"], row["specificity"], strict=True)
    return list(zip(*(ppv_npv(a, b, prevalence) for a, b in ends), strict=True))


def _subgroups(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a subgroup: {column, value, gap in macro AUROC to all others, and its figures}."""
    return [
        {**row, "column": column, "value": value, "gap": (row.get("gap") or {}).get("macro_auroc")}
        for column, values in (part.get("subgroups") or {}).items()
        for value, row in values.items()
    ]


def _shortcuts(probes: Sequence[Mapping[str, Any]], images: object) -> list[dict[str, Any]]:
    return [
        {
            "name": probe_name(str(probe["probe"])),
            "estimate": {"value": probe["auroc"], "ci95": probe.get("ci95")},
            "n": probe.get("n", images),
            "verdict": str(probe.get("verdict", "unknown")).lower(),
        }
        for probe in probes
    ]


def _pictures(mistakes: Sequence[Mistake]) -> list[dict[str, Any]]:
    def embed(picture: bytes) -> str:
        kind = "image/jpeg" if picture.startswith(b"\xff\xd8") else "image/png"
        return data_uri(picture, kind) if picture else ""

    return [
        {"mistake": m, "picture": embed(m.picture), "heatmap": embed(m.heatmap)}
        for m in mistakes[:MOST_MISTAKES]
        if m.picture
    ]


def _mistake_rows(files: RunFiles) -> list[tuple[str, str, str, float, str]]:
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


def _split_rows(
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


def _price(price: Mapping[str, Any] | None) -> list[PriceRow]:
    rows = []
    for key in ("naive", "leak_proof", "gap"):
        found = (price or {}).get(key)
        if isinstance(found, Mapping):
            figure = str((price or {}).get("metric", "accuracy"))
            estimate = found if "value" in found else found.get(figure)
            n = found.get("n") or (price or {}).get("n")
            rows += [PriceRow(key, estimate, n)] if estimate else []
    return rows


def _settings(plan: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """plan.json as (dotted name, value), without what has a place of its own."""
    for name, value in plan.items():
        if not prefix and name in ("schema_version", "versions", "command", "reasons"):
            continue
        if isinstance(value, Mapping):
            yield from _settings(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield prefix + name, ", ".join(str(part) for part in value)
        elif value is not None:
            yield prefix + name, str(value)
