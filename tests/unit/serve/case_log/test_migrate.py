"""The schema: made, brought up to date with what is in it, refused when it is newer."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from overread.errors import CaseLogError
from overread.serve.case_log.database import open_database
from overread.serve.case_log.keys import Keys
from overread.serve.case_log.log import CaseLog, NewCase, open_case_log
from overread.serve.case_log.migrate import FOLDER, migrate
from overread.serve.case_log.tables import metadata


def test_the_migrations_make_the_tables_that_the_program_expects(log: CaseLog) -> None:
    with log.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_an_older_log_is_brought_up_to_date_with_what_is_in_it(
    url: str, new_case: Callable[..., NewCase]
) -> None:
    database = open_database(url)
    with database.writing() as connection:
        migrate(connection, "0001")
        assert "keys" not in inspect(connection).get_table_names()
    old = CaseLog(database)
    (case_id,) = old.add([new_case()])
    old.add_feedback(case_id, reading="malignant")
    old.close()
    log = open_case_log(url)
    assert log.get(case_id).reading == "malignant"
    assert log.verify() == ()
    assert Keys(log.database).add("ward")
    log.add([new_case()])
    assert log.verify() == ()
    log.close()


def test_a_newer_log_is_refused_and_left_alone(url: str) -> None:
    log = open_case_log(url)
    with log.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    log.close()
    with pytest.raises(CaseLogError, match="version 0999, this program knows up to 0002"):
        open_case_log(url)
    database = open_database(url)
    with database.reading() as connection:
        assert (
            connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "0999"
        )
    database.close()


def test_a_migration_that_fails_changes_nothing(url: str) -> None:
    database = open_database(url)
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE settings (x TEXT)"))
    with pytest.raises(CaseLogError, match="settings"):
        open_case_log(url)
    with database.reading() as connection:
        assert inspect(connection).get_table_names() == ["settings"]
    database.close()


def test_many_threads_may_open_a_new_log_at_once(url: str) -> None:
    failed: list[BaseException] = []

    def open_it() -> None:
        try:
            open_case_log(url).close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_many_programs_may_open_a_new_log_at_once(url: str) -> None:
    code = f"from overread.serve.case_log.log import open_case_log as o; o({url!r}).close()"
    programs = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [program.wait(120) for program in programs] == [0] * 3
    log = open_case_log(url)
    assert log.verify() == ()
    log.close()


def test_every_migration_follows_from_the_one_before(tmp_path: Path) -> None:
    files = sorted(p.name for p in (FOLDER / "versions").glob("v*.py"))
    assert [name[:5] for name in files] == [f"v{n:04d}" for n in range(1, len(files) + 1)]
