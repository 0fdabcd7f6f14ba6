"""Groups: images that must stay on one side of a split, joined over patients and copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from overread.documents.manifest import ImageRecord
from overread.stats.disjoint_sets import DisjointSets


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
    sets = DisjointSets()
    first: dict[tuple[str, str], int] = {}
    for index, record in enumerate(ordered):
        for key in (("patient", record.patient), ("bytes", record.sha256)):
            if key[1]:
                sets.join(index, first.setdefault(key, index))
    places = {record.path: index for index, record in enumerate(ordered)}
    for a, b in copies:
        if a in places and b in places:
            sets.join(places[a], places[b])
    roots = [sets.root(index) for index in range(len(ordered))]
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
