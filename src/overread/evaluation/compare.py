"""Is one model better than another? Paired, image by image, on the test images both have seen.

Each side is one run, or several of the same kind (seeds, or folds of one data set). Groups are
drawn together for both sides, so what is hard for one and the other alike cancels out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.documents.comparison import ComparedMetric, Comparison, RunSpread
from overread.documents.metrics import IntervalMethod
from overread.documents.predictions import PredictionTable, read_predictions
from overread.errors import DataError
from overread.evaluation.estimates import (
    HEADLINES,
    Sample,
    averaged,
    bootstrap,
    point,
    with_intervals,
)
from overread.stats.differences import excludes_zero, paired_difference
from overread.stats.disjoint_sets import DisjointSets
from overread.stats.effective_size import EffectiveSizes
from overread.stats.estimate import Estimate, tidy

Floats = NDArray[np.float64]
RESAMPLES = 2000
FILE = "predictions.csv"
DECIDED = ("accuracy", "balanced_accuracy", "macro_f1", "mcc")
REACH = {"mcc": 2.0, "brier": 2.0, "nll": float("inf")}  # the largest difference there can be


def read_side(path: Path) -> list[PredictionTable]:
    """The test predictions of a run: a predictions.csv, its folder, or a folder of such folders."""
    if path.is_file():
        files = [path]
    elif (path / FILE).is_file():
        files = [path / FILE]
    else:
        files = sorted(path.glob(f"*/{FILE}"))
    if not files:
        raise DataError(
            f"has no {FILE}", where=path, hint="Give a finished run, or a folder of such runs."
        )
    tables = [read_predictions(file).select("test") for file in files]
    for file, table in zip(files, tables, strict=True):
        if not len(table):
            raise DataError("has no row in the split 'test'", where=file)
    return tables


def compare(
    a: Sequence[PredictionTable],
    b: Sequence[PredictionTable],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Every headline metric of both sides and the difference a - b, each with its interval.

    Raises DataError where the sides share no image, have other classes, or disagree on a label.
    """
    sides = _paired(_joined(a), _joined(b))
    judged = [_judge(side, resamples, seed) for side in sides]
    metrics = {name: _row(name, *judged) for name in HEADLINES}
    paths = sides[0].tables[0].paths
    left_out = {
        name: sum(map(len, given)) - len(paths) * len(side.tables)
        for name, given, side in zip("ab", (a, b), sides, strict=True)
    }
    return Comparison(
        n=len(paths),
        groups=judged[0].samples[0].groups.count,
        left_out=left_out,
        runs={"a": len(a), "b": len(b)},
        metrics=metrics,
        method=IntervalMethod(interval="95 %, paired by group", resamples=resamples, seed=seed),
    )


@dataclass(frozen=True)
class _Side:
    """Tables over the same images, to be averaged; and the row numbers of each fold, if joined."""

    tables: tuple[PredictionTable, ...]
    folds: tuple[tuple[str, ...], ...] = ()


def _joined(tables: Sequence[PredictionTable]) -> _Side:
    """Folds (no image twice) become one table; repeated runs on the same images stay apart."""
    first = tables[0]
    if len(tables) == 1:
        return _Side((first,))
    ordered = tuple(_with_classes(table, first) for table in tables)
    everything = [path for table in ordered for path in table.paths]
    if len(set(everything)) < len(everything):
        return _Side(ordered)

    def chain(name: str) -> tuple[str, ...]:
        return tuple(value for table in ordered for value in getattr(table, name))

    whole = PredictionTable(
        classes=first.classes,
        paths=chain("paths"),
        groups=chain("groups"),
        splits=chain("splits"),
        labels=chain("labels"),
        predicted=chain("predicted"),
        probabilities=np.concatenate([table.probabilities for table in ordered]),
        statuses=chain("statuses"),
        multilabel=first.multilabel,
    )
    return _Side((whole,), tuple(table.paths for table in ordered))


def _with_classes(table: PredictionTable, other: PredictionTable) -> PredictionTable:
    """`table` with its classes in the order of `other`'s."""
    if set(table.classes) != set(other.classes) or table.multilabel != other.multilabel:
        raise DataError(
            f"the runs have different classes: {', '.join(other.classes)} and "
            f"{', '.join(table.classes)}",
            where="compare",
            hint="Compare runs of one task.",
        )
    order = [table.classes.index(name) for name in other.classes]
    return replace(table, classes=other.classes, probabilities=table.probabilities[:, order])


