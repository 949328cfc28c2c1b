"""The access tokens that workers of one connection share, and whose turn it is to fetch the next."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "connection_tokens",
        sa.Column("connection", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("holder", sa.String(63), nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("ends_at", sa.Float(53), nullable=False),
        if_not_exists=True,
    )
