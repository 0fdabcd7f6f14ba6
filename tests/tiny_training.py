"""A data set that can be learnt in seconds, and a recipe that learns it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from overread.documents.manifest import ImageRecord, Manifest
from overread.files import sha256_file
from overread.recipe.load import parse_recipe
from overread.recipe.schema import Recipe

TINY = """
name: tiny
title: {en: tiny, zh: tiny}
source: made for tests
input: {height: 32, width: 32}
normalise: zero_one
model:
  kind: sequential
  init: keras
  layers:
    - {layer: conv, filters: 6}
    - {layer: batch_norm}
    - {layer: relu}
    - {layer: max_pool}
    - {layer: conv, filters: 8}
    - {layer: relu}
    - {layer: global_avg_pool}
    - {layer: dropout, rate: 0.2}
augment: {rotation_deg: 10, horizontal_flip: true}
optimiser: {name: adam, lr: 1e-2}
schedule: {kind: plateau, mode: min, factor: 0.5, patience: 2}
epochs: 6
batch_size: 8
monitor: {metric: val_loss, mode: min}
imbalance: {class_weights: balanced}
split: {method: leak-proof}
"""


@pytest.fixture
def tiny() -> Recipe:
    return parse_recipe(TINY, where="tiny")


def stripes(rng: np.random.Generator, upright: bool, size: int = 36) -> np.ndarray:
    """Noise with stripes along one axis: what the two classes differ in."""
    wave = 60 * np.sin(np.arange(size) * 1.3 + rng.uniform(0, 6))
    wave = wave[None, :] if upright else wave[:, None]
    noise = rng.normal(120, 30, (size, size))
    return np.clip(noise + wave, 0, 255).astype(np.uint8)


@pytest.fixture
def make_manifest(tmp_path: Path) -> Callable[..., Manifest]:
    """Write images of two classes (n of each) and give their manifest, split 60/20/20."""

    def make(n: int = 20, *, multilabel: bool = False, folder: str = "data") -> Manifest:
        root = tmp_path / folder
        root.mkdir()
        rng = np.random.default_rng(5)
        records = []
        for i in range(2 * n):
            upright = i % 2 == 0
            path = root / f"{i:03}.png"
            Image.fromarray(stripes(rng, upright)).save(path)
            label = "across" if not upright else "upright"
            if multilabel:
                label = ["across|upright", "upright", "across", ""][i % 4] if upright else label
            split = ("train", "train", "train", "val", "test")[(i // 2) % 5]
            records.append(
                ImageRecord(path.name, sha256_file(path), 36, 36, "L", label=label, split=split)
            )
        return Manifest(root, tuple(records))

    return make
