"""The sections of the report: pure functions from a run's files to what a template prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from overread.documents.audit import Audit, ShortcutProbe
from overread.documents.certificate import Certificate
from overread.documents.metrics import AnsweredMetrics, LeakPrice, SplitMetrics
from overread.documents.predictions import PredictionTable
from overread.pages.numbers import checked
from overread.pages.probes import FAILED, probe_name
from overread.pages.render import data_uri
from overread.report.conclusion import LeakState, matrix_of
from overread.report.run_files import Mistake, RunFiles
from overread.report.view import (
    Abstention,
    AuditView,
    CertificateView,
    ClassCell,
    ClassFigures,
    ClassRates,
    FigureRow,
    MatrixRow,
    MeasuredSplit,
    MistakePicture,
    MistakeRow,
    PriceRow,
    ProbeRow,
    SplitTable,
    SubgroupRow,
)
from overread.stats.estimate import Estimate

MOST_MISTAKES = 24
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
    "rms_calibration_error": False,
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


def measured(judged: SplitMetrics, name: str) -> MeasuredSplit:
    """The figures of a split: headlines, tables, confusion."""
    known = judged.estimates()
    rows = tuple(
        FigureRow(key, known[key], share) for key, share in FIGURES.items() if key in known
    )
    n = judged.n or 0
    return MeasuredSplit(
        name=name,
        n=n,
        groups=judged.groups or n,
        headlines=tuple(
            FigureRow(key, known[key], FIGURES[key]) for key in HEADLINES if key in known
        ),
        figures=rows,
        classes=tuple(class_figures(judged)),
        matrix=matrix_rows(judged),
        several=class_tables(judged) if judged.multilabel else (),
        calibration=judged.rms_calibration_error,
        answered=abstention(judged),
    )


def class_figures(judged: SplitMetrics) -> Iterator[ClassFigures]:
    """The table of classes; a sensitivity rests on the class's own images."""
    for name, row in judged.per_class.items():
        cells = (
            ClassCell(
                column,
                getattr(row, column),
                row.n if column == "sensitivity" else judged.n,
                share,
            )
            for column, share in CLASS_FIGURES.items()
        )
        yield ClassFigures(name, tuple(cells))


def abstention(judged: SplitMetrics) -> Abstention | None:
    """How many images were answered, how many of these rightly; None where that is not known."""
    answered, n = judged.answered or AnsweredMetrics(), judged.n or 0
    coverage = checked(answered.coverage, n, "answered.coverage")
    if not coverage:
        return None
    return Abstention(answered.coverage, answered.accuracy, n, round(coverage[0] * n))


def matrix_rows(judged: SplitMetrics) -> tuple[MatrixRow, ...]:
    """The confusion matrix with the share of each row."""
    classes, counts = matrix_of(judged)
    return tuple(
        MatrixRow(name, tuple((count, count / max(sum(row), 1)) for count in row), sum(row))
        for name, row in zip(classes, counts, strict=True)
    )


def class_tables(judged: SplitMetrics) -> tuple[tuple[str, Any], ...]:
    """(class, [[TN, FP], [FN, TP]]) of each class where an image has several labels."""
    return tuple(zip(judged.per_class, judged.confusion or (), strict=False))


def class_rates(judged: SplitMetrics) -> tuple[ClassRates, ...]:
    """Sensitivity and specificity with their intervals, for each class that has both."""
    rows = []
    for name, row in judged.per_class.items():
        positive = _own_n(row.sensitivity) or row.n or None
        negative = _own_n(row.specificity) or ((judged.n or 0) - (row.n or 0)) or None
        found = checked(row.sensitivity, positive, f"per_class.{name}.sensitivity")
        against = checked(row.specificity, negative, f"per_class.{name}.specificity")
        if found and against:
            rows.append(ClassRates(name, found, against, positive, negative))
    return tuple(rows)


def _own_n(estimate: Estimate | None) -> int | None:
    return None if estimate is None else estimate.n


