"""API keys: shown once, kept only as a hash, in the database of the case log."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from overread.errors import ConfigError, did_you_mean
from overread.serve.case_log.database import Database
from overread.serve.case_log.records import plain
from overread.serve.case_log.tables import KEYS, SETTINGS

PREFIX = "overread_"  # so that programs that search files for secrets recognise one
MOST_NAME = 100


@dataclass(frozen=True)
class Key:
    """A key as it is kept: `hash` is the SHA-256 of the key, `revoked` None while it is valid.

    No slow hash is needed: a key is 256 random bits, which nobody finds by trying.
    """

    name: str
    hash: str
    created: str
    revoked: str | None

    def to_dict(self) -> dict[str, Any]:
        """What may be shown: everything but the hash."""
        return {"name": self.name, "created": self.created, "revoked": self.revoked}


class Keys:
    """The keys in `database`. A name has at most one valid key; a revoked one may be renewed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str) -> str:
        """A new key for `name`: the only time it is seen. ConfigError where the name has one."""
        name = name.strip()
        if not 0 < len(name) <= MOST_NAME or not name.isprintable():
            raise ConfigError(
                f"'{name[:MOST_NAME]!a}' is not a valid name for a key",
                hint=f"Use 1 to {MOST_NAME} visible characters.",
            )
        key = PREFIX + secrets.token_urlsafe(32)
        row = {"name": name, "hash": hash_of(key), "created": _now()}
        try:
            with self._database.writing() as connection:
                connection.execute(insert(KEYS).values(row))
        except IntegrityError:
            raise ConfigError(
                f"'{name}' has a key already", hint="Revoke it first, or choose another name."
            ) from None
        return key

    def list(self) -> tuple[Key, ...]:
        """Every key, also the revoked, in the order in which they were made."""
        columns = (KEYS.c.name, KEYS.c.hash, KEYS.c.created, KEYS.c.revoked)
        with self._database.reading() as connection:
            return tuple(
                Key(*row) for row in connection.execute(select(*columns).order_by(KEYS.c.id))
            )

    def revoke(self, name: str) -> None:
        """End the key of `name`; ConfigError where it has no valid one."""
        name = plain(name.strip())
        valid = KEYS.c.revoked.is_(None)
        with self._database.writing() as connection:
            change = update(KEYS).where(KEYS.c.name == name, valid).values(revoked=_now())
            if connection.execute(change).rowcount:
                return
            known = connection.execute(select(KEYS.c.name).where(valid)).scalars().all()
        hint = did_you_mean(name, known) if known else "There is no valid key."
        raise ConfigError(f"'{name[:MOST_NAME]}' has no valid key", hint=hint)

    def salt(self) -> bytes:
        """The salt of the pseudonyms, drawn when the database was made."""
        with self._database.reading() as connection:
            value = connection.execute(select(SETTINGS.c.value).where(SETTINGS.c.name == "salt"))
            return bytes.fromhex(value.scalar_one())


def hash_of(key: str) -> str:
    """SHA-256 of a key, 64 hexadecimal digits."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def owner(keys: Iterable[Key], given: str) -> str | None:
    """The name that the valid key `given` belongs to; how long it takes tells nothing."""
    wanted = hash_of(given)
    names = [k.name for k in keys if hmac.compare_digest(k.hash, wanted) and k.revoked is None]
    return names[0] if names else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
