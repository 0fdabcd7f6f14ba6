"""API keys: seen once, stored as a hash, one valid key a name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from overread.errors import ConfigError
from overread.serve.case_log.keys import Keys, owner
from overread.serve.case_log.log import CaseLog, open_case_log
from overread.serve.case_log.tables import KEYS, SETTINGS


@pytest.fixture(params=["sqlite", "postgresql"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CaseLog]:
    if request.param == "sqlite":
        opened = open_case_log(str(tmp_path / "cases.db"))
    else:
        opened = open_case_log(request.getfixturevalue("postgres").new_database())
    yield opened
    opened.close()


def everything_stored(log: CaseLog) -> str:
    with log.database.reading() as connection:
        rows = [list(connection.execute(select(table))) for table in (KEYS, SETTINGS)]
    return str(rows)


def test_a_key_is_256_random_bits_and_only_its_hash_is_stored(log: CaseLog) -> None:
    keys = Keys(log.database)
    first, second = keys.add("ward 3"), keys.add("station ärzte")
    assert re.fullmatch(r"overread_[\w-]{43}", first)
    assert first != second
    stored = everything_stored(log)
    assert first not in stored
    assert first.removeprefix("overread_")[:8] not in stored
    assert owner(keys.list(), first) == "ward 3"
    assert owner(keys.list(), second) == "station ärzte"
    for wrong in ("", first[:-1], first + "x", first.upper(), "\ud800", keys.list()[0].hash):
        assert owner(keys.list(), wrong) is None


def test_a_name_has_one_valid_key_and_may_get_another_after_that(log: CaseLog) -> None:
    keys = Keys(log.database)
    first = keys.add("ward")
    with pytest.raises(ConfigError, match="has a key already"):
        keys.add(" ward ")
    keys.revoke("ward")
    assert owner(keys.list(), first) is None
    second = keys.add("ward")
    assert owner(keys.list(), second) == "ward"
    assert [key.revoked is None for key in keys.list()] == [False, True]
    assert "hash" not in keys.list()[0].to_dict()


def test_revoking_what_is_not_there_names_what_is(log: CaseLog) -> None:
    keys = Keys(log.database)
    with pytest.raises(ConfigError, match="no valid key"):
        keys.revoke("ward")
    keys.add("ward")
    with pytest.raises(ConfigError) as caught:
        keys.revoke("wadr")
    assert "Did you mean 'ward'?" in str(caught.value)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[31m", "\0", "\ud800", "x" * 101])
def test_a_name_that_cannot_be_shown_is_refused(tmp_path: Path, name: str) -> None:
    log = open_case_log(str(tmp_path / "cases.db"))
    with pytest.raises(ConfigError, match="is not a valid name"):
        Keys(log.database).add(name)
    log.close()


def test_sql_in_a_name_is_text(log: CaseLog) -> None:
    keys, name = Keys(log.database), "'; DELETE FROM keys; --"
    key = keys.add(name)
    assert owner(keys.list(), key) == name
    keys.revoke(name)
    assert len(keys.list()) == 1


def test_every_database_has_a_salt_of_its_own_that_lasts(log: CaseLog, tmp_path: Path) -> None:
    other = open_case_log(str(tmp_path / "other.db"))
    assert Keys(log.database).salt() == Keys(log.database).salt()
    assert len(Keys(log.database).salt()) == 32
    assert Keys(log.database).salt() != Keys(other.database).salt()
    other.close()
