"""Which replay has a letter, and which parked key has a closing record under way: neither is sent twice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "dead_letter_replays",
        sa.Column("epoch", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("process", sa.BigInteger, nullable=False),
        sa.Column("started", sa.Float(53), nullable=False),
        sa.Column("expires", sa.Float(53), nullable=False),
        sqlite_autoincrement=True,
    )
    op.add_column("dead_letters", sa.Column("claimed_by", sa.BigInteger))
    op.add_column("parked_keys", sa.Column("closing", sa.String(64)))
