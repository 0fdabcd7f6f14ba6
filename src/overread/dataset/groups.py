"""Groups: images that must stay on one side of a split, joined over patients and copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from overread.dataset.manifest import ImageRecord


def group_records(
    records: Sequence[ImageRecord], copies: Iterable[tuple[str, str]] = ()
) -> tuple[ImageRecord, ...]:
    """The records, each with its `group`, sorted by path.

    Two images are of one group when they share a patient, or have the same bytes, or are a pair of
    paths in `copies`, directly or through others. Groups are named g1, g2, ... (with leading
    zeros) in the order of their first path, so the same data give the same names. Pairs whose
    paths are not among the records are passed over.
    """
    ordered = sorted(records, key=lambda record: record.path)
    forest = _Forest(len(ordered))
    first: dict[tuple[str, str], int] = {}
    for index, record in enumerate(ordered):
        for key in (("patient", record.patient), ("bytes", record.sha256)):
            if key[1]:
                forest.join(index, first.setdefault(key, index))
    places = {record.path: index for index, record in enumerate(ordered)}
    for a, b in copies:
        if a in places and b in places:
            forest.join(places[a], places[b])
    roots = [forest.root(index) for index in range(len(ordered))]
    numbers = {root: number for number, root in enumerate(dict.fromkeys(roots), start=1)}
    digits = len(str(len(numbers)))
    names = (f"g{numbers[root]:0{digits}d}" for root in roots)
    return tuple(replace(r, group=name) for r, name in zip(ordered, names, strict=True))


def members(records: Iterable[ImageRecord]) -> dict[str, list[ImageRecord]]:
    """Records by group."""
    found: dict[str, list[ImageRecord]] = defaultdict(list)
    for record in records:
        found[record.group].append(record)
    return dict(found)


class _Forest:
    """Disjoint sets with path halving (Tarjan and van Leeuwen, J ACM 1984)."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def root(self, node: int) -> int:
        parent = self._parent
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def join(self, a: int, b: int) -> None:
        # The smaller index stays root: the tree does not depend on the order of the pairs.
        low, high = sorted((self.root(a), self.root(b)))
        self._parent[high] = low
