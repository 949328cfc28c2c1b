"""The tables as they were before there were migrations: what a store of that time has already, stays as it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _connections()
    _dead_letters()
    _parked_keys()


def _connections() -> None:
    op.create_table(
        "connections",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slug", sa.String(63), nullable=False, unique=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("folded_name", sa.String(255), nullable=False, unique=True),
        sa.Column("connector", sa.String(63), nullable=False),
        sa.Column("version", sa.String(31), nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("limits", sa.JSON, nullable=False),
        sa.Column("policy", sa.JSON, nullable=False),
        sa.Column("partitions", sa.Integer, nullable=False),
        sa.Column("state", sa.String(15), nullable=False),
        sa.Column("state_reason", sa.String, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("secrets", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_table(
        "connections_revision",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.Integer),
        if_not_exists=True,
    )
    op.execute(
        "INSERT INTO connections_revision (id, n) SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM connections_revision)"
    )
    op.create_table(
        "connections_seen",
        sa.Column("connection", sa.String(63), primary_key=True),
        sa.Column("state", sa.String(15), nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("time", sa.Float, nullable=False),
        if_not_exists=True,
    )


def _dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("row", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("letter_partition", sa.Integer),
        sa.Column("letter_offset", sa.BigInteger),
        sa.Column("letter_timestamp_ms", sa.BigInteger),
        sa.Column("connection", sa.String(255), nullable=False),
        sa.Column("object", sa.String(255)),
        sa.Column("operation", sa.String(255)),
        sa.Column("event_id", sa.String(256)),
        sa.Column("event_key", sa.String(1_024)),
        sa.Column("record_hash", sa.String(64)),
        sa.Column("verdict", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("status", sa.BigInteger),
        sa.Column("fingerprint", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("time", sa.Float(53), nullable=False),
        sa.Column("replay_of", sa.String(64)),
        sa.Column("topic", sa.String(255), nullable=False),
        sa.Column("partition", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger, nullable=False),
        sa.Column("story", sa.JSON, nullable=False),
        sa.Column("key", sa.LargeBinary),
        sa.Column("value", sa.LargeBinary),
        sa.Column("headers", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("edited", sa.JSON),
        sa.Column("replays", sa.Integer, nullable=False),
        sa.Column("copying", sa.JSON),
        sa.UniqueConstraint("letter_partition", "letter_offset", "letter_timestamp_ms", name="dead_letters_position"),
        if_not_exists=True,
    )
    for name, columns in (
        ("dead_letters_state", ["state", "connection"]),
        ("dead_letters_fingerprint", ["fingerprint"]),
        ("dead_letters_time", ["time"]),
        ("dead_letters_record", ["record_hash"]),
        ("dead_letters_origin", ["topic", "partition", "offset"]),
    ):
        op.create_index(name, "dead_letters", columns, if_not_exists=True)
    op.create_table(
        "dead_letter_actions",
        sa.Column("row", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("letter", sa.String(64), nullable=False),
        sa.Column("time", sa.Float(53), nullable=False),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_dead_letter_actions_letter", "dead_letter_actions", ["letter"], if_not_exists=True)
    op.create_table(
        "dead_letter_marks",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )


def _parked_keys() -> None:
    op.create_table(
        "parked_keys",
        sa.Column("key_hash", sa.String(64), primary_key=True),
        sa.Column("connection", sa.String(63), nullable=False),
        sa.Column("record_key", sa.Text, nullable=False),
        sa.Column("first", sa.String(64), nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("last", sa.String(64), nullable=False),
        sa.Column("barred", sa.Boolean, nullable=False),
        sa.Column("since", sa.Float(53), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_parked_keys_connection", "parked_keys", ["connection"], if_not_exists=True)
