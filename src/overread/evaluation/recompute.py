"""A run's figures from its stored predictions: the same for us and for anyone who checks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from overread.documents.manifest import read_manifest_rows
from overread.documents.metrics import HeatmapOverlap, Metrics, ShortcutTests, SplitMetrics
from overread.documents.predictions import PredictionTable, read_predictions
from overread.evaluation.heatmap_overlap import OVERLAP_FILE, overlap_figures, read_overlaps
from overread.evaluation.shortcut_tests import SHORTCUT_TESTS_FILE, judge, read_tables
from overread.evaluation.summary import RESAMPLES, evaluate_table
from overread.stats.differences import drop

KEPT = ("split", "model", "data", "unreadable", "internal", "drop")
# Columns of manifest.csv that say which image it is, not what kind of patient.
IDENTITY = frozenset(
    "path sha256 width height mode label patient mask split group".split()  # noqa: SIM905
)


def subgroup_columns(
    run: Path, table: PredictionTable, only: Collection[str] | None = None
) -> dict[str, Sequence[str]]:
    """Columns of RUN/manifest.csv that may hold subgroups, one value for each row of the table.

    Site, source and the user's own columns, or those named in `only`; empty without a manifest.
    """
    path = run / "manifest.csv"
    if not path.is_file():
        return {}
    rows = read_manifest_rows(path)
    columns = list(rows[0]) if rows else []
    known = {row["path"]: row for row in rows}
    wanted = [c for c in columns if c not in IDENTITY and (only is None or c in only)]
    return {c: [known.get(p, {}).get(c, "") for p in table.paths] for c in wanted}


def recompute(run: Path, *, as_stored: bool = False) -> Metrics:
    """The figures of RUN from RUN/predictions.csv.

    What predictions cannot give (leak price, uses of the test set, the model's own figures of an
    external test) is taken from a metrics.json that is already there, and so are the number of
    resamples and the seed; with `as_stored` also which columns it judges subgroups by. Raises
    DataError where a file is missing or unusable.
    """
    table = read_predictions(run / "predictions.csv")
    stored = Metrics.read(run) if (run / Metrics.FILE).is_file() else Metrics()
    drawn = {"resamples": RESAMPLES, "seed": 0}
    if stored.method is not None:
        known = {"resamples": stored.method.resamples, "seed": stored.method.seed}
        drawn |= {name: value for name, value in known.items() if value is not None}
    judged_by = _judged_by(stored.test or SplitMetrics())
    fresh = evaluate_table(
        table,
        **drawn,
        leak_price=stored.leak_price,
        test_set_uses=stored.test_set_uses,
        subgroup_columns=subgroup_columns(run, table, judged_by if as_stored else None),
    )
    return with_stored(_with_tests(fresh, run, table, **drawn), stored)


def _judged_by(test: SplitMetrics) -> set[str]:
    """The columns that a stored test split is judged by."""
    return {*test.subgroups, *(row.column for row in test.subgroups_left_out)}


def with_stored(fresh: Metrics, stored: Metrics) -> Metrics:
    """`fresh` with what only the images or the model could give, as stored; the drop anew."""
    kept = {name: getattr(stored, name) for name in KEPT if name in stored.model_fields_set}
    if stored.internal is not None and fresh.test is not None:
        kept["drop"] = drop(stored.internal, fresh.test.estimates())
    return fresh.model_copy(update=kept)


def _with_tests(fresh: Metrics, run: Path, table: PredictionTable, **drawn: int) -> Metrics:
    """With what the shortcut tests and the heat maps say, where the run has them."""
    found: dict[str, ShortcutTests | HeatmapOverlap] = {}
    if (path := run / SHORTCUT_TESTS_FILE).is_file():
        tables = read_tables(path, multilabel=table.multilabel)
        found["shortcut_tests"] = judge(table.select("test"), tables, **drawn)
    if (path := run / OVERLAP_FILE).is_file():
        found["heatmap_overlap"] = overlap_figures(read_overlaps(path), **drawn)
    return fresh.model_copy(update=found)