def subgroup_rows(judged: SplitMetrics) -> tuple[SubgroupRow, ...]:
    """One row a subgroup."""
    return tuple(
        SubgroupRow(column, value, row)
        for column, values in judged.subgroups.items()
        for value, row in values.items()
    )


def probe_rows(probes: Sequence[ShortcutProbe], images: int | None) -> tuple[ProbeRow, ...]:
    """The audit's shortcut probes, each with its estimate and n."""
    return tuple(
        ProbeRow(
            name=probe_name(probe.probe),
            estimate=Estimate(probe.auroc, *probe.ci95),
            n=images if probe.n is None else probe.n,
            verdict=probe.verdict,
            failed=probe.verdict in FAILED,
        )
        for probe in probes
    )


def mistake_pictures(mistakes: Sequence[Mistake]) -> tuple[MistakePicture, ...]:
    """The worst mistakes with their pictures embedded."""

    def embed(picture: bytes) -> str:
        kind = "image/jpeg" if picture.startswith(b"\xff\xd8") else "image/png"
        return data_uri(picture, kind) if picture else ""

    return tuple(
        MistakePicture(m, embed(m.picture), embed(m.heatmap))
        for m in mistakes[:MOST_MISTAKES]
        if m.picture
    )


def mistake_rows(files: RunFiles) -> tuple[MistakeRow, ...]:
    """The surest wrong answers, surest first."""
    if files.table is None:
        return ()
    table = files.table.select(files.split_name)
    wrong = np.flatnonzero((table.truth() != table.decisions()).any(axis=1))
    sure = _sureness(table)
    order = wrong[np.argsort(-sure[wrong], kind="stable")][:MOST_MISTAKES]
    return tuple(
        MistakeRow(
            path=table.paths[i],
            label=table.labels[i],
            predicted=table.predicted[i],
            probability=float(sure[i]),
            status=table.statuses[i],
        )
        for i in order
    )


def _sureness(table: PredictionTable) -> Any:
    p = table.probabilities
    return np.maximum(p, 1 - p).max(axis=1) if table.multilabel else p.max(axis=1)


def certificate_view(certificate: Certificate | None, leak: LeakState) -> CertificateView | None:
    """What the certificate says; None without one."""
    if certificate is None:
        return None
    ratio = " : ".join(f"{share:g}" for share in certificate.ratio or ())
    facts = {
        "method": certificate.method or None,
        "groups": certificate.groups,
        "ratio": ratio or None,
        "seed": certificate.seed,
        "crossing": leak.crossing,
        "verified_by": certificate.verified_by or None,
        "manifest_sha": certificate.manifest_sha256,
    }
    known = tuple((key, str(value)) for key, value in facts.items() if value is not None)
    return CertificateView(known, certificate.notes, split_table(certificate))


def split_table(certificate: Certificate) -> SplitTable:
    """Images by split and class, from the certificate's `per_split`."""
    splits = certificate.per_split
    classes = tuple(sorted({name for counts in splits.values() for name in counts}))
    order = sorted(splits, key=lambda name: {"train": 0, "val": 1, "test": 2}.get(name, 3))
    rows = ((name, tuple(splits[name].get(c, 0) for c in classes)) for name in order)
    return SplitTable(classes, tuple(rows))


def audit_view(audit: Audit | None) -> AuditView | None:
    """What the audit found, in numbers; None without one."""
    if audit is None:
        return None
    return AuditView(
        audit.verdict,
        audit.known_data_set or "",
        len(audit.exact_duplicates),
        len(audit.near_duplicates),
        len(audit.conflicting_labels),
        len(audit.unreadable),
    )


def price_rows(price: LeakPrice | None) -> tuple[PriceRow, ...]:
    """The leaky figure, the leak-proof one and their difference."""
    named = ((key, getattr(price, key, None)) for key in ("naive", "leak_proof", "gap"))
    return tuple(PriceRow(key, estimate) for key, estimate in named if estimate is not None)


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
