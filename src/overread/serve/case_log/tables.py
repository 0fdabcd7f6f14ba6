"""The tables. Migrations make them; a test compares the two.

Times are ISO 8601 in UTC and mappings JSON, both as text: the hash of a row covers what is stored,
character for character, in either database. In `cases` and `feedback` rows are only ever added.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Index, Integer, MetaData, Table, Text

metadata = MetaData()
Big = BigInteger().with_variant(Integer, "sqlite")


def _place() -> tuple[Column[int], Column[str], Column[str], Column[str], Column[str]]:
    """Where a row stands in the chain: its number in both tables together, and the hashes."""
    return (
        Column("number", Big, primary_key=True, autoincrement=False),
        Column("id", Text, nullable=False, unique=True),
        Column("time", Text, nullable=False, index=True),
        Column("previous", Text, nullable=False),
        Column("hash", Text, nullable=False),
    )


CASES = Table(
    "cases",
    metadata,
    *_place(),
    Column("user", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("model_sha256", Text, nullable=False),
    Column("image_sha256", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("predicted", Text),
    Column("probability", Double),
    Column("probabilities", Text, nullable=False),
    Column("quality", Text, nullable=False),
    Column("ood_score", Double),
)

FEEDBACK = Table(
    "feedback",
    metadata,
    *_place(),
    Column("user", Text, nullable=False),
    Column("case_id", Text, ForeignKey("cases.id"), nullable=False, index=True),
    Column("reading", Text, nullable=False),
    Column("comment", Text, nullable=False),
)

# One row: the number and hash of the newest entry. Writers take turns on it.
HEAD = Table(
    "head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Big, nullable=False),
    Column("hash", Text, nullable=False),
)

KEYS = Table(
    "keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("created", Text, nullable=False),
    Column("revoked", Text),
)
Index(
    "one_valid_key_a_name",
    KEYS.c.name,
    unique=True,
    sqlite_where=KEYS.c.revoked.is_(None),
    postgresql_where=KEYS.c.revoked.is_(None),
)

SETTINGS = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
