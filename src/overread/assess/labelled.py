"""A model run over labelled images: the predictions table that evaluation starts from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.dataset.read.source import image_bytes
from overread.documents.bundle import BundleInfo
from overread.documents.manifest import ImageRecord
from overread.documents.predictions import PredictionTable, decide
from overread.errors import DataError, OverreadError
from overread.predict.prediction import Prediction
from overread.predict.predictor import Predictor
from overread.progress import track

Failure = tuple[str, str]


def predict_records(
    predictor: Predictor, root: Path, records: Sequence[ImageRecord], *, title: str = "Predicting"
) -> tuple[PredictionTable, tuple[Failure, ...]]:
    """The table of a model's answers for `records` of the data at `root`, in their order.

    Images that the gates reject keep their row, with the probabilities that the network gave and
    the status "reject". Images that cannot be read have none: they are returned as
    (path, reason). Raises DataError when not one image could be read.
    """
    stream = predictor.predict_many(_bytes(root, record) for record in records)
    shown = track(zip(records, stream, strict=True), title, total=len(records))
    rows: list[tuple[ImageRecord, Prediction]] = []
    failures: list[Failure] = []
    for record, prediction in shown:
        if prediction.scores is None or not np.isfinite(prediction.scores).all():
            failures.append((record.path, prediction.reason))
        else:
            rows.append((record, prediction))
    if not rows:
        raise DataError("has no image that can be read", where=root, hint="Check the images.")
    return _table(predictor, rows), tuple(failures)


def _bytes(root: Path, record: ImageRecord) -> bytes:
    try:
        return image_bytes(root, record.path)
    except OverreadError:
        return b""  # the predictor lists it as unreadable


def _table(predictor: Predictor, rows: Sequence[tuple[ImageRecord, Prediction]]) -> PredictionTable:
    records, scores = [r for r, _ in rows], [p.scores for _, p in rows if p.scores is not None]
    return scored_table(predictor.info, records, scores, [p.status for _, p in rows])


def scored_table(
    info: BundleInfo,
    records: Sequence[ImageRecord],
    scores: Sequence[NDArray[np.float32]],
    statuses: Sequence[str] | None = None,
) -> PredictionTable:
    """The table of a model's calibrated probabilities, one (K,) an image.

    An image without a split counts as a test image; without `statuses` all were answered.
    """
    p = np.stack([np.asarray(row, dtype=np.float64) for row in scores])
    if not info.multilabel:
        p /= p.sum(axis=1, keepdims=True)
    return PredictionTable(
        classes=info.classes,
        paths=tuple(r.path for r in records),
        groups=tuple(r.group or r.path for r in records),
        splits=tuple(r.split or "test" for r in records),
        labels=tuple(r.label for r in records),
        predicted=decide(p, info.classes, info.multilabel),
        probabilities=p,
        statuses=tuple(statuses or ["answer"] * len(records)),
        multilabel=info.multilabel,
    )


def select_split(records: Sequence[ImageRecord], *splits: str) -> Iterator[ImageRecord]:
    """The records of the named splits, in their order."""
    return (record for record in records if record.split in splits)