def _paired(a: _Side, b: _Side) -> tuple[_Side, _Side]:
    """Both sides cut to the images all their tables share, in one order, with common groups."""
    first = a.tables[0]
    tables = [_with_classes(table, first) for table in (*a.tables, *b.tables)]
    shared = sorted(set.intersection(*(set(table.paths) for table in tables)))
    if not shared:
        raise DataError(
            f"the runs have no test image in common (the first of each: {tables[0].paths[0]}, "
            f"{tables[-1].paths[0]})",
            where="compare",
            hint="Evaluate both on the same test set.",
        )
    cut = [_at(table, shared) for table in tables]
    for table in cut[1:]:
        _check_labels(cut[0], table)
    groups = _common_groups(cut)
    cut = [replace(table, groups=groups) for table in cut]
    return replace(a, tables=tuple(cut[: len(a.tables)])), replace(
        b, tables=tuple(cut[len(a.tables) :])
    )


def _at(table: PredictionTable, paths: Sequence[str]) -> PredictionTable:
    place = {path: row for row, path in enumerate(table.paths)}
    return table.rows([place[path] for path in paths])


def _check_labels(a: PredictionTable, b: PredictionTable) -> None:
    for path, one, other in zip(a.paths, a.labels, b.labels, strict=True):
        if set(one.split("|")) != set(other.split("|")):
            raise DataError(
                f"'{path}' is labelled '{one}' in one run and '{other}' in the other",
                where="compare",
                hint="Compare runs on the same labels.",
            )


def _common_groups(tables: Sequence[PredictionTable]) -> tuple[str, ...]:
    """Images that any of the tables puts into one group are in one group."""
    joined = DisjointSets()
    for table in tables:
        # Equal group names of two runs need not mean the same patient; the images do.
        first: dict[str, int] = {}
        for row, group in enumerate(table.groups):
            joined.join(first.setdefault(group, row), row)
    return tuple(f"{joined.root(row):08d}" for row in range(len(tables[0])))


@dataclass(frozen=True)
class _SideFigures:
    """One side's estimates and resamples, and the values of its runs or folds."""

    samples: tuple[Sample, ...]
    estimates: dict[str, Estimate]
    drawn: dict[str, Floats]
    values: dict[str, list[float]]
    limits: EffectiveSizes


def _judge(side: _Side, resamples: int, seed: int) -> _SideFigures:
    samples = tuple(Sample.of(table) for table in side.tables)
    points = [point(sample) for sample in samples]
    draws = [bootstrap(sample, resamples, seed) for sample in samples]
    if len(samples) == 1:
        estimates, drawn = with_intervals(samples[0], points[0], draws[0]).overall, draws[0]
    else:
        estimates, drawn = averaged(samples[0], points, draws)
    if side.folds:
        points = [point(Sample.of(_at(side.tables[0], fold))) for fold in _kept(side)]
    values = {name: [_scalar(p, name) for p in points] for name in HEADLINES}
    limits = EffectiveSizes.of(samples[0].truth, samples[0].right, samples[0].groups)
    return _SideFigures(samples, estimates, drawn, values, limits)


def _kept(side: _Side) -> list[list[str]]:
    known = set(side.tables[0].paths)
    folds = [[path for path in fold if path in known] for fold in side.folds]
    return [fold for fold in folds if fold]


def _scalar(values: dict[str, Floats], name: str) -> float:
    if name == "rms_calibration_error":
        return float(np.sqrt(max(float(values["squared_calibration_error"]), 0.0)))
    return float(values[name])


def _cases(name: str, limits: EffectiveSizes) -> float:
    """How many images weigh as much as the one that two models are taken to judge differently.

    A changed decision counts in full; a changed probability moves an image past some of the others.
    """
    if name in DECIDED:
        return limits.n if name == "accuracy" else limits.balanced
    return 4 * limits.balanced


def _drawn(judged: _SideFigures, name: str) -> Floats:
    if name == "rms_calibration_error":
        return np.sqrt(np.maximum(judged.drawn["squared_calibration_error"], 0.0))
    return judged.drawn[name]


def _row(name: str, a: _SideFigures, b: _SideFigures) -> ComparedMetric:
    gap = paired_difference(
        a.estimates[name],
        b.estimates[name],
        _drawn(a, name) - _drawn(b, name),
        groups=a.limits.groups,
        cases=min(_cases(name, side.limits) for side in (a, b)),
        reach=REACH.get(name, 1.0),
    )
    spreads = {
        f"spread_{side}": spread(judged.values[name])
        for side, judged in (("a", a), ("b", b))
        if len(judged.values[name]) > 1
    }
    return ComparedMetric(
        a=a.estimates[name].rounded(),
        b=b.estimates[name].rounded(),
        difference=gap.rounded(),
        excludes_zero=excludes_zero(gap),
        **spreads,
    )


def spread(values: Sequence[float]) -> RunSpread:
    """Mean, standard deviation and range of one metric over seeds or folds."""
    known = np.array([value for value in values if np.isfinite(value)])
    if len(known) < 2:
        return RunSpread(runs=len(known), mean=None, sd=None, range=(None, None))
    return RunSpread(
        runs=len(known),
        mean=tidy(float(known.mean())),
        sd=tidy(float(known.std(ddof=1))),
        range=(tidy(float(known.min())), tidy(float(known.max()))),
    )
