"""Where the first letter lies of each connection that this store does not know."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "dead_letter_strangers",
        sa.Column("connection", sa.String(63), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("first_offset", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
