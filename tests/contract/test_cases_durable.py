"""The case log under fire: many writers, writers killed, databases that go away and come back."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from overread.errors import CaseLogError
from overread.serve.case_log import database
from overread.serve.case_log.keys import Keys
from overread.serve.case_log.log import CaseLog, NewCase, open_case_log
from postgres_server import Server

AT_ONCE = 3  # cases a transaction
WRITER = f"""
import sys
from overread.serve.case_log.log import NewCase, open_case_log
log = open_case_log(sys.argv[1])
case = NewCase("m", "1", "a", "b", "answer", "x", 0.5, {{"x": 0.5}}, "sure", {{}}, 0.1, sys.argv[3])
for _ in range(int(sys.argv[2])):
    print(*log.add([case] * {AT_ONCE}), flush=True)
"""
CASE = NewCase("m", "1", "a", "b", "answer", "x", 0.5, {"x": 0.5}, "sure", {}, 0.1)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'cases.db'}"
    address: str = request.getfixturevalue("postgres").new_database()
    return address


@pytest.fixture
def log(url: str) -> Iterator[CaseLog]:
    opened = open_case_log(url)
    yield opened
    opened.close()


def writer(url: str, times: int, name: str = "w") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, url, str(times), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def whole(log: CaseLog) -> list[str]:
    """The ids of an intact log that holds whole transactions only."""
    assert log.verify() == ()
    ids = [case.id for case in log.cases()]
    assert len(ids) % AT_ONCE == 0
    head = log.head()
    assert head is not None
    assert head.number == len(ids)
    return ids


def test_threads_and_processes_write_at_once(url: str, log: CaseLog) -> None:
    returned: list[str] = []

    def write() -> None:
        for _ in range(10):
            returned.extend(log.add([CASE] * AT_ONCE))

    threads = [threading.Thread(target=write) for _ in range(6)]
    programs = [writer(url, 10, f"w{n}") for n in range(2)]
    for thread in threads:
        thread.start()
    for program in programs:
        returned += program.communicate(timeout=300)[0].split()
        assert program.returncode == 0
    for thread in threads:
        thread.join()
    assert sorted(whole(log)) == sorted(returned)
    assert len(returned) == (60 + 20) * AT_ONCE


def test_reading_does_not_wait_for_writing_and_sees_one_state(url: str, log: CaseLog) -> None:
    log.add([CASE])
    with log.database.writing() as connection:
        connection.exec_driver_sql("UPDATE cases SET predicted = 'half way'")
        assert log.verify() == ()
        assert log.page().cases[0].predicted == "x"
    assert len(log.verify()) == 1


@pytest.mark.parametrize("lines", [1, 8])
def test_a_writer_killed_in_the_middle_loses_nothing_it_had_returned(
    url: str, log: CaseLog, lines: int
) -> None:
    program = writer(url, 100_000)
    assert program.stdout is not None
    text = "".join(program.stdout.readline() for _ in range(lines))
    program.send_signal(signal.SIGKILL)
    text += program.communicate(timeout=300)[0]
    told = text[: text.rfind("\n")].split()  # its last line may be cut off
    stored = whole(log)
    assert len(told) >= lines * AT_ONCE
    assert stored[: len(told)] == told
    # One transaction at most was stored without its writer having come to say so.
    assert len(stored) - len(told) in (0, AT_ONCE)
    log.add([CASE] * AT_ONCE)
    whole(log)


def test_a_writer_that_fails_half_way_leaves_nothing(log: CaseLog) -> None:
    from sqlalchemy.exc import IntegrityError

    from overread.serve.case_log.tables import CASES

    log.add([CASE] * AT_ONCE)
    (first,) = log.page(limit=1).cases
    with pytest.raises(IntegrityError), log.database.writing() as connection:
        row = dict(connection.execute(CASES.select()).first()._mapping)  # type: ignore[union-attr]
        connection.execute(CASES.insert(), {**row, "number": 4, "id": "new"})
        connection.execute(CASES.insert(), {**row, "number": 5, "id": first.id})
    assert len(whole(log)) == AT_ONCE


def gone(action: Callable[[], object]) -> str:
    started = time.monotonic()
    with pytest.raises(CaseLogError) as caught:
        action()
    assert time.monotonic() - started < 60
    assert caught.value.hint
    return str(caught.value)


def test_postgresql_goes_away_and_comes_back(postgres: Server) -> None:
    log = open_case_log(postgres.new_database())
    kept = [*log.add([CASE] * AT_ONCE)]
    program = writer(log.database.engine.url.render_as_string(False), 100_000)
    assert program.stdout is not None
    kept += program.stdout.readline().split()
    try:
        postgres.stop("immediate")  # as if its power had failed
        gone(lambda: log.add([CASE]))
        gone(lambda: log.add_feedback(kept[0], reading="x"))
        gone(lambda: log.get(kept[0]))
        gone(log.page)
        gone(log.verify)
        assert "overread@" in gone(lambda: open_case_log(str(log.database.engine.url)))
    finally:
        postgres.start()
    rest = program.communicate(timeout=300)[0].splitlines()
    assert program.returncode == 1  # it was told
    kept += " ".join(rest).split()
    kept += log.add([CASE] * AT_ONCE)
    stored = whole(log)
    assert set(kept) <= set(stored)
    assert len(stored) - len(kept) in (0, AT_ONCE)
    log.close()


def test_a_sqlite_file_moved_away_is_noticed_and_found_again(tmp_path: Path) -> None:
    path, away = tmp_path / "cases.db", tmp_path / "away"
    log = open_case_log(f"sqlite:///{path}")
    log.add([CASE] * AT_ONCE)
    path.rename(away)
    gone(lambda: log.add([CASE]))
    gone(log.page)
    assert not path.exists()  # not begun anew behind everybody's back
    away.rename(path)
    log.add([CASE] * AT_ONCE)
    assert len(whole(log)) == 2 * AT_ONCE
    log.close()


def test_a_sqlite_file_deleted_is_noticed(tmp_path: Path) -> None:
    log = open_case_log(f"sqlite:///{tmp_path / 'cases.db'}")
    log.add([CASE])
    for file in tmp_path.iterdir():
        file.unlink()
    gone(lambda: log.add([CASE]))
    assert list(tmp_path.iterdir()) == []
    log.close()


def test_a_full_disk_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    log = open_case_log(f"sqlite:///{tmp_path / 'cases.db'}")
    log.add([CASE] * AT_ONCE)
    log.close()
    # The limit on the size of files stands in for a full disk.
    code = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from overread.errors import CaseLogError
from overread.serve.case_log.log import NewCase, open_case_log
log = open_case_log({str(tmp_path / "cases.db")!r})
case = NewCase("m", "1", "a", "b", "answer", "x" * 900, 0.5, {{}}, "sure", {{}}, 0.1)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    for _ in range(500):
        print(*log.add([case] * {AT_ONCE}), flush=True)
except CaseLogError as error:
    sys.exit(f"told: {{error}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert "told:" in done.stderr, done.stderr
    again = open_case_log(f"sqlite:///{tmp_path / 'cases.db'}")
    stored = whole(again)
    assert stored[AT_ONCE:] == done.stdout.split()
    again.close()


def test_another_writer_that_hangs_is_not_waited_for_for_ever(
    url: str, log: CaseLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(database, "WAIT_S", 1)
        patch.setitem(database.POSTGRES, "options", "-c lock_timeout=1s")
        other = open_case_log(url)
    with log.database.writing() as connection:
        connection.exec_driver_sql("UPDATE head SET number = number")
        gone(lambda: other.add([CASE]))
    assert len(other.add([CASE])) == 1
    other.close()


def test_what_is_stored_can_be_read_without_this_program(url: str, log: CaseLog) -> None:
    (case_id,) = log.add([CASE])
    with log.database.reading() as connection:
        row = connection.exec_driver_sql("SELECT id, probabilities, time FROM cases").one()
    assert row[0] == case_id
    assert json.loads(row[1]) == {"x": 0.5}
    assert row[2].endswith("+00:00")


def test_a_server_that_may_only_add_cannot_take_back(postgres: Server) -> None:
    """The rights that docs/how-to/hospital.md gives it are enough, and no more."""
    page = Path(__file__).resolve().parents[2] / "docs/how-to/hospital.md"
    grants = re.findall(r"^GRANT .*;$", page.read_text("utf-8"), re.MULTILINE)
    assert len(grants) == 3
    owner = open_case_log(postgres.new_database())
    with owner.database.writing() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS overread_server")
        connection.exec_driver_sql("CREATE ROLE overread_server LOGIN")
        for grant in grants:
            connection.exec_driver_sql(grant)
    Keys(owner.database).add("ward")
    address = owner.database.engine.url.set(username="overread_server")
    server = open_case_log(address.render_as_string(hide_password=False))
    (case_id,) = server.add([CASE])
    server.add_feedback(case_id, reading="x")
    assert server.verify() == ()
    assert len(Keys(server.database).list()) == 1
    for sql in ("DELETE FROM cases", "UPDATE feedback SET reading = 'y'", "DELETE FROM head"):
        denied = pytest.raises(CaseLogError, match="permission denied")
        with denied, server.database.writing() as connection:
            connection.exec_driver_sql(sql)
    with pytest.raises(CaseLogError, match="permission denied"):
        Keys(server.database).revoke("ward")
    server.close()
    with owner.database.writing() as connection:
        connection.exec_driver_sql("DROP OWNED BY overread_server")
        connection.exec_driver_sql("DROP ROLE overread_server")
    owner.close()
