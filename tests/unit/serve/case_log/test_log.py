"""The case log in SQLite and PostgreSQL: what goes in comes out, in order, whatever it holds."""

from __future__ import annotations

import math
import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overread.errors import CaseLogError, ConfigError, DataError
from overread.serve.case_log.log import CaseLog, NewCase, open_case_log

Make = Callable[..., NewCase]
NASTY = [
    "'; DROP TABLE cases; --",
    '" OR 1=1 --',
    "$$; SELECT pg_sleep(9); $$",
    "%s %(id)s :id ?",
    "\\'; DELETE FROM head",
    "<script>alert(1)</script>",
    "良性 – café \N{PILE OF POO}",
]


def test_a_case_comes_out_as_it_went_in(log: CaseLog, new_case: Make) -> None:
    case = new_case()
    before = datetime.now(UTC)
    (case_id,) = log.add([case])
    found = log.get(case_id)
    assert {k: v for k, v in vars(found).items() if k in vars(case)} == vars(case)
    assert before <= found.time <= datetime.now(UTC)
    assert found.feedback == ()
    assert found.reading == ""
    assert list(found.to_dict())[:2] == ["id", "time"]


def test_an_empty_log(log: CaseLog) -> None:
    assert log.add([]) == ()
    assert log.page().cases == ()
    assert log.page().next is None
    assert list(log.cases()) == []
    assert log.verify() == ()
    assert log.head().number == 0  # type: ignore[union-attr]


def test_it_is_still_there_when_opened_again(url: str, new_case: Make) -> None:
    first = open_case_log(url)
    ids = first.add([new_case(), new_case(predicted="malignant")])
    first.close()
    second = open_case_log(url)
    assert second.get(ids[1]).predicted == "malignant"
    assert second.verify() == ()
    second.close()


def test_numbers_come_back_bit_for_bit(log: CaseLog, new_case: Make) -> None:
    values = [0.1, 1.0, -0.0, 5e-324, 1 / 3, 1e308, 12345678901234567.0, np.float32(0.1)]
    ids = log.add([new_case(ood_score=v, probabilities={"a": v}) for v in values])
    for case_id, value in zip(ids, values, strict=True):
        assert log.get(case_id).ood_score == float(value)
        assert log.get(case_id).probabilities == {"a": float(value)}
    (odd,) = log.add(
        [new_case(ood_score=math.inf, probability=math.nan, probabilities={"a": math.nan})]
    )
    found = log.get(odd)
    assert (found.ood_score, found.probability, found.probabilities) == (None, None, {})
    assert log.verify() == ()


@pytest.mark.parametrize("text", NASTY)
def test_sql_in_a_text_is_text(log: CaseLog, new_case: Make, text: str) -> None:
    fields = [name for name, value in vars(new_case()).items() if isinstance(value, str)]
    (case_id,) = log.add(
        [new_case(**dict.fromkeys(fields, text), probabilities={text: 1.0}, quality={text: text})]
    )
    said = log.add_feedback(case_id, reading=text, comment=text, user=text)
    found = log.get(case_id)
    assert {getattr(found, name) for name in fields} == {text}
    assert found.probabilities == {text: 1.0}
    assert found.feedback == (said,)
    assert [c.id for c in log.page(status=text, model=text).cases] == [case_id]
    assert log.page(status=text + "'").cases == ()
    for use in (log.get, lambda t: log.page(after=t), lambda t: log.add_feedback(t, reading="x")):
        with pytest.raises(LookupError):
            use(text)
    assert log.verify() == ()


def test_what_no_database_can_hold_is_replaced(log: CaseLog, new_case: Make) -> None:
    (case_id,) = log.add([new_case(predicted="a\0b\ud800c", user="x" * 5_000_000, code="\udfff")])
    log.add_feedback(case_id, reading="\0", comment="ok \ud83d")
    found = log.get(case_id)
    assert found.predicted == "a\ufffdb\ufffdc"
    assert len(found.user) == 1000
    assert found.user.endswith("…")
    assert found.feedback[0].comment == "ok \ufffd"
    assert log.page(status="\0\ud800").cases == ()
    with pytest.raises(LookupError):
        log.get("\0\ud800")
    assert log.verify() == ()


