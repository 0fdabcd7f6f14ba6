"""Connections to the database of the case log: SQLite or PostgreSQL, opened so that a transaction
that has returned is on the disk."""

from __future__ import annotations

import importlib.util
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from overread.errors import CaseLogError, ConfigError
from overread.extras import install_hint

FORMS = "Use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."
WAIT_S = 15  # for another writer's transaction, which lasts milliseconds
POSTGRES = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "options": f"-c synchronous_commit=on -c lock_timeout={WAIT_S}s "
    "-c idle_in_transaction_session_timeout=60s",
}


class Database:
    """Where a case log is kept. Transactions are blocks: `with database.writing() as connection`.

    Both kinds of block raise CaseLogError when the database cannot be reached or fails; each tries
    anew, so it works again as soon as the database is back.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name = engine.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A block that sees one state of the database, whatever is written meanwhile."""
        postgres = self.engine.dialect.name == "postgresql"
        options = {"isolation_level": "REPEATABLE READ"} if postgres else {}
        with self._transaction(**options) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A block whose changes are all on the disk when it ends, or not at all if it fails."""
        with self._transaction(overread_write=True) as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def _transaction(self, **options: Any) -> Iterator[Connection]:
        try:
            with self.engine.connect() as connection:
                connection = connection.execution_options(**options)
                with connection.begin():
                    yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
            raise CaseLogError(
                f"the case log cannot be used ({reason})",
                where=self.name,
                hint="Check that the database is there, running, and has space.",
            ) from error


def database_url(given: str | None = None) -> str:
    """The address `given`, or that of the case log of one person's own computer."""
    home = Path(os.environ.get("OVERREAD_HOME") or Path.home() / ".overread")
    return given or f"sqlite:///{home / 'cases.sqlite'}"


def open_database(url: str, *, create: bool = True) -> Database:
    """Connect to `url`; a plain path is a SQLite file, made (mode 0600) if `create`."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "postgresql":
        return Database(_postgres(parsed))
    path = Path(parsed.database or "")
    if create:
        _make_private(path)
    elif not path.is_file():
        raise CaseLogError("does not exist", where=path, hint="Name it with --database.")
    return Database(_sqlite(path.absolute()))


def _parse(url: str) -> URL:
    if "://" not in url:
        return URL.create("sqlite", database=url)
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError(
            "is not a valid database address", where="--database", hint=FORMS
        ) from None
    kind = {"postgres": "postgresql"}.get(parsed.get_backend_name(), parsed.get_backend_name())
    if kind not in ("sqlite", "postgresql"):
        raise ConfigError(f"'{kind}' is not supported", where="--database", hint=FORMS)
    if kind == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigError("does not name a file", where="--database", hint=FORMS)
    return parsed.set(drivername={"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[kind])


def _postgres(url: URL) -> Engine:
    if importlib.util.find_spec("psycopg") is None:
        raise ConfigError(
            "PostgreSQL needs the driver psycopg",
            where="--database",
            hint=install_hint("psycopg"),
        )
    arguments = {name: value for name, value in POSTGRES.items() if name not in url.query}
    return create_engine(
        url, pool_pre_ping=True, isolation_level="READ COMMITTED", connect_args=arguments
    )


def _make_private(path: Path) -> None:
    """An empty file that nobody else may read; an existing log is left as it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists() or path.stat().st_size == 0:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    except OSError as error:
        raise CaseLogError(
            f"cannot be made ({error.strerror or error})",
            where=path,
            hint="Name another place with --database.",
        ) from error


def _sqlite(path: Path) -> Engine:
    # mode=rw: a file that was moved away is an error, not silently begun anew.
    name = f"file:{_quoted(path)}?mode=rw"
    engine = create_engine(
        URL.create("sqlite", database=name, query={"uri": "true"}),
        connect_args={"timeout": WAIT_S},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}").close()
        entry.info["file"] = _identity(path)

    @event.listens_for(engine, "checkout")
    def same_file(connection: Any, entry: ConnectionPoolEntry, proxy: Any) -> None:
        # An open connection would go on writing into a deleted file without a word.
        if _identity(path) != entry.info["file"]:
            raise DisconnectionError("the file was replaced or deleted")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("overread_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(path.as_posix())


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
