"""RUN/report.html: one self-contained page that says what a model can and cannot do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from overread.evaluation.subgroups import FEWEST_IMAGES, MOST_VALUES
from overread.files import write_text
from overread.pages.page_record import note_written
from overread.pages.probes import FAILED
from overread.pages.render import render_page
from overread.pages.texts import LANGUAGES, Said, Texts, load_texts, say
from overread.report import rows
from overread.report import shortcut_rows as trials
from overread.report.charts import Chart, render_svg
from overread.report.external_test import external
from overread.report.figures import Matrix, drawings, write_figures
from overread.report.plots import part_charts, training_charts
from overread.report.run_files import RunFiles, load_run
from overread.report.verdict import Leak, matrix_of, verdict

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
# What a recipe calls its heat maps, as its readers do.
HEATMAPS = {"grad-cam": "Grad-CAM", "hires-cam": "HiResCAM"}
HEADINGS = {name: f"metric.{name}.name" for name in CLASS_FIGURES} | {
    "coverage": "report.table.coverage",
    "accuracy": "report.table.right",
}
PREVALENCES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5)


def write_report(run: Path) -> Path:
    """Write RUN/report.html and RUN/figures/ from what the run left; returns the page's path.

    Only predictions.csv or metrics.json is needed; every other part is said to be missing where it
    is. Raises DataError where a file is damaged or an estimate has no interval or no n.
    """
    files = load_run(run)
    page = files.folder / "report.html"
    figures = write_figures(files.folder / "figures", *_drawn(files))
    write_text(page, render_report(files))
    note_written(files.folder, [page, *figures])
    return page


def render_report(files: RunFiles, heading: str | None = None) -> str:
    """The page as HTML, under the name of the run's folder or another `heading`."""
    texts = load_texts(PACKAGE / "texts")
    charts = {language: _charts(files, texts, language) for language in LANGUAGES}
    name = files.folder.resolve().name if heading is None else heading
    return render_page(PACKAGE, "report.html", heading=name, **_context(files, charts))


def render_figures(files: RunFiles) -> dict[str, str]:
    """The drawings of RUN/figures as SVG, by file name."""
    return drawings(*_drawn(files))


def _drawn(files: RunFiles) -> tuple[list[Chart], Matrix | None]:
    texts = load_texts(PACKAGE / "texts")
    return _charts(files, texts, "en"), _matrix(files, texts)


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
    audit, plan, metrics = files.audit or {}, files.plan or {}, files.metrics or {}
    multilabel = bool(part.get("multilabel"))
    shortcuts = audit.get("shortcuts") or ()
    context = {
        "files": files,
        "part": part,
        "part_name": files.part_name,
        "leak": leak,
        "stamped": leak.state == "leaky",
        "warnings": tuple(_warnings(leak)),
        "verdict": verdict(
            part,
            leak,
            shortcuts=shortcuts,
            tried=trials.warning(files.metrics),
            multilabel=multilabel,
        ),
        "external": external(files.metrics, FIGURES),
        "headlines": [name for name in HEADLINES if name in part],
        "figure_rows": [(name, share) for name, share in FIGURES.items() if name in part],
        "class_columns": CLASS_FIGURES,
        "answered": rows.abstention(part),
        "matrix": rows.matrix_rows(part),
        "pairs": rows.class_tables(part) if multilabel else (),
        "charts": _drawings(charts),
        "prevalence": rows.operating_points(part),
        "prevalences": PREVALENCES,
        "predictive": rows.predictive,
        "failed": FAILED,
        "subgroups": rows.subgroup_rows(part),
        "subgroups_left_out": part.get("subgroups_left_out"),
        "few": FEWEST_IMAGES,
        "many": MOST_VALUES,
        "points": _points(files),
        "headings": HEADINGS,
        "sets": trials.sets(files.metrics),
        "tried": trials.tried(files),
        "evidence": trials.evidence(files.metrics),
        "shortcuts": rows.shortcut_rows(shortcuts, audit.get("images")),
        "heatmap": _heatmap(plan.get("recipe")),
        "mistakes": rows.mistake_pictures(files.mistakes),
        "mistake_rows": rows.mistake_rows(files),
        "split_rows": rows.split_rows(files.certificate),
        "price": rows.price_rows(metrics.get("leak_price")),
        "settings": tuple(rows.settings(plan)),
        "reasons": plan.get("reasons") or (),
        "versions": plan.get("versions") or {},
        "command": plan.get("command") or "",
        "looks": metrics.get("test_looks"),
        "method": metrics.get("method") or {},
        "hashes": files.hashes,
    }
    return context | {"sections": _sections(context)}


def _heatmap(recipe: object) -> str:
    """What the run's heat maps are called; `recipe` may be its name alone, or missing."""
    method = str(recipe.get("heatmap", "grad-cam")) if isinstance(recipe, Mapping) else "grad-cam"
    return HEATMAPS.get(method, method)


def _drawings(charts: Mapping[str, list[Chart]]) -> dict[str, dict[str, dict[str, str]]]:
    """Chart -> language -> its drawing with the words around it."""
    return {
        drawings[0].name: {
            language: {"svg": render_svg(drawn), "title": drawn.title, "note": drawn.description}
            for language, drawn in zip(charts, drawings, strict=True)
        }
        for drawings in zip(*charts.values(), strict=True)
    }


def _points(files: RunFiles) -> dict[str, Any] | None:
    """Operating points, where the run has a validation part that chose some."""
    answer, named = (trials.points(files.metrics, named=named) for named in (False, True))
    return {"answer": answer, "named": named} if answer or named else None


def _sections(context: Mapping[str, Any]) -> list[str]:
    """The sections of the page in order; a few exist only where there is something to say."""
    measured = ("figures", "classes", "confusion", "curves", "calibration", "abstention")
    chosen = ["verdict"]
    chosen += ["external"] if context["external"] and context["external"].rows else []
    chosen += measured if context["part"] else ()
    chosen += ["points"] if context["points"] else []
    chosen += ["prevalence"] if context["prevalence"] else []
    chosen += ["subgroups", "shortcuts", "where", "mistakes", "data"]
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
