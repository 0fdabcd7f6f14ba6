"""The case log: add, look up, page through, and verify. Nothing in it is ever changed."""

from __future__ import annotations

import heapq
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, Table, insert, select, update

from overread.errors import CaseLogError
from overread.serve.case_log.chain import Break, Head, check, digest
from overread.serve.case_log.database import Database, open_database
from overread.serve.case_log.migrate import migrate
from overread.serve.case_log.records import (
    Case,
    Feedback,
    NewCase,
    case_values,
    feedback_values,
    plain,
    to_case,
    to_feedback,
)
from overread.serve.case_log.tables import CASES, FEEDBACK, HEAD

__all__ = ["Case", "CaseLog", "CaseLogError", "Feedback", "NewCase", "CasePage", "open_case_log"]

ID = re.compile(r"[0-9a-f]{32}")
MOST_A_PAGE = 1_000
AT_A_TIME = 500


@dataclass(frozen=True)
class CasePage:
    """Cases, newest first; `next` is what to give as `after` for those before them, or None."""

    cases: tuple[Case, ...]
    next: str | None


class CaseLog:
    """A log of cases in `database`. Safe to use from several threads and processes at once."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(self, cases: Sequence[NewCase], *, time: datetime | None = None) -> tuple[str, ...]:
        """Log `cases` in one transaction; their ids. On the disk when it returns.

        Raises CaseLogError when the database is gone: then none of them is in the log.
        """
        if not cases:
            return ()
        rows = [case_values(case) for case in cases]
        with self.database.writing() as connection:
            return _append(connection, CASES, rows, time)

    def add_feedback(
        self, case_id: str, *, reading: str = "", comment: str = "", user: str = ""
    ) -> Feedback:
        """Log what a clinician said of a case. It is added to what was said before.

        Raises LookupError for an unknown id, DataError for a text that is too long or none at all.
        """
        values = feedback_values(reading, comment, user)
        time = datetime.now(UTC)
        with self.database.writing() as connection:
            _number(connection, case_id)
            _append(connection, FEEDBACK, [{**values, "case_id": case_id}], time)
        return Feedback(time, values["user"], values["reading"], values["comment"])

    def get(self, case_id: str) -> Case:
        """One case with its feedback; LookupError for an unknown id."""
        with self.database.reading() as connection:
            number = _number(connection, case_id)
            return _cases(connection, select(CASES).where(CASES.c.number == number))[0]

    def page(
        self,
        limit: int = 50,
        after: str | None = None,
        status: str | None = None,
        model: str | None = None,
    ) -> CasePage:
        """Up to `limit` cases, newest first, of those older than the case `after`.

        Raises LookupError where there is no case `after`.
        """
        limit = min(max(limit, 1), MOST_A_PAGE)
        query = select(CASES).order_by(CASES.c.number.desc()).limit(limit + 1)
        for column, value in ((CASES.c.status, status), (CASES.c.model, model)):
            if value is not None:
                query = query.where(column == plain(value))
        with self.database.reading() as connection:
            if after is not None:
                query = query.where(CASES.c.number < _number(connection, after))
            found = _cases(connection, query)
        return CasePage(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)

    def cases(self, model: str | None = None) -> Iterator[Case]:
        """Every case, oldest first, a few hundred in memory at a time."""
        query = select(CASES).order_by(CASES.c.number).limit(AT_A_TIME)
        if model is not None:
            query = query.where(CASES.c.model == plain(model))
        more: Select[Any] | None = query
        while more is not None:
            with self.database.reading() as connection:
                found = _cases(connection, more)
                more = None
                if len(found) == AT_A_TIME:
                    more = query.where(CASES.c.number > _number(connection, found[-1].id))
            yield from found

    def head(self) -> Head | None:
        """The newest entry; None when its record was deleted."""
        with self.database.reading() as connection:
            return _head(connection)

    def verify(self, noted: Sequence[Head] = ()) -> tuple[Break, ...]:
        """Every break in the chain, none for an untouched log. `noted`: heads noted earlier."""
        with self.database.reading() as connection:
            both = [_stream(connection, table) for table in (CASES, FEEDBACK)]
            rows = heapq.merge(*both, key=lambda entry: entry[1]["number"])
            return tuple(check(rows, _head(connection), noted))

    def close(self) -> None:
        """Close every connection to the database."""
        self.database.close()


def open_case_log(url: str, *, create: bool = True) -> CaseLog:
    """The case log at `url`: sqlite:///FILE, a path, or postgresql://USER:PASSWORD@HOST/NAME.

    Makes what is missing and brings an older version up to date. Raises CaseLogError where it
    cannot be reached, is of a newer version or, unless `create`, where there is none yet;
    ConfigError for an address that is not valid.
    """
    database = open_database(url, create=create)
    try:
        with database.writing() as connection:
            migrate(connection, create=create)
    except BaseException:
        database.close()
        raise
    return CaseLog(database)


def _append(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], time: datetime | None
) -> tuple[str, ...]:
    """Add `rows` at the end of the chain; holding the head's row keeps other writers out."""
    head = _head(connection, lock=True)
    if head is None:
        raise CaseLogError("the head of the log was deleted", hint="See `overread cases verify`.")
    when = (time or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds")
    complete = []
    for values in rows:
        row = {**values, "number": head.number + 1, "previous": head.hash, "time": when}
        row["id"] = secrets.token_hex(16)
        row["hash"] = digest(table.name, row)
        head = Head(row["number"], row["hash"])
        complete.append(row)
    connection.execute(insert(table), complete)
    connection.execute(update(HEAD).values(number=head.number, hash=head.hash))
    return tuple(row["id"] for row in complete)


def _head(connection: Connection, *, lock: bool = False) -> Head | None:
    query = select(HEAD.c.number, HEAD.c.hash)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else Head(row.number, row.hash)


def _number(connection: Connection, case_id: str) -> int:
    query = select(CASES.c.number).where(CASES.c.id == case_id)
    number = connection.execute(query).scalar() if ID.fullmatch(case_id) else None
    if number is None:
        raise LookupError(f"no case has the id {plain(case_id, 40)!r}")
    return int(number)


def _cases(connection: Connection, query: Select[Any]) -> list[Case]:
    rows = list(_rows(connection, query))
    said: dict[str, list[Feedback]] = {row["id"]: [] for row in rows}
    theirs = select(FEEDBACK).where(FEEDBACK.c.case_id.in_(said)).order_by(FEEDBACK.c.number)
    for row in _rows(connection, theirs) if said else ():
        said[row["case_id"]].append(to_feedback(row))
    return [to_case(row, said[row["id"]]) for row in rows]


def _stream(connection: Connection, table: Table) -> Iterator[tuple[str, Mapping[str, Any]]]:
    query = select(table).order_by(table.c.number).execution_options(yield_per=AT_A_TIME)
    for row in _rows(connection, query):
        yield table.name, row


def _rows(connection: Connection, query: Select[Any]) -> Iterator[dict[str, Any]]:
    return (dict(row._mapping) for row in connection.execute(query))
