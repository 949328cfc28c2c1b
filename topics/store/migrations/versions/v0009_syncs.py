"""Syncs: how far each is, its runs, its snapshot, and the events on their way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_COUNTS = ("read", "unchanged", "held", "added", "changed", "removed", "refused", "sent", "delivered")


def upgrade() -> None:
    op.create_table(
        "syncs",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("cursor", sa.JSON),
        sa.Column("due", sa.Float(53)),
        if_not_exists=True,
    )
    op.create_table(
        "sync_runs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("sync", sa.String(63), nullable=False),
        sa.Column("connection", sa.String(63), nullable=False),
        sa.Column("mode", sa.String(15), nullable=False),
        sa.Column("state", sa.String(15), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("asked_by", sa.String(255), nullable=False),
        sa.Column("started", sa.Float(53), nullable=False),
        sa.Column("ended", sa.Float(53)),
        *[sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS],
        sa.Column("open", sa.Boolean, nullable=False),
        sa.Column("journal", sa.LargeBinary),
        sa.Column("ends", sa.JSON, nullable=False),
        sa.Column("after", sa.JSON),
        sa.Column("error", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("sync_runs_sync", "sync_runs", ["sync", "started"], if_not_exists=True)
    op.create_table(
        "sync_blocks",
        sa.Column("sync", sa.String(63), primary_key=True),
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("last", sa.JSON, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("digest", sa.LargeBinary),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "sync_events",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("sync", sa.String(63), nullable=False),
        sa.Column("run", sa.String(36), nullable=False),
        sa.Column("key_hash", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(15), nullable=False),
        sa.Column("state", sa.String(15), nullable=False),
        sa.Column("letter", sa.String(64)),
        sa.Column("row", sa.Text),
        if_not_exists=True,
    )
    op.create_index("sync_events_run", "sync_events", ["run", "state"], if_not_exists=True)
    op.create_index("sync_events_dead", "sync_events", ["sync", "state", "key_hash"], if_not_exists=True)
    op.create_table(
        "sync_marks",
        sa.Column("topic", sa.String(255), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
