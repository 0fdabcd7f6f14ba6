"""What a plan knows of the data: sizes, colour, balance, counts, and a digest over all of it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from overread.dataset.read.source import image_bytes
from overread.documents.manifest import SPLITS, ImageRecord, Manifest
from overread.documents.plan import Fingerprint
from overread.errors import OverreadError
from overread.images.preprocess import PreprocessSpec, load_preprocessed

N = TypeVar("N", int, float)
SPREAD = (5, 50, 95)  # percentiles
_SAMPLE = 32


def fingerprint(manifest: Manifest) -> Fingerprint:
    """What the training images look like: sizes (pixels), channels, balance, groups."""
    train = [record for record in manifest.records if record.split == "train"]
    short = np.array([min(r.width, r.height) for r in train])
    ratio = np.array([r.width / r.height for r in train])
    counts = Counter(label for r in train for label in r.labels)
    return Fingerprint(
        images=len(train),
        groups=len({r.group or r.path for r in train}),
        classes=len(manifest.classes),
        multilabel=manifest.multilabel,
        shorter_side=_three(int(v) for v in np.percentile(short, SPREAD)),
        width_over_height=_three(round(float(v), 3) for v in np.percentile(ratio, SPREAD)),
        colour=round(colour(manifest.root, train), 1),
        imbalance=round(max(counts.values()) / max(min(counts.values()), 1), 2),
    )


def _three(values: Iterable[N]) -> tuple[N, N, N]:
    low, middle, high = values
    return low, middle, high


def colour(root: Path, records: Sequence[ImageRecord]) -> float:
    """How far red, green and blue lie apart on average in a sample of the images, 0 to 255.

    Grey pictures are often stored as RGB, so what the file says does not tell.
    """
    step = max(len(records) // _SAMPLE, 1)
    spreads = []
    for record in records[::step]:
        try:
            pixels, _ = load_preprocessed(image_bytes(root, record.path), PreprocessSpec(64, 64))
        except OverreadError:
            continue  # listed when all images are read
        spreads.append(float(np.ptp(pixels.astype(np.int16), axis=2).mean()))
    return float(np.median(spreads)) if spreads else 0.0


def labelled_splits_sha256(manifest: Manifest) -> str:
    """SHA-256 over every file's path, hash, label and split: the data as this plan saw it."""
    rows = [(r.path, r.sha256, r.label, r.split) for r in manifest.records]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def count_splits(manifest: Manifest) -> dict[str, dict[str, int]]:
    """Images of each class in each split."""
    counts = {
        split: Counter(n for r in manifest.records if r.split == split for n in r.labels)
        for split in SPLITS
    }
    return {split: {n: c[n] for n in manifest.classes} for split, c in counts.items()}
