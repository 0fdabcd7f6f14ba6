"""The leak price: what a training seems to reach when copies and patients cross the split."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from overread.dataset.split.split import split
from overread.documents.audit import Audit
from overread.documents.certificate import Certificate
from overread.documents.manifest import MANIFEST_FILE
from overread.documents.metrics import LeakPrice, Metrics, SplitMetrics
from overread.report.page import write_report
from overread.stats.differences import drop

FOLDER = "leak-price"
METRIC = "accuracy"


def prepare_naive(run: Path, *, ratio: tuple[float, float, float], seed: int) -> Path:
    """RUN/leak-price with the audit of RUN and a split by image; the folder's path."""
    folder = run / FOLDER
    if not (folder / Certificate.FILE).is_file():
        folder.mkdir(exist_ok=True)
        for name in (Audit.FILE, MANIFEST_FILE):
            shutil.copy(run / name, folder / name)
        split(folder, ratio=ratio, seed=seed, method="naive")
    return folder


def add_leak_price(run: Path, naive: Metrics) -> Metrics:
    """Write the price into RUN/metrics.json and its report; returns the figures.

    `naive` holds the figures of the run on the naive split. The gap is naive minus leak-proof, of
    two test splits taken as independent.
    """
    metrics, certificate = Metrics.read(run), Certificate.read(run / FOLDER)
    leaky, clean = naive.test or SplitMetrics(), metrics.test or SplitMetrics()
    figures = {"naive": (leaky.estimates()[METRIC], leaky.n)}
    figures["leak_proof"] = (clean.estimates()[METRIC], clean.n)
    figures["gap"] = (drop(clean.estimates(), leaky.estimates())[METRIC], leaky.n)
    price = LeakPrice(
        metric=METRIC,
        **{name: replace(estimate, n=n) for name, (estimate, n) in figures.items()},
        test_images=certificate.test_images,
        leaked_test_images=certificate.leaked_test_images,
    )
    metrics = metrics.model_copy(update={"leak_price": price})
    metrics.write(run)
    write_report(run)
    return metrics
