"""Alerts: rows that follow in the thread of a message, once it is delivered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "alert_threads",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("alert", sa.String(63), nullable=False),
        sa.Column("connection", sa.String(63), nullable=False),
        sa.Column("object", sa.String(255), nullable=False),
        sa.Column("operation", sa.String(15), nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("texts", sa.JSON, nullable=False),
        sa.Column("after", sa.JSON, nullable=False),
        sa.Column("told_at", sa.Float(53), nullable=False),
        if_not_exists=True,
    )
