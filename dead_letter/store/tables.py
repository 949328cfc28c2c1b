"""The tables of the letter store. What a letter says is written once; what operators do to it is beside it.

The columns that can be filtered are cut and cleaned copies (PostgreSQL takes no NUL in text and no index entry over
2.7 kB); ``story`` and the bytes are the letter itself.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()

_SERIAL = BigInteger().with_variant(Integer, "sqlite")

LETTERS = Table(
    "dead_letters",
    METADATA,
    Column("row", _SERIAL, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("letter_partition", Integer),
    Column("letter_offset", BigInteger),
    Column("letter_timestamp_ms", BigInteger),
    Column("connection", String(255), nullable=False),
    Column("object", String(255)),
    Column("operation", String(255)),
    Column("event_id", String(256)),
    Column("event_key", String(1_024)),
    Column("record_hash", String(64)),
    Column("verdict", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("status", BigInteger),
    Column("fingerprint", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("time", Float(53), nullable=False),
    Column("replay_of", String(64)),
    Column("topic", String(255), nullable=False),
    Column("partition", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("story", JSON(none_as_null=True), nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", JSON(none_as_null=True), nullable=False),
    Column("state", String(16), nullable=False),
    Column("edited", JSON(none_as_null=True)),
    Column("replays", Integer, nullable=False),
    Column("copying", JSON(none_as_null=True)),
    Column("claimed_by", BigInteger),
    UniqueConstraint("letter_partition", "letter_offset", "letter_timestamp_ms", name="dead_letters_position"),
    Index("dead_letters_state", "state", "connection"),
    Index("dead_letters_fingerprint", "fingerprint"),
    Index("dead_letters_time", "time"),
    Index("dead_letters_record", "record_hash"),
    Index("dead_letters_origin", "topic", "partition", "offset"),
)
"""``letter_*``: where the letter lies in ``writeback.dead-letter``; ``topic`` ... ``timestamp_ms``: where its event
lay. ``record_hash``: of connection, object and key, None without a key. ``copying``: a replay was begun and not yet
marked as done. ``claimed_by``: the epoch of the replay that has it, as long as that has a row below."""

REPLAYS = Table(
    "dead_letter_replays",
    METADATA,
    Column("epoch", _SERIAL, primary_key=True, autoincrement=True),
    Column("who", String(255), nullable=False),
    Column("host", String(255), nullable=False),
    Column("process", BigInteger, nullable=False),
    Column("started", Float(53), nullable=False),
    Column("expires", Float(53), nullable=False),
    sqlite_autoincrement=True,  # an epoch is never used again
)
"""The replays that run now; times by the database's clock."""

ACTIONS = Table(
    "dead_letter_actions",
    METADATA,
    Column("row", _SERIAL, primary_key=True, autoincrement=True),
    Column("letter", String(64), nullable=False, index=True),
    Column("time", Float(53), nullable=False),
    Column("who", String(255), nullable=False),
    Column("what", String(16), nullable=False),
    Column("detail", JSON(none_as_null=True), nullable=False),
)
"""The audit trail: rows are added and never changed."""

MARKS = Table(
    "dead_letter_marks",
    METADATA,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
)
"""Up to where each partition of ``writeback.dead-letter`` is in the store, without a gap."""

STRANGERS = Table(
    "dead_letter_strangers",
    METADATA,
    Column("connection", String(63), primary_key=True),  # the slug
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("first_offset", BigInteger, nullable=False),
)
"""Where in ``writeback.dead-letter`` the first letter of a connection lies that this store did not take."""
