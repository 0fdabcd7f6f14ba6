"""Does a smaller form of a model still say the same? Its verdicts against those of the original."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from overread.images.quality import measure
from overread.predict.prediction import Prediction
from overread.predict.predictor import BATCH, Predictor, Prepared
from overread.stats.ranking import auroc
from overread.stats.ratios import defined_mean
from overread.training.data import LoadedSplit

AUROC_DROP, CHANGED = 0.005, 0.01


@dataclass(frozen=True)
class Answered:
    """What a model said of some images: verdicts (status, predicted), probabilities (n, K)."""

    verdicts: tuple[tuple[str, str | None], ...]
    probabilities: NDArray[np.float32]

    @classmethod
    def of(cls, predictor: Predictor, images: Iterable[Prepared]) -> Answered:
        """The answers of `predictor`; `images` must be readable."""
        said = list(_judged(predictor, images))
        return cls(
            tuple((one.status, one.predicted) for one in said),
            np.stack([np.asarray(one.scores) for one in said]),
        )


@dataclass(frozen=True)
class Agreement:
    """How two models' answers to the same `images` differ; see `documents.bundle.Conversion`."""

    images: int
    changed: float
    largest: float
    auroc: tuple[float, float] | None = None

    @property
    def keeps_auroc(self) -> bool:
        """Whether the second tells the classes apart as well as the first."""
        return self.auroc is None or self.auroc[0] - self.auroc[1] <= AUROC_DROP

    @property
    def passed(self) -> bool:
        """Whether that holds and few enough verdicts are others."""
        return self.changed <= CHANGED and self.keeps_auroc

    def __str__(self) -> str:
        text = (
            f"{self.changed:.1%} of {self.images} verdicts change (at most {CHANGED:.0%} may), "
            f"probabilities by up to {self.largest:.3f}"
        )
        if self.auroc is None:
            return text
        before, after = self.auroc
        return f"{text}, AUROC {before:.4f} becomes {after:.4f} (at most {AUROC_DROP} lower)"


def agreement(old: Answered, new: Answered, truth: NDArray[np.bool_] | None = None) -> Agreement:
    """Compare answers to the same images, whose classes `truth` (n, K) gives where known."""
    changed = [a != b for a, b in zip(old.verdicts, new.verdicts, strict=True)]
    distance = np.nan_to_num(np.abs(old.probabilities - new.probabilities), nan=1.0)
    areas = None
    if truth is not None:
        areas = (macro_auroc(old.probabilities, truth), macro_auroc(new.probabilities, truth))
    return Agreement(len(changed), float(np.mean(changed)), float(distance.max()), areas)


def macro_auroc(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Mean over the classes of the AUROC of `scores` (n, K); a class that is absent or alone in
    `truth` (n, K) has none. 0.5 where no class has one."""
    areas = [auroc(np.asarray(s, float), t) for s, t in zip(scores.T, truth.T, strict=True)]
    mean = float(defined_mean(np.asarray(areas)))
    return mean if np.isfinite(mean) else 0.5


def truth_of(split: LoadedSplit, classes: int) -> NDArray[np.bool_]:
    """(n, K) which classes each image of a split has."""
    targets = split.targets
    return targets.astype(bool) if targets.ndim == 2 else np.eye(classes, dtype=bool)[targets]


def prepared(split: LoadedSplit) -> Iterator[Prepared]:
    """The images of a split as the predictor would prepare them, without decoding them again."""
    for row, record in enumerate(split.records):
        pixels = split.images.take(np.array([row]))[0]
        yield Prepared(record.path, pixels, measure(pixels, (record.height, record.width)))


def _judged(predictor: Predictor, images: Iterable[Prepared]) -> Iterator[Prediction]:
    stream = iter(images)
    while batch := list(islice(stream, BATCH)):
        yield from predictor.judge(batch)


def rows_of(images: Sequence[NDArray[np.uint8]]) -> Iterator[Prepared]:
    """Pictures (H, W, 3) that are already prepared, as the predictor takes them."""
    for pixels in images:
        yield Prepared(None, pixels, measure(pixels))
