"""Splits attacked with random graphs of patients and copies: no group may ever cross."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overread.dataset.groups import group_records
from overread.dataset.split.division import SplitOptions, divide_records
from overread.dataset.split.folds import fold_split
from overread.documents.manifest import ImageRecord
from overread.errors import DataError

Rows = list[tuple[str, str, str]]
SOME = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
images = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "a|b"]),
        st.sampled_from(["", *"PQRSTUVWXYZ"]),
        st.integers(0, 60).map(str),
    ),
    min_size=12,
    max_size=90,
)
links = st.lists(st.tuples(st.integers(0, 89), st.integers(0, 89)), max_size=25)


def records_of(rows: Rows) -> list[ImageRecord]:
    return [
        ImageRecord(f"{i:03d}", f"sha{sha}", 1, 1, "L", label, patient=patient)
        for i, (label, patient, sha) in enumerate(rows)
    ]


def reachable(rows: Rows, pairs: Iterable[tuple[int, int]]) -> list[set[int]]:
    """Which images belong together, worked out another way: by walking from each image."""
    beside: dict[int, set[int]] = defaultdict(set)
    for i, (_, patient, sha) in enumerate(rows):
        for j, (_, other, other_sha) in enumerate(rows):
            if (patient and patient == other) or sha == other_sha:
                beside[i].add(j)
    for a, b in pairs:
        beside[a].add(b)
        beside[b].add(a)
    found = []
    for start in range(len(rows)):
        seen, queue = {start}, deque([start])
        while queue:
            new = beside[queue.popleft()] - seen
            seen |= new
            queue.extend(new)
        found.append(seen)
    return found


@SOME
@given(rows=images, pairs=links, seed=st.integers(0, 9))
def test_what_belongs_together_stays_together(
    rows: Rows, pairs: list[tuple[int, int]], seed: int
) -> None:
    pairs = [(a, b) for a, b in pairs if a < len(rows) and b < len(rows)]
    copies = [(f"{a:03d}", f"{b:03d}") for a, b in pairs]
    records = group_records(records_of(rows), copies)
    try:
        found = divide_records(records, {}, SplitOptions(seed=seed)).records
    except DataError:
        assert len({r.group for r in records}) < 3
        return
    part = [record.split for record in sorted(found, key=lambda r: r.path)]
    assert set(part) <= {"train", "val", "test"}
    assert "train" in part and "test" in part
    for together in reachable(rows, pairs):
        assert len({part[i] for i in together}) == 1
        assert len({records[i].group for i in together}) == 1


@SOME
@given(
    sizes=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 4)), min_size=150, max_size=200
    ),
    ratio=st.sampled_from([(7, 1, 2), (8, 1, 1), (6, 2, 2), (1, 1, 1)]),
    seed=st.integers(0, 3),
)
def test_the_ratio_is_kept_within_two_points_where_groups_are_small(
    sizes: list[tuple[str, int]], ratio: tuple[float, float, float], seed: int
) -> None:
    rows = [(label, f"P{i}", f"{i}-{k}") for i, (label, n) in enumerate(sizes) for k in range(n)]
    records = group_records(records_of(rows))
    found = divide_records(records, {}, SplitOptions(ratio, seed)).records
    for share, part in zip(ratio, ("train", "val", "test"), strict=True):
        got = sum(record.split == part for record in found) / len(found)
        assert abs(got - share / sum(ratio)) <= 0.02


@SOME
@given(rows=images, folds=st.integers(3, 6), seed=st.integers(0, 3))
def test_folds_keep_groups_and_test_every_image_once(rows: Rows, folds: int, seed: int) -> None:
    records = group_records(records_of(rows))
    try:
        found = divide_records(records, {}, SplitOptions(seed=seed, folds=folds)).records
    except DataError:
        assert len({r.group for r in records}) < folds
        return
    tested = []
    for fold in range(folds):
        parted = fold_split(found, fold)
        parts = defaultdict(set)
        for record in parted:
            parts[record.group].add(record.split)
        assert all(len(of) == 1 for of in parts.values())
        tested += [record.path for record in parted if record.split == "test"]
    assert sorted(tested) == sorted(record.path for record in records)
