"""Tiny models for the pages' tests: with figures, a gate, limits on quality, sets of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.predict.ood import Detector, Gate, Neighbours
from tiny_bundle import golden, graph, picture, write_tiny


def estimates(share: float, n: int) -> dict[str, Any]:
    return {"value": share, "ci95": (share - 0.05, min(share + 0.04, 1.0)), "n": n}


RESULTS = {
    "accuracy": estimates(0.81, 200),
    "macro_auroc": estimates(0.9, 200),
    "answered.coverage": estimates(0.7, 200),
    "answered.accuracy": estimates(0.88, 140),
    "answered.precision.red": estimates(0.93, 120),
    "answered.precision.green": {"value": 0.5, "ci95": (0.09, 0.91), "n": 2},
    "precision.blue": estimates(0.77, 66),
    "sensitivity.red": estimates(0.9, 70),
}


def gate() -> Gate:
    """Knows the usual pictures of every class and nothing else."""
    colours = ("red", "green", "blue", "mixed")
    known = [pixels(c, seed=s).mean((0, 1)) / 255 for c in colours for s in range(8)]
    nearest = Neighbours(
        np.zeros(3, np.float32),
        np.ones(3, np.float32),
        np.stack(known).astype(np.float32),
        np.asarray(1, np.float32),
    )
    return Gate((Detector("features", nearest, 0.0, 0.05),))


def pixels(colour: str, *, seed: int = 0) -> NDArray[np.uint8]:
    """A picture of that class; "mixed" is as much red as green, "strange" unlike all others."""
    if colour == "mixed":
        both = picture("red", seed=seed).astype(int)
        return np.asarray(np.dstack([both[..., 0], both[..., 0], both[..., 2]]), np.uint8)
    if colour == "strange":
        return np.asarray(255 - picture("red", seed=seed), np.uint8)
    return picture(colour, seed=seed)


def several_labels() -> dict[str, Any]:
    """Changes that make a model of several labels an image: each colour is there or not."""
    own = golden()
    logits = 20.0 * (own["image"].mean((1, 2)) / 255 - 0.5)
    return {
        "onnx": graph(multilabel=True),
        "golden": {**own, "probabilities": (1 / (1 + np.exp(-logits))).astype(np.float32)},
        "multilabel": True,
        "classes": ("Effusion", "Mass", "Nodule"),
        "operating_point": {"confidence": 0.6, "thresholds": (0.5, 0.3, 0.7)},
        "results": {"accuracy": estimates(0.81, 200)},
        "subject": {"en": "chest X-ray", "zh": "胸部 X 线片"},
        **dict.fromkeys(("conformal", "ood", "arrays")),
    }


def write_model(path: Path, **changes: Any) -> Path:
    """A tiny model with all that the page shows; a change to None leaves a field out."""
    fields = {
        "results": RESULTS,
        "subject": {"en": "ultrasound image", "zh": "超声图像"},
        "conformal": {"coverage": 0.9, "quantiles": (0.6, 0.6, 0.6)},
        "ood": {"method": "m", "threshold": 1.0, "dimension": 3, "accepted": 0.97},
        "arrays": gate().arrays(),
        "quality": {"min_side": 16, "min_contrast": 2.0, "max_dark": 0.9},
        **changes,
    }
    return write_tiny(path, **{name: value for name, value in fields.items() if value is not None})
