"""Every kind of tampering by raw SQL is found, at the right row, in both databases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from overread.errors import CaseLogError
from overread.serve.case_log.chain import EMPTY, Head, check, digest
from overread.serve.case_log.log import CaseLog, NewCase

Raw = Callable[..., list[Any]]
START = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def ids(log: CaseLog, new_case: Callable[..., NewCase]) -> list[str]:
    """Entries 1-3 and 5-8 are cases, an hour apart; 4 is feedback on the second."""
    made = [log.add([new_case()], time=START + timedelta(hours=n))[0] for n in range(3)]
    log.add_feedback(made[1], reading="malignant", comment="seen in clinic")
    made += [log.add([new_case()], time=START + timedelta(hours=n))[0] for n in range(3, 7)]
    assert log.verify() == ()
    return made


def found(log: CaseLog) -> list[tuple[int, str]]:
    return [(broken.number, broken.problem) for broken in log.verify()]


COLUMNS = {
    "time": "'2026-03-02T09:00:00.000001+00:00'", "user": "'other'", "model": "'other'",
    "model_version": "'2'", "model_sha256": "'c'", "image_sha256": "'c'", "status": "'refer'",
    "code": "'unsure'", "predicted": "'malignant'", "probability": "0.9300000000000002",
    "probabilities": "'{}'", "quality": "'{}'", "ood_score": "0", "previous": "'x'",
    "id": "'00000000000000000000000000000000'",
}  # fmt: skip


def test_every_column_is_covered(log: CaseLog, raw: Raw, ids: list[str]) -> None:
    from overread.serve.case_log.tables import CASES

    assert set(COLUMNS) == {c.name for c in CASES.columns} - {"number", "hash"}
    for column, value in COLUMNS.items():
        (old,) = raw(f'SELECT "{column}" FROM cases WHERE number = 7')[0]  # noqa: S608
        raw(f'UPDATE cases SET "{column}" = {value} WHERE number = 7')  # noqa: S608
        assert found(log) == [(7, "was changed after it was written")], column
        raw(f'UPDATE cases SET "{column}" = :old WHERE number = 7', old=old)  # noqa: S608
        assert found(log) == [], column


def test_a_break_names_the_row_and_when_it_was_written(
    log: CaseLog, raw: Raw, ids: list[str]
) -> None:
    raw("UPDATE cases SET predicted = 'malignant' WHERE id = :id", id=ids[2])
    (broken,) = log.verify()
    assert (broken.number, broken.table, broken.id) == (3, "cases", ids[2])
    assert str(broken) == (
        f"entry 3 (cases {ids[2]}, 2026-03-02T11:00:00.000000+00:00): "
        "was changed after it was written"
    )


def test_a_value_that_is_emptied_is_found(log: CaseLog, raw: Raw, ids: list[str]) -> None:
    raw("UPDATE cases SET predicted = NULL WHERE number = 8")
    assert found(log) == [(8, "was changed after it was written")]


def test_changed_feedback_is_found(log: CaseLog, raw: Raw, ids: list[str]) -> None:
    raw("UPDATE feedback SET reading = 'benign'")
    (broken,) = log.verify()
    assert (broken.number, broken.table) == (4, "feedback")


def test_feedback_hung_on_another_case_is_found(log: CaseLog, raw: Raw, ids: list[str]) -> None:
    raw("UPDATE feedback SET case_id = :id", id=ids[0])
    assert [number for number, _ in found(log)] == [4]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("DELETE FROM cases WHERE number = 5", (5, "is missing: deleted, written after")),
        ("DELETE FROM cases WHERE number IN (5, 6)", (5, "and 1 after it are missing")),
        ("DELETE FROM cases WHERE number = 1", (1, "is missing: deleted")),
        ("DELETE FROM feedback", (4, "is missing: deleted, written after 2026-03-02T11")),
        ("DELETE FROM cases WHERE number = 8", (8, "is missing: deleted, written after")),
        ("DELETE FROM cases WHERE number > 5", (6, "and 2 after it are missing: deleted")),
        ("DELETE FROM head", (8, "the head of the log was deleted")),
    ],
)
def test_a_deleted_row_is_found_also_the_first_and_the_last(
    log: CaseLog, raw: Raw, ids: list[str], sql: str, says: tuple[int, str]
) -> None:
    raw(sql)
    ((number, problem),) = found(log)
    assert number == says[0]
    assert says[1] in problem


def test_everything_deleted_is_found(log: CaseLog, raw: Raw, ids: list[str]) -> None:
    raw("DELETE FROM feedback")
    raw("DELETE FROM cases")
    assert found(log) == [(1, "and 7 after it are missing: deleted")]


def test_the_end_cut_off_and_the_head_set_back_is_found_by_a_noted_head(
    log: CaseLog, raw: Raw, ids: list[str]
) -> None:
    noted = log.head()
    assert noted is not None
    (hash_,) = raw("SELECT hash FROM cases WHERE number = 7")[0]
    raw("DELETE FROM cases WHERE number = 8")
    raw("UPDATE head SET number = 7, hash = :hash", hash=hash_)
    assert log.verify() == ()  # nothing inside the database can tell
    assert [str(b) for b in log.verify([noted])] == ["entry 8: was noted, and is not in the log"]


def row_of(raw: Raw, number: int) -> dict[str, Any]:
    (row,) = raw("SELECT * FROM cases WHERE number = :n", n=number)
    return dict(row._mapping)


def add_row(raw: Raw, row: dict[str, Any]) -> None:
    names = ", ".join(f'"{name}"' for name in row)
    raw(f"INSERT INTO cases ({names}) VALUES ({', '.join(':' + n for n in row)})", **row)  # noqa: S608


def test_a_row_rewritten_with_its_own_hash_made_anew_is_found(
    log: CaseLog, raw: Raw, ids: list[str]
) -> None:
    for number, wrong in ((3, 4), (8, 8)):
        row = {**row_of(raw, number), "predicted": "malignant"}
        row["hash"] = digest("cases", row)
        kept = row_of(raw, number)["hash"]
        change = "UPDATE cases SET predicted = :predicted, hash = :hash WHERE number = :number"
        raw(change, predicted="malignant", hash=row["hash"], number=number)
        ((at, problem),) = found(log)
        assert at == wrong
        assert "rewritten" in problem
        raw(change, predicted="benign", hash=kept, number=number)
        assert log.verify() == ()


def test_an_inserted_row_is_found(log: CaseLog, raw: Raw, ids: list[str]) -> None:
    last = row_of(raw, 8)
    row = {**last, "number": 9, "id": "f" * 32, "previous": last["hash"]}
    row["hash"] = digest("cases", row)
    add_row(raw, row)
    assert found(log) == [(9, "was inserted: the head of the log does not know it")]


def test_a_row_inserted_under_the_number_of_feedback_is_found(
    log: CaseLog, raw: Raw, ids: list[str]
) -> None:
    row = {**row_of(raw, 3), "number": 4, "id": "f" * 32}
    row["hash"] = digest("cases", row)
    add_row(raw, row)
    problems = dict(found(log))
    assert "was inserted: another entry has its number" in problems[4]


def test_rows_that_changed_places_are_found(log: CaseLog, raw: Raw, ids: list[str]) -> None:
    for old, new in ((6, 99), (7, 6), (99, 7)):
        raw("UPDATE cases SET number = :new WHERE number = :old", old=old, new=new)
    # The one after them no longer follows from the one before it.
    assert [number for number, _ in found(log)] == [6, 7, 8]


def test_a_case_copied_over_another_is_found(log: CaseLog, raw: Raw, ids: list[str]) -> None:
    raw("DELETE FROM cases WHERE number = 6")
    add_row(raw, {**row_of(raw, 5), "number": 6, "id": "f" * 32})
    assert 6 in dict(found(log))


def test_every_fault_is_listed_not_only_the_first(log: CaseLog, raw: Raw, ids: list[str]) -> None:
    raw("UPDATE cases SET predicted = 'x' WHERE number IN (1, 7)")
    raw("DELETE FROM cases WHERE number = 5")
    assert [number for number, _ in found(log)] == [1, 5, 7]


def test_a_noted_head_still_stands_when_the_log_has_grown(
    log: CaseLog, ids: list[str], new_case: Callable[..., NewCase]
) -> None:
    noted = log.head()
    assert noted is not None
    log.add([new_case()])
    assert log.verify([noted, EMPTY]) == ()
    (broken,) = log.verify([Head(noted.number, "0" * 64)])
    assert (broken.number, broken.problem[:33]) == (8, "is not the entry that was noted: ")


def test_nothing_is_added_to_a_log_without_a_head(
    log: CaseLog, raw: Raw, new_case: Callable[..., NewCase]
) -> None:
    raw("DELETE FROM head")
    with pytest.raises(CaseLogError, match="head of the log was deleted"):
        log.add([new_case()])
    assert log.page().cases == ()


def test_a_column_added_later_leaves_old_hashes_as_they_are() -> None:
    row = {"number": 1, "id": "a", "previous": "0", "predicted": "x"}
    assert digest("cases", row) == digest("cases", {**row, "later": None, "hash": "h"})
    assert digest("cases", row) != digest("cases", {**row, "later": ""})
    assert digest("cases", row) != digest("feedback", row)


def test_the_hash_is_the_published_one() -> None:
    """Fixed for ever: a changed rule would call every log in the world altered."""
    row = {"number": 1, "id": "a", "time": "t", "previous": "0" * 64, "p": 0.1, "predicted": "良"}
    assert digest("cases", row) == (
        "858709b481495c33f57fa30635948f048f4977913e4402b2aefa52bf7a6616e5"
    )
    # Entries of the first version called that column `label`: the rule is theirs.
    old = {("label" if name == "predicted" else name): value for name, value in row.items()}
    assert digest("cases", old) == digest("cases", row)
    assert list(check([], EMPTY)) == []


def test_the_page_on_files_names_every_column_and_its_rule_gives_the_hashes(
    log: CaseLog, raw: Raw, ids: list[str]
) -> None:
    from overread.serve.case_log.tables import CASES, FEEDBACK

    page = Path(__file__).resolve().parents[4] / "docs/reference/files.md"
    words = " ".join(page.read_text("utf-8").split())
    previous = "0" * 64
    rows = {}
    for table in (CASES, FEEDBACK):
        assert all(f"{c.name}," in words or f"{c.name}`" in words for c in table.columns)
        for row in raw(f"SELECT * FROM {table.name}"):  # noqa: S608
            rows[row.number] = {"table": table.name, **row._mapping}
    for number in sorted(rows):
        row = {k: v for k, v in rows[number].items() if k != "hash" and v is not None}
        hashed = {{"predicted": "label"}.get(name, name): value for name, value in row.items()}
        text = json.dumps(hashed, sort_keys=True, separators=(",", ":"))
        assert row["previous"] == previous
        previous = hashlib.sha256(text.encode()).hexdigest()
        assert rows[number]["hash"] == previous
