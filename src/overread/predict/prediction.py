"""What comes out for one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from overread.images.quality import Quality
from overread.predict.quality import Fault
from overread.predict.verdict import Status


class PredictionDocument(TypedDict):
    """A prediction as JSON: the fields that `overread predict --json` prints, and no others.

    `quality` holds the measures of `predict.quality` and `issues`, the limits that it passed.
    """

    path: str | None
    status: Status
    predicted: str | None
    probability: float | None
    probabilities: dict[str, float]
    reason: str
    ood_score: float | None
    quality: dict[str, float | int | list[str]]
    model: dict[str, str]


@dataclass(frozen=True)
class Prediction:
    """The verdict on one image. `to_dict` gives the published fields, and no others.

    `status` is "answer" (confident enough), "refer" (a person must read it) or "reject" (not an
    image this model can read: then `predicted`, `probability` are None, `probabilities` is empty).
    `reason` says why in words, `code` and `values` the same for translations. `probability` is that
    of `predicted`; with several labels an image, that of the least certain decision.

    `scores` (K,) float32 are the calibrated probabilities whenever the network ran, also for an
    image that was rejected: for evaluation, not for people. `heatmap` (h, w) float32 >= 0 is the
    evidence for the class `explained` (the likeliest, unless another was asked for), never
    rescaled; `picture` (H, W, 3) uint8 the image it belongs to. All are None unless asked for.
    """

    path: str | None
    status: Status
    predicted: str | None
    probability: float | None
    probabilities: Mapping[str, float]
    reason: str
    ood_score: float | None
    model: Mapping[str, str]
    quality: Quality | None = None
    faults: tuple[Fault, ...] = ()
    code: str = ""
    values: Mapping[str, float | int | str] = field(default_factory=dict)
    scores: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    heatmap: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    picture: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    explained: str | None = None

    def to_dict(self) -> PredictionDocument:
        """The fields of a prediction as JSON: finite numbers, texts, null."""
        measured = {} if self.quality is None else _rounded(vars(self.quality))
        return {
            "path": self.path,
            "status": self.status,
            "predicted": self.predicted,
            "probability": self.probability,
            "probabilities": dict(self.probabilities),
            "reason": self.reason,
            "ood_score": self.ood_score,
            "quality": {**measured, "issues": [fault.key for fault in self.faults]},
            "model": dict(self.model),
        }

    def line(self) -> str:
        """One line for people."""
        # Cut off, not rounded: 0.9996 must not read as certainty.
        chance = "" if self.probability is None else f" {int(self.probability * 1000) / 1000:.3f}"
        said = "" if self.predicted is None else f" {self.predicted or '(no label)'}"
        return f"{self.path or 'image'}: {self.status}{said}{chance} ({self.reason})"

    def named(self, path: str) -> Prediction:
        """The same, under another path."""
        return replace(self, path=path)


def _rounded(measures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in measures.items()}
