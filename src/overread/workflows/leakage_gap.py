"""The leak price: what a training seems to reach when copies and patients cross the split."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overread.dataset.split.split import CERTIFICATE_FILE, split
from overread.documents.manifest import AUDIT_FILE, MANIFEST_FILE
from overread.files import read_json, write_json
from overread.report.page import write_report
from overread.stats.differences import drop

FOLDER = "leak-price"
METRIC = "accuracy"


def prepare_naive(run: Path, *, ratio: tuple[float, float, float], seed: int) -> Path:
    """RUN/leak-price with the audit of RUN and a split by image; the folder's path."""
    folder = run / FOLDER
    if not (folder / CERTIFICATE_FILE).is_file():
        folder.mkdir(exist_ok=True)
        for name in (AUDIT_FILE, MANIFEST_FILE):
            shutil.copy(run / name, folder / name)
        split(folder, ratio=ratio, seed=seed, method="naive")
    return folder


def add_leak_price(run: Path, naive: Mapping[str, Any]) -> dict[str, Any]:
    """Write the price into RUN/metrics.json and its report; returns the metrics document.

    `naive` is the metrics document of the run on the naive split. The gap is naive minus
    leak-proof, of two test parts taken as independent.
    """
    metrics = read_json(run / "metrics.json")
    metrics.pop("schema_version")
    certificate = read_json(run / FOLDER / CERTIFICATE_FILE)
    parts = {"naive": naive["test"], "leak_proof": metrics["test"]}
    metrics["leak_price"] = {
        "metric": METRIC,
        **{name: {**part[METRIC], "n": part["n"]} for name, part in parts.items()},
        "gap": {**drop(metrics["test"], naive["test"])[METRIC], "n": naive["test"]["n"]},
        "test_images": certificate["test_images"],
        "leaked_test_images": certificate["leaked_test_images"],
    }
    write_json(run / "metrics.json", metrics)
    write_report(run)
    return metrics
