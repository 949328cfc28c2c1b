"""The refresher's tables: who may run a connection's refresh now, and the runs there were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "refresh_leases",
        sa.Column("connection", sa.String(63), primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("pulse", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(255), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "refresh_runs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("connection", sa.String(63), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(15), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("asked_by", sa.JSON, nullable=False),
        sa.Column("objects", sa.JSON),
        sa.Column("is_full", sa.Boolean, nullable=False),
        sa.Column("pending_writes", sa.Integer, nullable=False),
        sa.Column("rows", sa.JSON, nullable=False),
        sa.Column("started", sa.Float(53), nullable=False),
        sa.Column("ended", sa.Float(53)),
        sa.Column("error", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("refresh_runs_connection", "refresh_runs", ["connection", "started"], if_not_exists=True)
    op.create_index("refresh_runs_started", "refresh_runs", ["started"], if_not_exists=True)
