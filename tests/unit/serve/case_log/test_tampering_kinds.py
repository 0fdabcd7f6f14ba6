"""More ways to tamper than by one column: what cannot be read any more, contradicting notes, and
rows put together from others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from overread.errors import CaseLogError
from overread.serve.case_log.chain import EMPTY, START, Head, check, digest
from overread.serve.case_log.export import export_cases
from overread.serve.case_log.log import CaseLog, NewCase, open_case_log

BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)


def chain(*labels: str, first: int = 1, previous: str = START) -> list[tuple[str, dict[str, Any]]]:
    """Rows that follow from each other, as the log writes them."""
    rows = []
    for number, label in enumerate(labels, first):
        row: dict[str, Any] = {
            "number": number, "id": f"id{number}", "time": f"t{number}", "previous": previous,
            "predicted": label,
        }  # fmt: skip
        previous = row["hash"] = digest("cases", row)
        rows.append(("cases", row))
    return rows


def head(rows: list[tuple[str, dict[str, Any]]]) -> Head:
    return Head(rows[-1][1]["number"], rows[-1][1]["hash"])


def problems(
    rows: list[tuple[str, dict[str, Any]]], at: Head | None, *noted: Head
) -> list[tuple[int, str]]:
    return [(found.number, found.problem) for found in check(rows, at, noted)]


def test_rows_that_follow_are_whole_and_any_other_head_is_not() -> None:
    rows = chain("a", "b", "c")
    assert problems(rows, head(rows)) == []
    for wrong, says in {
        Head(2, rows[1][1]["hash"]): (3, "was inserted: the head of the log does not know it"),
        Head(3, START): (3, "is not the newest that was written: it was rewritten"),
        Head(4, START): (4, "is missing: deleted, written after t3"),
        Head(9, START): (4, "and 5 after it are missing: deleted, written after t3"),
        EMPTY: (3, "was inserted: the head of the log does not know it"),
        None: (3, "the head of the log was deleted"),
    }.items():
        assert problems(rows, wrong) == [says]


def test_the_whole_log_rewritten_in_order_is_found_only_by_a_note() -> None:
    before, after = chain("a", "b", "c"), chain("a", "x", "c")
    assert problems(after, head(after)) == []
    assert problems(after, head(after), Head(1, before[0][1]["hash"])) == []
    rewritten = "is not the entry that was noted: the log was rewritten"
    for number in (2, 3):
        noted = Head(number, before[number - 1][1]["hash"])
        assert problems(after, head(after), noted) == [(number, rewritten)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_notes_of_one_entry_cannot_both_be_right(order: tuple[int, int]) -> None:
    """Noted, rewritten, and noted again: whatever note comes last, the first one counts too."""
    before, after = chain("a", "b"), chain("a", "x")
    notes = [head(before), head(after)]
    found = problems(after, head(after), *(notes[k] for k in order))
    assert found == [(2, "is not the entry that was noted: the log was rewritten")]
    gone = problems(after[:1], head(after[:1]), *(notes[k] for k in order))
    assert gone == [(2, "was noted, and is not in the log")]


def test_the_same_note_twice_is_one_note() -> None:
    rows = chain("a", "b")
    assert problems(rows, head(rows), head(rows), head(rows)) == []


def test_a_row_of_the_other_table_in_its_place_is_found() -> None:
    rows = chain("a", "b", "c")
    rows[1] = ("feedback", rows[1][1])
    assert problems(rows, head(rows)) == [(2, "was changed after it was written")]


def test_a_second_beginning_is_found() -> None:
    """Entries of another log appended with numbers that go on."""
    rows, other = chain("a", "b"), chain("c", "d", first=3)
    both = rows + other
    assert problems(both, head(other)) == [
        (3, "does not follow from the entry before: one was rewritten")
    ]


def test_the_same_entry_twice_and_numbers_below_one_are_found() -> None:
    rows = chain("a", "b", "c")
    twice = [rows[0], rows[1], rows[1], rows[2]]
    assert problems(twice, head(rows)) == [
        (2, "was inserted: another entry has its number"),
    ]
    zero = chain("z", first=0) + rows
    assert problems(zero, head(rows))[0] == (0, "was inserted: another entry has its number")


def test_a_deleted_beginning_with_the_rest_numbered_anew_is_found() -> None:
    rows = chain("a", "b", "c")[1:]
    for table, row in rows:
        row["number"] -= 1
        row["hash"] = digest(table, row)
    numbers = [number for number, _ in problems(rows, head(rows))]
    assert numbers == [1, 2]


def test_only_null_and_absent_are_the_same() -> None:
    row = {"number": 1, "score": 0.0, "text": "", "yes": True}
    hashes = {digest("cases", {**row, **change}) for change in (
        {}, {"score": None}, {"score": 0.5}, {"text": None}, {"text": "0"}, {"yes": None},
        {"number": 10}, {"score": "0.0"}, {"other": ""},
    )}  # fmt: skip
    assert len(hashes) == 9


@pytest.fixture
def log(tmp_path: Path) -> Iterator[CaseLog]:
    """Three cases, an hour apart, in SQLite: it lets anybody write anything into a column."""
    opened = open_case_log(str(tmp_path / "cases.db"))
    for n in range(3):
        case = NewCase(
            "breast", "1", "a" * 64, f"{n:064x}", "answer", "benign", 0.9, {"benign": 0.9}, "sure",
            {"contrast": 4.0}, 0.5,
        )  # fmt: skip
        opened.add([case], time=BEGIN + timedelta(hours=n))
    yield opened
    opened.close()


def tamper(log: CaseLog, sql: str) -> None:
    with log.database.writing() as connection:
        connection.exec_driver_sql(sql)


@pytest.mark.parametrize(
    "change",
    [
        "probabilities = 'no json'",
        "probabilities = ''",
        "probabilities = '[0.5]'",
        "quality = '{'",
        "quality = '3'",
        "time = 'yesterday'",
        "time = ''",
    ],
)
def test_a_row_that_cannot_be_read_any_more_is_told_as_altered(
    log: CaseLog, change: str, tmp_path: Path
) -> None:
    ids = [case.id for case in log.cases()]
    tamper(log, f"UPDATE cases SET {change} WHERE number = 2")  # noqa: S608
    assert [(found.number, found.id) for found in log.verify()] == [(2, ids[1])]
    for use in (
        lambda: log.get(ids[1]),
        lambda: log.page(),
        lambda: list(log.cases()),
        lambda: export_cases(log.cases(), tmp_path / "out.csv"),
    ):
        with pytest.raises(CaseLogError, match="altered") as told:
            use()
        assert ids[1] in str(told.value)
        assert "overread cases verify" in told.value.hint
    assert log.get(ids[0]).predicted == "benign"
    assert not (tmp_path / "out.csv").exists()


def test_feedback_that_cannot_be_read_any_more_is_told_as_altered(log: CaseLog) -> None:
    case_id = log.page(1).cases[0].id
    log.add_feedback(case_id, reading="malignant")
    tamper(log, "UPDATE feedback SET time = 'now'")
    with pytest.raises(CaseLogError, match="altered"):
        log.get(case_id)
    assert [(found.number, found.table) for found in log.verify()] == [(4, "feedback")]


@pytest.mark.parametrize("value", ["x'00ff'", "'0.9'", "9e999", "-1", "1"])
def test_a_number_replaced_by_anything_is_found(log: CaseLog, value: str) -> None:
    tamper(log, f"UPDATE cases SET probability = {value} WHERE number = 3")  # noqa: S608
    expected = [] if value == "'0.9'" else [3]  # SQLite stores that text as the number it is
    assert [found.number for found in log.verify()] == expected


def test_after_tampering_the_log_goes_on_and_still_shows_the_same_break(log: CaseLog) -> None:
    tamper(log, "DELETE FROM cases WHERE number = 2")
    before = [str(found) for found in log.verify()]
    log.add_feedback(log.page(1).cases[0].id, reading="malignant")
    assert [str(found) for found in log.verify()] == before
    assert before == [
        "entry 2: is missing: deleted, written after 2026-03-02T09:00:00.000000+00:00"
    ]


def test_a_head_set_ahead_hides_nothing_that_is_written_after(log: CaseLog) -> None:
    tamper(log, "UPDATE head SET number = 10")
    assert [found.number for found in log.verify()] == [4]
    log.add_feedback(log.page(1).cases[0].id, reading="malignant")
    assert [found.problem[:29] for found in log.verify()] == ["and 6 after it are missing: d"]
