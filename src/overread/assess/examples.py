"""Predict a few images of a data set and leave their pictures with heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from overread.dataset.read.source import image_bytes
from overread.predict.heatmap import HeatmapFolder
from overread.predict.prediction import Prediction
from overread.predict.predictor import load


def write_examples(
    bundle: Path, root: Path, paths: Sequence[str], folder: Path
) -> tuple[Prediction, ...]:
    """Predictions for `paths` (relative to `root`), and a PNG of each in `folder`.

    An image that cannot be read gives its prediction and no picture.
    """
    predictor = load(bundle)
    shown = []
    with_maps = predictor.info.tensors.heatmap is not None
    drawn = HeatmapFolder(folder, predictor.info, paths)
    for path in paths:
        found = predictor.predict(image_bytes(root, path), heatmap=with_maps).named(path)
        drawn.write(found)
        shown.append(found)
    return tuple(shown)
