"""A run's worst mistakes as pictures with their heat maps."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from overread.dataset.read.source import image_bytes
from overread.documents.predictions import PredictionTable
from overread.files import write_bytes, write_json
from overread.images.decode import read_image
from overread.predict.heatmap import overlay_png
from overread.predict.predictor import Predictor

MISTAKES = 12
THUMBNAIL = 320


def worst_mistakes(table: PredictionTable, most: int = MISTAKES) -> list[int]:
    """Rows of the wrong answers given with the highest probability, worst first."""
    wrong = np.flatnonzero((table.truth() != table.decisions()).any(axis=1))
    sure = table.probabilities.max(axis=1)
    order = wrong[np.argsort(-sure[wrong], kind="stable")]
    return [int(row) for row in order[:most]]


def write_mistakes(predictor: Predictor, root: Path, table: PredictionTable, folder: Path) -> None:
    """Write the worst mistakes as pictures with heat maps, and `mistakes.json` that lists them."""
    entries = []
    for number, row in enumerate(worst_mistakes(table), start=1):
        data = image_bytes(root, table.paths[row])
        picture, heatmap = f"{number:02d}.png", f"{number:02d}_heatmap.png"
        write_bytes(folder / picture, _thumbnail(data))
        drawn = write_heatmap(predictor, data, folder / heatmap)
        entries.append(
            {
                "path": table.paths[row],
                "label": table.labels[row],
                "predicted": table.predicted[row],
                "probability": float(table.probabilities[row].max()),
                "picture": picture,
                "heatmap": heatmap if drawn else None,
            }
        )
    write_json(folder / "mistakes.json", {"mistakes": entries})


def write_heatmap(predictor: Predictor, data: bytes, target: Path) -> bool:
    """Draw the evidence on one image; False where the model has no heat map or cannot read it."""
    if predictor.info.tensors.heatmap is None:
        return False
    prediction = predictor.predict(data, heatmap=True)
    if prediction.heatmap is None:
        return False
    write_bytes(target, overlay_png(prediction, predictor.info))
    return True


def _thumbnail(data: bytes) -> bytes:
    from PIL import Image

    image = Image.fromarray(read_image(data).pixels)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
