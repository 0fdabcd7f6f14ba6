"""RUN/report.html: one self-contained page that says what a model can and cannot do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from overread.documents.metrics import SplitMetrics
from overread.evaluation.subgroups import FEWEST_IMAGES, MOST_VALUES
from overread.files import write_text
from overread.pages.page_record import record_pages
from overread.pages.render import render_page
from overread.pages.texts import LANGUAGES, Said, Texts, load_texts, say
from overread.report import rows, shortcut_rows
from overread.report.charts import Chart, render_svg
from overread.report.conclusion import LeakState, conclude, matrix_of
from overread.report.external_test import external
from overread.report.figures import Matrix, drawings, write_figures
from overread.report.plots import split_charts, training_charts
from overread.report.run_files import PlanFields, RunFiles, load_run
from overread.report.view import (
    Drawing,
    MistakesView,
    ProvenanceView,
    ReportPage,
    ShortcutsView,
    SubgroupsView,
    TrainingView,
)

PACKAGE = Path(__file__).parent
# What a recipe calls its heat maps, as its readers do.
HEATMAPS = {"grad-cam": "Grad-CAM", "hires-cam": "HiResCAM"}
HEADINGS = {name: f"metric.{name}.name" for name in rows.CLASS_FIGURES} | {
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
    record_pages(files.folder, [page, *figures])
    return page


def render_report(files: RunFiles, heading: str | None = None) -> str:
    """The page as HTML, under the name of the run's folder or another `heading`."""
    texts = load_texts(PACKAGE / "texts")
    charts = {language: _charts(files, texts, language) for language in LANGUAGES}
    name = files.folder.resolve().name if heading is None else heading
    page = view_of(files, name, charts)
    return render_page(
        PACKAGE,
        "report.html",
        heading=name,
        page=page,
        slider=[row.to_dict() for row in page.prevalence],
        class_columns=tuple(rows.CLASS_FIGURES),
        headings=HEADINGS,
        prevalences=PREVALENCES,
        few=FEWEST_IMAGES,
        many=MOST_VALUES,
    )


def render_figures(files: RunFiles) -> dict[str, str]:
    """The drawings of RUN/figures as SVG, by file name."""
    return drawings(*_drawn(files))


def _drawn(files: RunFiles) -> tuple[list[Chart], Matrix | None]:
    texts = load_texts(PACKAGE / "texts")
    return _charts(files, texts, "en"), _matrix(files, texts)


def _charts(files: RunFiles, texts: Texts, language: str) -> list[Chart]:
    words = partial(texts.plain, language)
    table = files.table.select(files.split_name) if files.table else None
    charts = split_charts(files.judged, table, words) if files.judged else []
    return [*charts, *training_charts(files.training, words)]


def _matrix(files: RunFiles, texts: Texts) -> Matrix | None:
    classes, counts = matrix_of(files.judged or SplitMetrics())
    words = (texts.plain("en", f"report.matrix.{key}") for key in ("title", "truth", "predicted"))
    return Matrix(np.array(counts), tuple(classes), *words) if classes else None


def view_of(files: RunFiles, heading: str, charts: Mapping[str, list[Chart]]) -> ReportPage:
    """Every section of the page, from what the run left; `charts` by language."""
    judged, metrics, audit = files.judged or SplitMetrics(), files.metrics, files.audit
    probes = audit.shortcuts if audit else ()
    plan = PlanFields.parse(files.plan or {}, where=files.folder)
    return ReportPage(
        heading=heading,
        known_data_set=(audit.known_data_set if audit else None) or "",
        leak=files.leak,
        warnings=tuple(_warnings(files.leak)),
        conclusion=conclude(
            judged,
            files.leak,
            probes=probes,
            tested=shortcut_rows.warning(metrics),
            searched=audit is None or audit.duplicate_search,
        ),
        external=external(metrics, rows.FIGURES),
        measured=rows.measured(judged, files.split_name) if files.judged else None,
        charts=_drawings(charts),
        points=shortcut_rows.points_view(metrics),
        prevalence=rows.class_rates(judged),
        subgroups=SubgroupsView(rows.subgroup_rows(judged), judged.subgroups_left_out),
        shortcuts=ShortcutsView(
            shortcut_rows.shortcut_tests(files),
            audit.images if audit else None,
            rows.probe_rows(probes, audit.images if audit else None),
        ),
        overlap=shortcut_rows.overlap_rows(metrics.heatmap_overlap),
        mistakes=MistakesView(
            HEATMAPS.get(plan.heatmap, plan.heatmap),
            rows.mistake_pictures(files.mistakes),
            rows.mistake_rows(files),
            files.table is not None,
        ),
        certificate=rows.certificate_view(files.certificate, files.leak),
        audit=rows.audit_view(audit),
        price=rows.price_rows(metrics.leak_price),
        training=TrainingView(plan.reasons or (), tuple(rows.settings(files.plan or {}))),
        provenance=ProvenanceView(
            metrics.method,
            metrics.test_set_uses,
            plan.command or "",
            plan.versions or {},
            files.hashes,
        ),
    )


def _drawings(charts: Mapping[str, list[Chart]]) -> dict[str, dict[str, Drawing]]:
    """Chart -> language -> its drawing with the words around it."""
    return {
        drawn[0].name: {
            language: Drawing(render_svg(chart), chart.title, chart.description)
            for language, chart in zip(charts, drawn, strict=True)
        }
        for drawn in zip(*charts.values(), strict=True)
    }


def _warnings(leak: LeakState) -> Iterator[Said]:
    """Why the split leaks, in sentences; nothing for a clean one."""
    if leak.state != "leaky":
        return
    if leak.leaked:
        yield say("report.leak.leaked", leaked=f"{leak.leaked:,}", tests=f"{leak.tests:,}")
    elif leak.crossing:
        yield say("report.leak.crossing", crossing=f"{leak.crossing:,}")
    else:
        yield say("report.leak.plain")
    if leak.method:
        yield say("report.leak.method", method=leak.method)
