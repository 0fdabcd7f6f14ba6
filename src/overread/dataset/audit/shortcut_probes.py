"""Shortcut probes: how well the label can be told from what is not medicine.

Each probe sees only numbers that say nothing of the disease, and is scored on images it was not
fitted on. A high score means a network could do the same and call it a diagnosis (DeGrave et al.,
Nat Mach Intell 2021; Maguolo and Nanni, Inf Fusion 2021).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from overread.dataset.audit.linear import (
    FOLDS,
    Auroc,
    Matrix,
    group_folds,
    held_out_scores,
    macro_auroc,
)
from overread.dataset.audit.measure import THUMB, Measured
from overread.documents.manifest import ImageRecord

MOST_VALUES = 30  # of a column; rarer ones count together
BORDER = 2  # pixels of the 32 x 32 thumbnail
FEWEST_GROUPS = 10  # of a class, for a score worth the name


@dataclass(frozen=True)
class MeasuredImage:
    """What a probe may look at: one image's record and its measurements."""

    record: ImageRecord
    measured: Measured


@dataclass(frozen=True)
class Probe:
    """`features` gives (n, d); `meaning` ends the sentence "the label can be told from ..."."""

    name: str
    features: Callable[[Sequence[MeasuredImage]], Matrix]
    meaning: str


def _one_hot(values: Sequence[object]) -> Matrix:
    counts = Counter(values)
    common = [value for value, count in counts.most_common(MOST_VALUES) if count > 1]
    return np.array([[value == other for other in common] for value in values], dtype=np.float64)


def _encoding(rows: Sequence[MeasuredImage]) -> Matrix:
    facts = [row.measured.scalars for row in rows]
    kinds = _one_hot([(f.format, f.mode, f.subsampling, f.quantisation) for f in facts])
    return np.column_stack([kinds, [f.quantisation for f in facts]])


def _size(rows: Sequence[MeasuredImage]) -> Matrix:
    sizes = np.array([(r.record.width, r.record.height) for r in rows], dtype=np.float64)
    logs = np.log(np.maximum(sizes, 1))
    shape = np.column_stack([logs, logs[:, 0] - logs[:, 1]])
    return np.column_stack([shape, _one_hot([tuple(size) for size in sizes.tolist()])])


def _border(rows: Sequence[MeasuredImage]) -> Matrix:
    side = THUMB // BORDER
    frame = np.ones((side, side), dtype=bool)
    frame[1:-1, 1:-1] = False
    thumbs = np.array([row.measured.thumb for row in rows], dtype=np.float64)
    ring = thumbs.reshape(-1, side, BORDER, side, BORDER, 3).mean(axis=(2, 4))[:, frame]
    return np.column_stack([ring.mean(axis=2), ring.mean(axis=1)])  # brightness, mean colour


def _source(rows: Sequence[MeasuredImage]) -> Matrix:
    return _one_hot([(row.record.source, row.record.site) for row in rows])


def _markers(rows: Sequence[MeasuredImage]) -> Matrix:
    facts = [row.measured.scalars for row in rows]
    text = np.array([min(f.text, 12) for f in facts], dtype=np.float64)
    return np.column_stack([text, text >= 4, np.sqrt([f.coloured for f in facts])])


PROBES = (
    Probe("file_format", _encoding, "the file format, colour mode and JPEG quality"),
    Probe("size_aspect", _size, "the width, height and aspect of the image"),
    Probe("border", _border, "the outermost pixels alone"),
    Probe("source_site", _source, "the source folder or site"),
    Probe("text_markers", _markers, "text and coloured marks burned into the image"),
)


def run_probe(probe: Probe, rows: Sequence[MeasuredImage], seed: int = 0) -> Auroc | None:
    """The cross-validated AUROC of one probe; None where it has nothing to go by.

    Exactly 0.5 when the features are the same for all images.
    """
    targets = label_matrix([row.record for row in rows])
    groups = [row.record.group for row in rows]
    usable = enough_groups(targets, groups)
    if usable.sum() < 2 and targets.shape[1] > 1:
        return None
    features = probe.features(rows)
    if features.size == 0 or not features.std(axis=0).max() > 1e-9:
        return Auroc(0.5, 0.5, 0.5)
    fold = group_folds(targets, groups, FOLDS, seed)
    scores = held_out_scores(features, targets, fold)
    return macro_auroc(scores[:, usable], targets[:, usable], groups, seed)


def label_matrix(records: Sequence[ImageRecord]) -> Matrix:
    """(n, classes) 0/1, classes in sorted order."""
    names = sorted({label for record in records for label in record.labels})
    return np.array([[name in r.labels for name in names] for r in records], dtype=np.float64)


def enough_groups(
    targets: Matrix, groups: Sequence[str]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(classes,) whether a class has groups enough on either side to be scored."""
    names = np.asarray(groups)
    return np.array(
        [
            min(len(set(names[column > 0])), len(set(names[column == 0]))) >= FEWEST_GROUPS
            for column in targets.T
        ]
    )


@dataclass(frozen=True)
class SourceGuess:
    """How often naming the commonest class of an image's source is right."""

    accuracy: float
    one_vs_rest: Mapping[str, float]


def guess_from_source(counts: Mapping[str, Mapping[str, int]]) -> SourceGuess:
    """The best guess from the source alone, from images per source and class.

    `one_vs_rest` asks of each class only whether an image belongs to it.
    """
    total = sum(sum(classes.values()) for classes in counts.values())
    names = sorted({name for classes in counts.values() for name in classes})
    right = sum(max(classes.values()) for classes in counts.values())
    either = {
        name: sum(
            max(classes.get(name, 0), sum(classes.values()) - classes.get(name, 0))
            for classes in counts.values()
        )
        / total
        for name in names
    }
    return SourceGuess(right / total, either)


def source_counts(records: Sequence[ImageRecord]) -> dict[str, dict[str, int]]:
    """Images per source (the site, where there is none) and class."""
    counts: dict[str, Counter[str]] = {}
    for record in records:
        place = counts.setdefault(record.source or record.site, Counter())
        place.update(record.labels)
    return {name: dict(place) for name, place in counts.items()}
