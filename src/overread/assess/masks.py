"""Masks of lesions and organs beside test images: read, resized by the images' own path, joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.assess.interventions import Mask, Pixels, box_of
from overread.dataset.read.source import image_bytes
from overread.documents.manifest import ImageRecord
from overread.errors import OverreadError
from overread.images.decode import read_image
from overread.images.preprocess import PreprocessSpec, load_preprocessed, preprocess


@dataclass(frozen=True)
class Seen:
    """A test image as the network gets it, and its mask at the same size (None: it has none)."""

    record: ImageRecord
    pixels: Pixels
    mask: Mask | None


def read_seen(root: Path, record: ImageRecord, spec: PreprocessSpec) -> Seen | None:
    """Image and mask of one record; None for an image that cannot be read."""
    try:
        pixels, _ = load_preprocessed(image_bytes(root, record.path), spec)
    except OverreadError:
        return None
    return Seen(record, pixels, read_mask(root, record, spec))


def read_mask(root: Path, record: ImageRecord, spec: PreprocessSpec) -> Mask | None:
    """What the mask files of a record cover together, (height, width) bool.

    None where there is no mask, where it covers nothing, or where one cannot be read.
    """
    joined = np.zeros((spec.height, spec.width), bool)
    for name in filter(None, record.mask.split("|")):
        try:
            level = read_image(image_bytes(root, name)).pixels
        except OverreadError:
            return None
        # Some masks are stored as 0 and 1, some as 0 and 255, some as JPEG.
        drawn = np.where(level > level.max() / 2, np.uint8(255), np.uint8(0))
        joined |= preprocess(drawn, spec)[..., 0] >= 128
    return joined if joined.any() else None


def covers(images: Sequence[Seen], seed: int) -> list[Mask] | None:
    """For each image what to cover so that its lesion goes and the cover tells nothing.

    It is the box around the image's own mask joined with the box of a random image of each other
    class that has masks: so drawn, covers are alike for all classes, where an image's own box
    would give away the size and place of its lesion, or that it has none. None without masks.
    """
    rng = np.random.default_rng(seed)
    boxes: dict[str, list[Mask]] = {}
    for image in images:
        if image.mask is not None:
            boxes.setdefault(image.record.label, []).append(box_of(image.mask))
    if not boxes:
        return None
    return [_cover(image, boxes, rng) for image in images]


def _cover(image: Seen, boxes: dict[str, list[Mask]], rng: np.random.Generator) -> Mask:
    cover: NDArray[np.bool_] = np.zeros(image.pixels.shape[:2], bool)
    for label in sorted(boxes):
        drawn = boxes[label][int(rng.integers(len(boxes[label])))]
        own = image.mask is not None and image.record.label == label
        cover |= box_of(image.mask) if own and image.mask is not None else drawn
    return cover
