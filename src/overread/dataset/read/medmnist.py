"""DATA given as a MedMNIST `.npz` archive: `train_images`, `train_labels`, and so on."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.dataset.read.layouts import Entry, Tree
from overread.dataset.read.source import archive_arrays
from overread.documents.manifest import SPLITS
from overread.errors import DataError


def read_archive(archive: Path, names: Mapping[int, str]) -> Tree:
    """Entries with paths such as "train/17" and the archive's own splits.

    `names` maps a class number to its name (a known data set names them); others keep their
    number. A label row of several 0/1 values is read as several labels.
    """
    splits = [split for split in SPLITS if f"{split}_images.npy" in _members(archive)]
    if not splits:
        raise DataError(
            "contains neither train_images, val_images nor test_images",
            where=archive,
            hint="Only MedMNIST archives are read; give other arrays as image files.",
        )
    entries = []
    for split in splits:
        images, labels = archive_arrays(archive, split)
        texts = _labels(labels, names)
        entries += [
            Entry(path=f"{split}/{i}", label=texts[i], split=split) for i in range(len(images))
        ]
    return Tree(tuple(sorted(entries, key=lambda entry: entry.path)))


def _members(archive: Path) -> list[str]:
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.namelist()
    except FileNotFoundError:
        raise DataError("does not exist", where=archive, hint="Check the path.") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"is not a readable .npz archive ({error})", where=archive, hint="Fetch it again."
        ) from error


def _labels(labels: NDArray[np.int64], names: Mapping[int, str]) -> list[str]:
    """The label text of each row of (n, k) labels: k = 1 class number, k > 1 several 0/1."""
    if labels.shape[1] == 1:
        return [names.get(int(row[0]), str(int(row[0]))) for row in labels]
    if not np.isin(labels, (0, 1)).all():
        raise DataError(f"labels of shape {labels.shape} are neither class numbers nor 0/1")
    several = ([names.get(int(k), str(int(k))) for k in np.flatnonzero(row)] for row in labels)
    return ["|".join(sorted(found)) for found in several]
