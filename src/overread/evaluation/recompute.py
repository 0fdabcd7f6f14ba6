"""A run's figures from its stored predictions: the same for us and for anyone who checks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from overread.documents.predictions import PredictionTable, read_predictions
from overread.documents.run_documents import read_manifest_rows, read_metrics
from overread.evaluation.heatmap_overlap import HEATMAPS_FILE, read_looks, where_it_looks
from overread.evaluation.shortcut_tests import SHORTCUTS_FILE, judge, read_tables
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


def recompute(run: Path, *, as_stored: bool = False) -> dict[str, Any]:
    """The metrics document of RUN from RUN/predictions.csv.

    What predictions cannot give (leak price, looks at the test set, the model's own figures of an
    external test) is taken from a metrics.json that is already there, and so are the number of
    resamples and the seed; with `as_stored` also which columns it judges subgroups by. Raises
    DataError where a file is missing or unusable.
    """
    table = read_predictions(run / "predictions.csv")
    stored = read_metrics(run / "metrics.json") if (run / "metrics.json").is_file() else {}
    method = stored.get("method") or {}
    before = stored.get("test") or {}
    skipped = [row["column"] for row in before.get("subgroups_left_out") or ()]
    judged_by = {*(before.get("subgroups") or ()), *skipped}
    drawn = {
        "resamples": method.get("resamples", RESAMPLES),
        "seed": method.get("seed", 0),
    }
    document = evaluate_table(
        table,
        **drawn,
        leak_price=stored.get("leak_price"),
        test_looks=stored.get("test_looks"),
        subgroup_columns=subgroup_columns(run, table, judged_by if as_stored else None),
    )
    return document | _after_training(run, table, **drawn) | _kept(stored, document["test"])


def _kept(stored: Mapping[str, Any], test: Mapping[str, Any]) -> dict[str, Any]:
    """What only the images or the model could give, as stored; the drop against the latter anew."""
    kept = {name: stored[name] for name in KEPT if name in stored}
    return kept | ({"drop": drop(kept["internal"], test)} if "internal" in kept else {})


def _after_training(run: Path, table: PredictionTable, **drawn: int) -> dict[str, Any]:
    """What the shortcut battery and the heat maps say, where the run has them."""
    found: dict[str, Any] = {}
    if (path := run / SHORTCUTS_FILE).is_file():
        tables = read_tables(path, multilabel=table.multilabel)
        found["shortcuts"] = judge(table.select("test"), tables, **drawn)
    if (path := run / HEATMAPS_FILE).is_file():
        found["heatmaps"] = where_it_looks(read_looks(path), **drawn)
    return found
