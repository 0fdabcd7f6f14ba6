"""Cases, feedback and the head of the chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _place() -> tuple[
    sa.Column[int], sa.Column[str], sa.Column[str], sa.Column[str], sa.Column[str]
]:
    return (
        sa.Column("number", BIG, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("time", sa.Text, nullable=False, index=True),
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )


def upgrade() -> None:
    """Make the tables; the head stands before the first entry."""
    op.create_table(
        "cases",
        *_place(),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("model_sha256", sa.Text, nullable=False),
        sa.Column("image_sha256", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("probability", sa.Double),
        sa.Column("probabilities", sa.Text, nullable=False),
        sa.Column("quality", sa.Text, nullable=False),
        sa.Column("ood_score", sa.Double),
    )
    op.create_table(
        "feedback",
        *_place(),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("case_id", sa.Text, sa.ForeignKey("cases.id"), nullable=False, index=True),
        sa.Column("reading", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
    )
    head = op.create_table(
        "head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", BIG, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "number": 0, "hash": "0" * 64}])
