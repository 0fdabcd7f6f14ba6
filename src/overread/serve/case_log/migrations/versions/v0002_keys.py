"""API keys, and the salt of the pseudonyms."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables, and draw the salt once for the life of the database."""
    op.create_table(
        "keys",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("revoked", sa.Text),
    )
    valid = sa.text("revoked IS NULL")
    op.create_index(
        "one_valid_key_a_name",
        "keys",
        ["name"],
        unique=True,
        sqlite_where=valid,
        postgresql_where=valid,
    )
    settings = op.create_table(
        "settings",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.bulk_insert(settings, [{"name": "salt", "value": secrets.token_hex(32)}])
