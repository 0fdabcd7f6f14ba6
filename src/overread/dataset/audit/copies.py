"""Sets of copies, conflicts among them, and what crosses given splits: from pairs and records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.dataset.duplicates.store import Describer
from overread.dataset.groups import group_records, members
from overread.dataset.read.source import image_bytes
from overread.documents.audit import CopiedPair, Leak
from overread.documents.manifest import ImageRecord, Manifest
from overread.errors import ImageRefused, OverreadError
from overread.images.decode import read_image

Transform = tuple[tuple[float, ...], ...]
Load = Callable[[int], NDArray[np.uint8]]


@dataclass(frozen=True)
class CopySearch:
    """A way to find altered copies; `overread.dataset.duplicates.find_copies` is the one used.

    `find(load, keys, cache)` gives objects with a, b, score, kind, transform. `describer(cache)`
    describes images beforehand, while they are decoded for something else, so that `find` need not
    load them.
    """

    find: Callable[[Load, Sequence[str], Path], Iterable[Any]]
    describer: Callable[[Path], Describer] | None = None


def installed_search() -> CopySearch | None:
    """The duplicate search, or None where OpenCV is not installed."""
    from overread.dataset.duplicates import available, find_copies

    if not available():
        return None
    return CopySearch(
        lambda load, keys, cache: find_copies(load, len(keys), keys=keys, cache=cache, show=True),
        Describer,
    )


def near_duplicates(manifest: Manifest, search: CopySearch, cache: Path) -> tuple[CopiedPair, ...]:
    """Altered copies, by path; files with equal bytes count once."""
    first: dict[str, ImageRecord] = {}
    for record in manifest.records:
        first.setdefault(record.sha256, record)
    images = list(first.values())

    def load(index: int) -> NDArray[np.uint8]:
        try:
            return read_image(image_bytes(manifest.root, images[index].path)).pixels
        except ImageRefused:
            raise
        except OverreadError as error:
            raise ImageRefused(error.problem) from error

    found = search.find(load, list(first), cache)
    pairs = (
        CopiedPair(**{**asdict(pair), "a": images[pair.a].path, "b": images[pair.b].path})
        for pair in found
    )
    return tuple(sorted(pairs, key=lambda pair: (pair.a, pair.b)))


def exact_duplicates(records: Sequence[ImageRecord]) -> tuple[tuple[str, ...], ...]:
    """Sets of two or more paths whose files have the same bytes."""
    by_hash: dict[str, list[str]] = defaultdict(list)
    for record in records:
        by_hash[record.sha256].append(record.path)
    return tuple(tuple(sorted(paths)) for paths in by_hash.values() if len(paths) > 1)


def conflicting_labels(
    records: Sequence[ImageRecord], pairs: Sequence[CopiedPair]
) -> tuple[tuple[str, ...], ...]:
    """Sets of copies (equal bytes or altered, not merely one patient) whose labels differ."""
    copies = [(pair.a, pair.b) for pair in pairs]
    alone = group_records([replace(record, patient="") for record in records], copies)
    return tuple(
        tuple(sorted(record.path for record in group))
        for group in members(alone).values()
        if len({record.label for record in group}) > 1
    )


def given_leaks(records: Sequence[ImageRecord], pairs: Sequence[CopiedPair]) -> tuple[Leak, ...]:
    """Pairs that belong together but lie in different given splits.

    One pair for each two splits and reason of a group, so that a large group is not listed
    pair by pair. `records` carry their groups and the splits that DATA gives.
    """
    by_path = {record.path: record for record in records}
    leaks = [
        _leak(by_path[p.a], by_path[p.b], f"altered copy ({p.kind})", p.transform) for p in pairs
    ]
    for column, reason in (("sha256", "same bytes"), ("patient", "same patient")):
        together: dict[str, dict[str, ImageRecord]] = defaultdict(dict)
        for record in records:
            if value := getattr(record, column):
                together[value].setdefault(record.split, record)
        for by_split in together.values():
            leaks += [_leak(a, b, reason) for a, b in combinations(by_split.values(), 2)]
    return tuple(leak for leak in leaks if leak is not None)


def _leak(
    a: ImageRecord, b: ImageRecord, reason: str, transform: Transform | None = None
) -> Leak | None:
    if not a.split or not b.split or a.split == b.split:
        return None
    splits = (a.split, b.split)
    return Leak(a=a.path, b=b.path, splits=splits, reason=reason, transform=transform or None)