def test_what_a_person_wrote_is_refused_rather_than_cut(log: CaseLog, new_case: Make) -> None:
    (case_id,) = log.add([new_case()])
    with pytest.raises(DataError, match="1,001 characters"):
        log.add_feedback(case_id, reading="x" * 1001)
    with pytest.raises(DataError, match="at most 10,000"):
        log.add_feedback(case_id, comment="x" * 10_001)
    with pytest.raises(DataError, match="is empty"):
        log.add_feedback(case_id, reading=" ", comment="\n")
    log.add_feedback(case_id, comment="x" * 10_000)
    assert len(log.get(case_id).feedback) == 1


def test_feedback_is_added_and_the_latest_reading_stands(log: CaseLog, new_case: Make) -> None:
    first, second = log.add([new_case(), new_case()])
    log.add_feedback(first, reading="benign", comment="clear", user="u-2")
    log.add_feedback(first, reading="malignant")
    log.add_feedback(first, comment="biopsy ordered")
    assert [f.reading for f in log.get(first).feedback] == ["benign", "malignant", ""]
    assert log.get(first).reading == "malignant"
    assert log.get(second).feedback == ()
    assert [len(c.feedback) for c in log.page().cases] == [0, 3]
    with pytest.raises(LookupError, match="no case"):
        log.add_feedback("0" * 32, reading="benign")


def test_pages_walk_through_everything_once_newest_first(log: CaseLog, new_case: Make) -> None:
    ids = [log.add([new_case(status=s)])[0] for s in ["answer", "refer", "reject"] * 4]
    seen: list[str] = []
    after: str | None = None
    for _ in range(3):
        page = log.page(5, after)
        seen += [case.id for case in page.cases]
        after = page.next
    assert after is None
    assert seen == ids[::-1]
    refer = log.page(2, status="refer")
    assert [c.id for c in refer.cases] == [ids[10], ids[7]]
    assert [c.id for c in log.page(9, refer.next, "refer").cases] == [ids[4], ids[1]]
    assert log.page(model="other").cases == ()
    assert len(log.page(10**9).cases) == 12
    assert len(log.page(-3).cases) == 1


def test_all_cases_are_read_in_pieces(
    log: CaseLog, new_case: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = log.add([new_case(model=f"m{n % 2}") for n in range(11)])
    log.add_feedback(ids[3], reading="benign")
    with monkeypatch.context() as patch:
        patch.setattr("overread.serve.case_log.log.AT_A_TIME", 3)
        assert [case.id for case in log.cases()] == list(ids)
        assert [case.id for case in log.cases("m1")] == list(ids[1::2])
        assert [case.reading for case in log.cases()][3] == "benign"
        assert log.verify() == ()


def test_times_are_kept_in_utc(log: CaseLog, new_case: Make) -> None:
    east = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=8)))
    (case_id,) = log.add([new_case()], time=east)
    assert log.get(case_id).time.isoformat() == "2026-02-28T17:30:00+00:00"


@pytest.mark.skipif(sys.platform == "win32", reason="file modes")
def test_a_sqlite_log_is_private_and_safe(tmp_path: Path, new_case: Make) -> None:
    path = tmp_path / "a folder" / "50%?.db"
    log = open_case_log(str(path))
    log.add([new_case()])
    assert {p.name for p in path.parent.iterdir()} >= {"50%?.db", "50%?.db-wal"}
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with log.database.reading() as connection:
        modes = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert modes == ["wal", 2, 1]
    log.close()


def test_a_log_that_is_only_read_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(CaseLogError, match="does not exist"):
        open_case_log(f"sqlite:///{tmp_path / 'none.db'}", create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("mysql://root@localhost/x", "'mysql' is not supported"),
        ("sqlite://", "does not name a file"),
        ("sqlite:///:memory:", "does not name a file"),
        ("postgresql://a:b@host:port/x", "is not a valid database address"),
    ],
)
def test_an_address_that_is_none_is_refused(address: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        open_case_log(address)
    assert "sqlite:///FILE" in caught.value.hint


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("not a database, but long enough to look like one" * 9)
    with pytest.raises(CaseLogError, match="not a database"):
        open_case_log(str(tmp_path / "x.db"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(CaseLogError, match="cannot be made"):
        open_case_log(str(tmp_path / "file" / "cases.db"))


def test_a_password_is_never_shown(postgres: Any) -> None:
    address = postgres.new_database().replace("overread@", "nobody:s3cret@")
    with pytest.raises(CaseLogError) as caught:
        open_case_log(address)
    assert "s3cret" not in str(caught.value)
    assert "nobody" in str(caught.value)


def test_postgresql_without_its_driver_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(ConfigError) as caught:
            open_case_log("postgresql://u@h/db")
    assert "overread[postgres]" in caught.value.hint
