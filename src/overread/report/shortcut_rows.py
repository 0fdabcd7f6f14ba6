"""What the report shows of shortcut tests, heat-map overlap and operating points."""

from __future__ import annotations

from overread.documents.metrics import (
    HeatmapOverlap,
    Metrics,
    OperatingPointMetrics,
    ShortcutTests,
)
from overread.evaluation.shortcut_tests import wording
from overread.pages.numbers import decimal
from overread.pages.render import data_uri
from overread.pages.texts import Said, say
from overread.report.run_files import RunFiles
from overread.report.view import (
    OverlapRow,
    PointRow,
    PointsView,
    ShortcutTestRow,
    ShortcutTestsView,
)

PICTURES = "figures/shortcut_tests"
BOX = {"fail": "bad", "warn": "warn", "pass": "good", "unknown": ""}
TONE = {"fail": "bad-text", "warn": "warn-text", "pass": "good-text"}


def shortcut_tests(files: RunFiles) -> ShortcutTestsView | None:
    """The shortcut tests: their verdict in words, how its box looks, and rows with pictures."""
    found = files.metrics.shortcut_tests
    if found is None:
        return None
    rows = (
        ShortcutTestRow(
            name=say(f"shortcut_tests.{test.intervention}.name"),
            left=say(f"shortcut_tests.{test.intervention}.left"),
            picture=picture(files, test.intervention),
            tone=TONE.get(test.verdict, ""),
            test=test,
        )
        for test in found.rows
    )
    return ShortcutTestsView(
        verdict_words(found), BOX[found.verdict], found.n, found.of, tuple(rows)
    )


def picture(files: RunFiles, name: str) -> str:
    """The example picture of an intervention as a data address; "" where there is none."""
    path = files.folder / PICTURES / f"{name}.png"
    return data_uri(path.read_bytes()) if path.is_file() else ""


def verdict_words(found: ShortcutTests) -> Said:
    """The verdict of the shortcut tests in one sentence."""
    row = next((r for r in found.rows if r.intervention == found.accused), None)
    if row is None or row.strongest is None:
        key, counts = wording(found.verdict, found.rows)
        return say(f"shortcut_tests.verdict.{key}", **counts)
    accused = row.change if row.kind == "coder" else row.strongest.auroc
    return say(
        f"shortcut_tests.verdict.{'coder' if row.kind == 'coder' else found.verdict}",
        row=say(f"shortcut_tests.{row.intervention}.name"),
        label=row.strongest.label,
        value=decimal(accused.value or 0.0, 2),
        low=decimal(accused.low or 0.0, 2),
        high=decimal(accused.high or 0.0, 2),
    )


def warning(metrics: Metrics) -> Said | None:
    """The verdict again for the top of the report, where it is a bad one."""
    found = metrics.shortcut_tests
    return verdict_words(found) if found and found.verdict in ("warn", "fail") else None


def overlap_rows(found: HeatmapOverlap | None) -> tuple[OverlapRow, ...]:
    """Evidence inside the mask: all images, then each true class."""
    if found is None:
        return ()
    classes = (OverlapRow(name, row) for name, row in found.per_class.items())
    return (OverlapRow(say("report.table.total"), found), *classes)


def points_view(metrics: Metrics) -> PointsView | None:
    """Operating points with their figures, where the run has a validation split that chose some."""
    rows = [PointRow(_rule(point), point) for point in metrics.operating_points]
    if not rows:
        return None
    return PointsView(
        n=(metrics.val.n if metrics.val else None) or 0,
        answer=tuple(row for row in rows if not row.point.label),
        named=tuple(row for row in rows if row.point.label),
        sets=metrics.sets,
    )


def _rule(point: OperatingPointMetrics) -> Said:
    wanted = f"{100 * point.wanted:g}%"
    return say(f"points.{point.rule}", wanted=wanted, name=point.label or "")
