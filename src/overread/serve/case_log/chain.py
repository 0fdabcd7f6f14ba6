"""The hash chain: each row's SHA-256 covers its content and the hash of the row before it.

A row that is edited, deleted, inserted or moved breaks it, and the head row (number and hash of the
newest) shows what was cut off at the end. Who can write to the database and knows this program can
rewrite everything after the change, head included: against that, note the head elsewhere now and
then and give it to `verify`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

START = "0" * 64
# A column renamed since stays in the hash under its first name: entries written before it are
# still whole, and there is one rule for all of them.
HASHED_AS = {"predicted": "label"}


class Head(NamedTuple):
    """The newest entry: how many there are, and its hash. As text "number:hash"."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


EMPTY = Head(0, START)


@dataclass(frozen=True)
class Break:
    """A place where the chain does not hold: the row's number, table, id and time, and how.

    `table`, `id` and `time` are "" where there is no such row any more.
    """

    number: int
    problem: str
    table: str = ""
    id: str = ""
    time: str = ""

    def __str__(self) -> str:
        row = f" ({self.table} {self.id}, {self.time})" if self.id else ""
        return f"entry {self.number}{row}: {self.problem}"


def digest(table: str, row: Mapping[str, Any]) -> str:
    """SHA-256 of a row's canonical JSON: sorted keys, no spaces, all but its own hash.

    Empty columns are left out, so that one added later does not change the hash of old rows.
    """
    content = {
        HASHED_AS.get(name, name): value
        for name, value in row.items()
        if name != "hash" and value is not None
    }
    text = json.dumps(
        {"table": table, **content}, sort_keys=True, separators=(",", ":"), default=str
    )
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def check(
    rows: Iterable[tuple[str, Mapping[str, Any]]], head: Head | None, noted: Iterable[Head] = ()
) -> Iterator[Break]:
    """Every break in `rows`, given as (table, row) in the order of their numbers.

    `head` is the stored one (None: it is gone). `noted` are heads written down earlier: the entries
    they name must still be there, unchanged.
    """
    last, time = EMPTY, ""
    wanted: dict[int, set[str]] = {}
    for note in noted:
        wanted.setdefault(note.number, set()).add(note.hash)
    for table, row in rows:
        number, here = row["number"], (table, str(row["id"]), str(row["time"]))
        gap = number - last.number - 1
        if gap > 0:
            yield Break(last.number + 1, _missing(gap, time))
        elif gap < 0:
            yield Break(number, "was inserted: another entry has its number", *here)
        if digest(table, row) != row["hash"]:
            yield Break(number, "was changed after it was written", *here)
        elif gap == 0 and row["previous"] != last.hash:
            yield Break(number, "does not follow from the entry before: one was rewritten", *here)
        if wanted.pop(number, set()) - {row["hash"]}:
            yield Break(number, "is not the entry that was noted: the log was rewritten", *here)
        last, time = Head(number, row["hash"]), row["time"]
    yield from _ends(last, time, head)
    for number in sorted(set(wanted) - {0}):
        yield Break(number, "was noted, and is not in the log")


def _ends(last: Head, time: str, head: Head | None) -> Iterator[Break]:
    if head is None:
        yield Break(last.number, "the head of the log was deleted")
    elif head.number > last.number:
        yield Break(last.number + 1, _missing(head.number - last.number, time))
    elif head.number < last.number:
        yield Break(last.number, "was inserted: the head of the log does not know it", time=time)
    elif head.hash != last.hash:
        yield Break(last.number, "is not the newest that was written: it was rewritten", time=time)


def _missing(count: int, time: str) -> str:
    what = "is missing" if count == 1 else f"and {count - 1} after it are missing"
    return f"{what}: deleted" + (f", written after {time}" if time else "")
