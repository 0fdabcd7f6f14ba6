"""Sets of copies, conflicts among them, and what crosses given parts: from pairs and records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.dataset.groups import group_records, members
from overread.dataset.read.source import image_bytes
from overread.documents.manifest import ImageRecord, Manifest
from overread.errors import ImageRefused, OverreadError
from overread.images.decode import read_image

Pairs = Sequence[Mapping[str, Any]]
Load = Callable[[int], NDArray[np.uint8]]


@dataclass(frozen=True)
class CopySearch:
    """A way to find altered copies; `overread.dataset.duplicates.find_copies` is the one used.

    `find(load, keys, cache)` gives objects with a, b, score, kind, transform.
    """

    find: Callable[[Load, Sequence[str], Path], Iterable[Any]]


def installed_search() -> CopySearch | None:
    """The duplicate search, or None where OpenCV is not installed."""
    from overread.dataset.duplicates import available, find_copies

    if not available():
        return None
    return CopySearch(
        lambda load, keys, cache: find_copies(load, len(keys), keys=keys, cache=cache, show=True)
    )


def near_duplicates(manifest: Manifest, search: CopySearch, cache: Path) -> list[dict[str, Any]]:
    """[{a, b, score, kind, transform}] of altered copies; files with equal bytes count once."""
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
    pairs = [{**asdict(pair), "a": images[pair.a].path, "b": images[pair.b].path} for pair in found]
    return sorted(pairs, key=lambda pair: (pair["a"], pair["b"]))


def exact_duplicates(records: Sequence[ImageRecord]) -> list[list[str]]:
    """Sets of two or more paths whose files have the same bytes."""
    by_hash: dict[str, list[str]] = defaultdict(list)
    for record in records:
        by_hash[record.sha256].append(record.path)
    return [sorted(paths) for paths in by_hash.values() if len(paths) > 1]


def conflicting_labels(records: Sequence[ImageRecord], pairs: Pairs) -> list[list[str]]:
    """Sets of copies (equal bytes or altered, not merely one patient) whose labels differ."""
    copies = [(pair["a"], pair["b"]) for pair in pairs]
    alone = group_records([replace(record, patient="") for record in records], copies)
    return [
        sorted(record.path for record in group)
        for group in members(alone).values()
        if len({record.label for record in group}) > 1
    ]


def given_leaks(records: Sequence[ImageRecord], pairs: Pairs) -> list[dict[str, Any]]:
    """[{a, b, splits, reason}] of pairs that belong together but lie in different given parts.

    One pair for each two parts and reason of a group, so that a large group is not listed
    pair by pair. `records` carry their groups and the parts that DATA gives.
    """
    by_path = {record.path: record for record in records}
    near = ((by_path[p["a"]], by_path[p["b"]], f"altered copy ({p['kind']})") for p in pairs)
    leaks = [_leak(a, b, reason, p) for (a, b, reason), p in zip(near, pairs, strict=True)]
    for column, reason in (("sha256", "same bytes"), ("patient", "same patient")):
        together: dict[str, dict[str, ImageRecord]] = defaultdict(dict)
        for record in records:
            if value := getattr(record, column):
                together[value].setdefault(record.split, record)
        for by_part in together.values():
            leaks += [_leak(a, b, reason, {}) for a, b in combinations(by_part.values(), 2)]
    return [leak for leak in leaks if leak is not None]


def _leak(
    a: ImageRecord, b: ImageRecord, reason: str, pair: Mapping[str, Any]
) -> dict[str, Any] | None:
    if not a.split or not b.split or a.split == b.split:
        return None
    transform = {"transform": pair["transform"]} if pair.get("transform") else {}
    return {
        "a": a.path, "b": b.path, "splits": [a.split, b.split], "reason": reason, **transform,
    }  # fmt: skip
