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
from sqlalchemy import MetaData, Table, inspect, text

from overread.errors import CaseLogError
from overread.serve.case_log.chain import Head
from overread.serve.case_log.database import open_database
from overread.serve.case_log.keys import Keys
from overread.serve.case_log.log import CaseLog, NewCase, open_case_log
from overread.serve.case_log.migrate import FOLDER, migrate
from overread.serve.case_log.tables import metadata


def test_the_migrations_make_the_tables_that_the_program_expects(log: CaseLog) -> None:
    with log.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


# What the first version of this program (its column was `label`) wrote, letter for letter.
OLD = {
    "user": "u-1", "model": "breast", "model_version": "1", "model_sha256": "a" * 64,
    "image_sha256": "b" * 64, "status": "answer", "code": "sure", "label": "benign",
    "probability": 0.93, "probabilities": '{"benign":0.93,"malignant":0.07}',
    "quality": '{"contrast":41.5,"issues":[]}', "ood_score": 0.125,
}  # fmt: skip
REJECTED = {
    "status": "reject", "code": "ood", "label": None, "probability": None, "probabilities": "{}",
    "ood_score": None,
}  # fmt: skip
HASHES = (
    "0" * 64,
    "70996cf6f56da088d2bd97fa91a441488e64a6e7b8b1e1e19d2c94ec3e3a039a",
    "2ed4fc7ec4fcfde7108711f5442574c146c4622a094169981f718643a624397a",
    "df0983f95d0a42f9be8e108a79e80d81eab3437f41c02fc33950c7412269b50d",
    "69fe56927cdfc63625706291a3a91243c27df1eb544993894cbd61a8a76a11c0",
)


def old_log(url: str, revision: str) -> None:
    """A log of four cases as it lay in a database of an older version."""
    changes = [
        {},
        {"status": "refer", "code": "unsure", "label": "良性|a"},
        REJECTED,
        {"label": ""},
    ]
    database = open_database(url)
    with database.writing() as connection:
        migrate(connection, revision)
        cases = Table("cases", MetaData(), autoload_with=connection)
        assert "label" in cases.c
        for number, change in enumerate(changes, 1):
            place = {
                "number": number, "id": f"{number:032x}", "previous": HASHES[number - 1],
                "time": f"2026-03-02T{8 + number:02}:00:00.000000+00:00", "hash": HASHES[number],
            }  # fmt: skip
            connection.execute(cases.insert().values({**OLD, **change, **place}))
        connection.execute(text("UPDATE head SET number = 4, hash = :hash"), {"hash": HASHES[4]})
    database.close()


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_an_older_log_is_brought_up_to_date_with_what_is_in_it(
    url: str, revision: str, new_case: Callable[..., NewCase]
) -> None:
    old_log(url, revision)
    log = open_case_log(url)
    assert log.verify([Head(n, HASHES[n]) for n in range(5)]) == ()
    assert [case.predicted for case in log.cases()] == ["benign", "良性|a", None, ""]
    log.add_feedback(f"{1:032x}", reading="malignant")
    assert log.get(f"{1:032x}").reading == "malignant"
    assert Keys(log.database).add("ward")
    log.add([new_case()])
    assert log.verify([Head(4, HASHES[4])]) == ()
    log.close()


def test_an_older_entry_that_is_changed_is_found_as_before(url: str) -> None:
    old_log(url, "0002")
    log = open_case_log(url)
    with log.database.writing() as connection:
        connection.execute(text("UPDATE cases SET predicted = 'malignant' WHERE number = 1"))
    assert [broken.number for broken in log.verify()] == [1]
    log.close()


def test_a_newer_log_is_refused_and_left_alone(url: str) -> None:
    log = open_case_log(url)
    with log.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    log.close()
    with pytest.raises(CaseLogError, match="version 0999, this program knows up to 0003"):
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
