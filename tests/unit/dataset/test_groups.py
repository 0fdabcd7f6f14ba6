from __future__ import annotations

from dataclasses import replace

from overread.dataset.groups import group_records, members
from overread.documents.manifest import ImageRecord


def a_record(path: str, patient: str = "", sha: str = "") -> ImageRecord:
    return ImageRecord(path, sha or f"sha-{path}", 1, 1, "L", "x", patient=patient)


def sets(records: tuple[ImageRecord, ...]) -> set[frozenset[str]]:
    return {frozenset(r.path for r in group) for group in members(records).values()}


def test_patients_bytes_and_copies_are_joined_through_one_another() -> None:
    records = [
        a_record("a", patient="P"),
        a_record("b", patient="P", sha="same"),
        a_record("c", sha="same"),
        a_record("d"),
        a_record("e"),
        a_record("f"),
    ]
    found = sets(group_records(records, [("d", "c"), ("e", "not among the records")]))
    assert found == {frozenset("abcd"), frozenset("e"), frozenset("f")}


def test_an_unknown_patient_joins_nothing() -> None:
    assert len(sets(group_records([a_record("a"), a_record("b")]))) == 2


def test_names_depend_on_the_paths_alone() -> None:
    records = [a_record(f"{i:02d}", patient=str(i % 4)) for i in range(12)]
    copies = [("01", "02"), ("03", "11")]
    one = group_records(records, copies)
    other = group_records(list(reversed(records)), [(b, a) for a, b in reversed(copies)])
    assert one == other
    assert one[0].group == "g1"
    assert [r.path for r in one] == sorted(r.path for r in records)


def test_old_groups_do_not_linger() -> None:
    old = [replace(a_record(name), group="old") for name in "ab"]
    assert len(sets(group_records(old))) == 2
