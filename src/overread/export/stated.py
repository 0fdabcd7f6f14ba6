"""What a model computes with, as `bundle.json` states it."""

from __future__ import annotations

from overread.bundle.steps import describe
from overread.documents.bundle import Preprocess, StatedCalibration
from overread.evaluation.calibration import Calibration
from overread.images.preprocess import PreprocessSpec


def stated_preprocess(spec: PreprocessSpec) -> Preprocess:
    """The preprocessing, in fields and in words; its `spec` gives the same back."""
    return Preprocess(**spec.to_dict(), steps=describe(spec))


def stated_calibration(fitted: Calibration) -> StatedCalibration:
    """A fitted calibration without `multilabel`, which the bundle says of the whole model."""
    return StatedCalibration(
        kind=fitted.kind,
        scale=fitted.scale,
        bias=fitted.bias,
        knots_x=fitted.knots_x,
        knots_y=fitted.knots_y,
    )
