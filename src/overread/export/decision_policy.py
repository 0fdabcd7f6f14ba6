"""What a trained network may say and when: fitted on training and validation images alone.

Calibration, the operating point, conformal limits and the out-of-distribution gate all come from
here; no test image is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.assess.ood_fit import Outliers, Views, fit_gate
from overread.assess.outliers import synthetic_outliers
from overread.documents.bundle import AnswerThresholds, Conformal, Ood, QualityLimits
from overread.documents.predictions import PredictionTable, decide
from overread.evaluation.calibration import Calibration, fit_calibration
from overread.evaluation.conformal import MISSED, conformal_quantiles
from overread.evaluation.thresholds import CONFIDENCE, ERROR, threshold_for_error
from overread.export.stated import stated_calibration
from overread.images.quality import measure
from overread.networks.classifier import Classifier
from overread.networks.inference import Answers
from overread.predict.ood import Gate
from overread.predict.pixels import describe_pixels
from overread.predict.quality import fit_limits
from overread.training.data import LoadedSplit

# Images that the gate is fitted on: enough for its statistics, and no long wait.
GATE_IMAGES = 1500
OUTLIERS = 120
SMALLEST_GATE = 20


@dataclass(frozen=True)
class DecisionPolicy:
    """The fitted parts of a bundle. `gate` is None where there are too few images for one."""

    calibration: Calibration
    operating_point: AnswerThresholds
    conformal: Conformal
    quality: QualityLimits
    gate: tuple[Gate, Ood] | None

    def fields(self) -> dict[str, Any]:
        """What `BundleInfo` says of them."""
        return {
            "calibration": stated_calibration(self.calibration),
            "operating_point": self.operating_point,
            "conformal": self.conformal,
            "quality": self.quality,
            "ood": None if self.gate is None else self.gate[1],
        }

    def gate_arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays of the gate, none where there is no gate."""
        return {} if self.gate is None else self.gate[0].arrays()


def fit_decision_policy(
    model: Classifier | Answers,
    train: LoadedSplit,
    val: LoadedSplit,
    classes: Sequence[str],
    *,
    confidence: float | None,
    seed: int,
) -> DecisionPolicy:
    """Fit everything that stands between logits and a verdict.

    `train` and `val` hold images prepared as for prediction; `classes` are those of the
    network's outputs; `confidence` is the recipe's own threshold, if it states one.
    """
    answers = model if isinstance(model, Answers) else Answers.of(model)
    logits = answers.logits(val.images.take(np.arange(len(val))))
    groups = [record.group for record in val.records]
    calibration = fit_calibration(logits, val.targets, groups)
    table = _table(calibration.apply(logits), val, classes, multilabel=answers.multilabel)
    return DecisionPolicy(
        calibration=calibration,
        operating_point=_operating_point(table, confidence),
        conformal=_conformal(table),
        quality=_quality(train, val),
        gate=_gate(answers, train, val, seed),
    )


def _table(
    probabilities: NDArray[np.float64],
    val: LoadedSplit,
    classes: Sequence[str],
    *,
    multilabel: bool,
) -> PredictionTable:
    records = val.records
    return PredictionTable(
        classes=tuple(classes),
        paths=tuple(r.path for r in records),
        groups=tuple(r.group for r in records),
        splits=("val",) * len(records),
        labels=tuple(r.label for r in records),
        predicted=decide(probabilities, classes, multilabel),
        probabilities=probabilities,
        statuses=("answer",) * len(records),
        multilabel=multilabel,
    )


def _operating_point(val: PredictionTable, confidence: float | None) -> AnswerThresholds:
    """The recipe's confidence; else the lowest at which few validation answers were wrong."""
    if confidence is not None:
        return AnswerThresholds(confidence=confidence, chosen="recipe")
    found = threshold_for_error(val, ERROR)
    if found is None:
        return AnswerThresholds(confidence=CONFIDENCE, chosen="default")
    return AnswerThresholds(confidence=_down(found), chosen="validation")


def _conformal(val: PredictionTable) -> Conformal:
    truth, p = val.truth(), val.probabilities
    quantiles = conformal_quantiles(p, truth, val.groups, val.classes)
    absent = conformal_quantiles(1 - p, ~truth, val.groups, val.classes)
    return Conformal(
        coverage=1 - MISSED,
        quantiles=tuple(map(_up, quantiles.values())),
        absent=tuple(map(_up, absent.values())) if val.multilabel else None,
    )


# A limit read off a validation image lies exactly on that image: the last digit of another
# machine's arithmetic must not decide its verdict, so limits give way in the image's favour.
def _down(limit: float) -> float:
    return max(0.0, math.floor(limit * 1e4 - 1) / 1e4)


def _up(limit: float) -> float:
    return min(1.0, math.ceil(limit * 1e4 + 1) / 1e4)


def _quality(*splits: LoadedSplit) -> QualityLimits:
    """What the training and validation images themselves show in contrast, sharpness and light."""
    measured = [
        measure(split.images.take(np.array([row]))[0], (record.height, record.width))
        for split in splits
        for row, record in enumerate(split.records)
    ]
    return fit_limits(measured)


def _gate(
    answers: Answers, train: LoadedSplit, val: LoadedSplit, seed: int
) -> tuple[Gate, Ood] | None:
    rng = np.random.default_rng(seed)
    chosen = [_some(split, GATE_IMAGES // 2, rng) for split in (train, val)]
    images = np.concatenate(
        [split.images.take(rows) for split, rows in zip((train, val), chosen, strict=True)]
    )
    if len(images) < SMALLEST_GATE:
        return None
    groups = [
        split.records[row].group
        for split, rows in zip((train, val), chosen, strict=True)
        for row in rows
    ]
    origins = np.sort(rng.choice(len(images), min(OUTLIERS, len(images)), replace=False))
    made = synthetic_outliers(images[origins], seed)
    strange = np.concatenate(list(made.values()))
    outliers = Outliers(
        views=_views(answers, strange),
        kinds=np.repeat(list(made), len(origins)),
        origins=np.tile(origins, len(made)),
    )
    held_out = np.arange(len(images)) >= len(chosen[0])
    return fit_gate(_views(answers, images), groups, outliers, held_out=held_out, seed=seed)


def _some(split: LoadedSplit, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """At most `most` rows of a split, in order."""
    return np.sort(rng.choice(len(split), min(most, len(split)), replace=False))


def _views(answers: Answers, images: NDArray[np.uint8]) -> Views:
    features, stages = answers.features(images)
    return Views(pixels=describe_pixels(images), features=features, stages=stages)
