"""Bringing a database to the version that this program writes."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection, text

from overread.errors import CaseLogError

FOLDER = Path(__file__).parent / "migrations"
_ALEMBIC = threading.Lock()  # its `op` and `context` are one for the whole process


def migrate(connection: Connection, revision: str = "head", *, create: bool = True) -> None:
    """Apply what is missing, within the transaction of `connection`.

    Several programs may open a new database at once: they take turns. Raises CaseLogError when the
    database was made by a newer version of this program or, unless `create`, contains no case log.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(7803046514)"))
    with _ALEMBIC:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        found = set(MigrationContext.configure(connection).get_current_heads())
        if not (found or create):
            raise CaseLogError(
                "contains no case log",
                where=connection.engine.url.render_as_string(hide_password=True),
                hint="Name another with --database.",
            )
        if found - known:
            raise CaseLogError(
                f"the case log has version {', '.join(sorted(found - known))}, "
                f"this program knows up to {max(known)}",
                hint="Install the newer overread that wrote it.",
            )
        command.upgrade(config, revision)
