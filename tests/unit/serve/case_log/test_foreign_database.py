"""A database that holds something else: looking into it must leave it as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect

from overread.errors import CaseLogError
from overread.serve.case_log.database import open_database
from overread.serve.case_log.log import NewCase, open_case_log


def other(path: Path, *statements: str) -> Path:
    """A SQLite file that another program made."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE bookmarks (url TEXT)",),
        ("CREATE TABLE cases (id TEXT)",),
        ("CREATE TABLE alembic_version (version_num TEXT)",),
        ("PRAGMA user_version = 7",),
    ],
)
def test_looking_into_another_programs_file_adds_nothing_to_it(
    tmp_path: Path, statements: tuple[str, ...]
) -> None:
    path = other(tmp_path / "other.db", *statements)
    before = tables(path)
    with pytest.raises(CaseLogError, match="contains no case log") as refused:
        open_case_log(str(path), create=False)
    assert "other.db" in str(refused.value)
    assert "--database" in refused.value.hint
    assert tables(path) == before


def test_nor_is_an_empty_file_made_into_a_log_by_looking(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(CaseLogError, match="contains no case log"):
        open_case_log(str(path), create=False)
    assert tables(path) == set()
    open_case_log(str(path)).close()  # a server may
    open_case_log(str(path), create=False).close()


def test_a_log_of_a_table_that_is_there_already_is_refused_and_left(tmp_path: Path) -> None:
    path = other(
        tmp_path / "other.db", "CREATE TABLE cases (id TEXT)", "INSERT INTO cases VALUES (1)"
    )
    with pytest.raises(CaseLogError, match="already exists"):
        open_case_log(str(path))
    assert tables(path) == {"cases"}


def test_an_empty_database_of_either_kind_is_left_empty(url: str, tmp_path: Path) -> None:
    if url.startswith("sqlite"):
        other(tmp_path / "new.db")
        url = str(tmp_path / "new.db")
    with pytest.raises(CaseLogError, match="contains no case log"):
        open_case_log(url, create=False)
    database = open_database(url)
    assert inspect(database.engine).get_table_names() == []
    database.close()


def test_a_log_is_still_opened_by_looking(url: str, new_case: Callable[..., NewCase]) -> None:
    made = open_case_log(url)
    (case_id,) = made.add([new_case()])
    made.close()
    looked = open_case_log(url, create=False)
    assert looked.get(case_id).predicted == "benign"
    assert looked.verify() == ()
    looked.close()
