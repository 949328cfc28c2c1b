"""Alerts: how each stands, and what it has told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("looked", sa.Float(53)),
        sa.Column("error", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "alert_told",
        sa.Column("alert", sa.String(63), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("since", sa.Float(53), nullable=False),
        sa.Column("told_at", sa.Float(53), nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        if_not_exists=True,
    )
