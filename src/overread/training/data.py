"""The images and targets of one split, as batches of tensors.

Reading a batch from the memory map takes about a millisecond, so no worker processes are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from overread.documents.manifest import ImageRecord, Manifest
from overread.errors import DataError
from overread.images.preprocess import PreprocessSpec
from overread.training.cache import CachedImages, cache_images


@dataclass(frozen=True)
class LoadedSplit:
    """One split of the data. `targets`: (n,) int64 class numbers, or (n, K) int64 0/1 labels.

    `maps` (n, ...) float32, where there are any, are what the network's fixed part made of the
    images, and are taken in their place.
    """

    images: CachedImages
    targets: NDArray[np.int64]
    maps: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def records(self) -> tuple[ImageRecord, ...]:
        return self.images.records

    def inputs(self, rows: NDArray[np.int64], device: torch.device) -> Tensor:
        """uint8 (m, H, W, 3), or the maps (m, ...), of the images at `rows`."""
        taken = self.images.take(rows) if self.maps is None else self.maps[rows]
        return torch.from_numpy(np.ascontiguousarray(taken)).to(device)

    def labels(self, rows: NDArray[np.int64], device: torch.device) -> Tensor:
        """The targets at `rows`."""
        return torch.from_numpy(self.targets[rows]).to(device)

    def with_maps(self, maps: NDArray[np.float32] | None) -> LoadedSplit:
        """The same split, seen through the fixed part of the network."""
        return replace(self, maps=maps)


def load_split(
    manifest: Manifest,
    split: str,
    classes: Sequence[str],
    spec: PreprocessSpec,
    cache: Path,
    *,
    multilabel: bool,
    threads: int = 2,
) -> LoadedSplit:
    """The images of `split` ("train", "val" or "test"), decoded once into `cache`.

    Raises:
        DataError: the split has no readable image, or an image's label is not among `classes`.
    """
    records = [record for record in manifest.records if record.split == split]
    if not records:
        raise DataError(
            f"no image is in the split '{split}'",
            where=manifest.root,
            hint="Run `overread split` with another ratio.",
        )
    title = f"Reading {split} images"
    images = cache_images(manifest.root, records, spec, cache, title=title, threads=threads)
    return LoadedSplit(images, targets_of(images.records, classes, multilabel=multilabel))


def targets_of(
    records: Sequence[ImageRecord], classes: Sequence[str], *, multilabel: bool
) -> NDArray[np.int64]:
    """(n,) class numbers, or (n, K) 0/1 for several labels an image."""
    number = {name: i for i, name in enumerate(classes)}
    targets = np.zeros((len(records), len(classes)), np.int64)
    for row, record in enumerate(records):
        for label in record.labels:
            if label not in number:
                raise DataError(
                    f"the label '{label}' is not among the classes {', '.join(classes)}",
                    where=record.path,
                )
            targets[row, number[label]] = 1
    if multilabel:
        return targets
    unclear = next((r.path for r in records if len(r.labels) != 1), None)
    if unclear is not None:
        raise DataError(
            "does not have exactly one label", where=unclear, hint="Give it one, or leave it out."
        )
    numbers: NDArray[np.int64] = targets.argmax(axis=1)
    return numbers
