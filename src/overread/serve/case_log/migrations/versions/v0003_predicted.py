"""What a model says of an image is called `predicted`; `label` is the truth, everywhere."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Rename the column. The hashes of what is there stay: see `chain.HASHED_AS`."""
    op.execute("ALTER TABLE cases RENAME COLUMN label TO predicted")
