"""The tables of syncs in the store: the state of each, its runs, its snapshot, and its events whose outcome is open."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

METADATA = MetaData()

SYNCS = Table(
    "syncs",
    METADATA,
    Column("name", String(63), primary_key=True),
    Column("paused", Boolean, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("cursor", JSON(none_as_null=True)),
    Column("due", Float(53)),
)
"""``epoch``: of the lease that may write. ``version`` grows whenever the snapshot changes; ``rows``: how many it has.
``due``: the last moment of the schedule that was run for."""

RUNS = Table(
    "sync_runs",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("sync", String(63), nullable=False),
    Column("connection", String(63), nullable=False),
    Column("mode", String(15), nullable=False),
    Column("state", String(15), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("asked_by", String(255), nullable=False),
    Column("started", Float(53), nullable=False),
    Column("ended", Float(53)),
    Column("read", BigInteger, nullable=False),
    Column("unchanged", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("added", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("removed", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("delivered", BigInteger, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("journal", LargeBinary),
    Column("ends", JSON, nullable=False),
    Column("after", JSON(none_as_null=True)),
    Column("error", Text, nullable=False),
    Index("sync_runs_sync", "sync", "started"),
)
"""``open``: a batch is being sent. ``journal``: that batch (lines of a plan); the log has its events, if any, from
``ends`` (partition: offset) on. ``after``: the last key that a run of mode full has sent."""

BLOCKS = Table(
    "sync_blocks",
    METADATA,
    Column("sync", String(63), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("last", JSON, nullable=False),
    Column("size", Integer, nullable=False),
    Column("digest", LargeBinary),
    Column("payload", LargeBinary, nullable=False),
)
"""The snapshot, about a thousand rows in a block, in the order of their keys, up to the key ``last``. ``digest``: of
the rows as the warehouse returned them; while it returns the same, the payload need not be read."""

SENT = Table(
    "sync_events",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("sync", String(63), nullable=False),
    Column("run", String(36), nullable=False),
    Column("key_hash", String(32), nullable=False),
    Column("kind", String(15), nullable=False),
    Column("state", String(15), nullable=False),
    Column("letter", String(64)),
    Column("row", Text),
    Index("sync_events_run", "run", "state"),
    Index("sync_events_dead", "sync", "state", "key_hash"),
)
"""Events that are about to be sent (``sending``), whose outcome is not known yet (``pending``), or that are dead
letters (``dead``); an event that was delivered is deleted here. ``row``: for removals, the row as it was."""

MARKS = Table(
    "sync_marks",
    METADATA,
    Column("topic", String(255), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
)
"""The offset up to which the outcomes of each partition of ``writeback.results`` are counted."""
