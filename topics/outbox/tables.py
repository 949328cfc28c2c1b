"""The tables that the outbox needs in the warehouse, beside the user's own.

On PostgreSQL they stand in a schema of their own, ``writeback``; on SQLite their names begin with ``writeback_``. The
outbox has the columns that Debezium's outbox event router reads (id, aggregatetype, aggregateid, type, payload,
timestamp), so that Debezium can take the relay's place: ``docs/how-to/debezium.md``.
https://debezium.io/documentation/reference/stable/transformations/outbox-event-router.html
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Engine,
    Identity,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    false,
    func,
    inspect,
    text,
)

SCHEMA = "writeback"


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one kind of database.

    ``outbox``: events to be published, in the order of ``position``. ``rejected``: rows that cannot be sent, with the
    reason. ``triggers``: the definitions. ``relay``: one row, what a relay has begun (``topics/outbox/relaying.py``).
    ``sent`` and ``loaded``: what was sent last, and what was loaded since (``topics/outbox/sent.py``). ``loading``:
    only in SQLite; while it has a row, our triggers send nothing.
    """

    metadata: MetaData
    outbox: Table
    rejected: Table
    triggers: Table
    relay: Table
    sent: Table
    loaded: Table
    loading: Table | None


def tables(engine: Engine) -> Tables:
    return _tables(engine.dialect.name)


def make(connection: Connection) -> None:
    """Make what is missing: tables, and the columns that a later release has added."""
    known = _tables(connection.dialect.name)
    known.metadata.create_all(connection)
    upgrade(connection)


def upgrade(connection: Connection) -> None:
    """Bring tables of an older release up to date. Rejected rows without a key are marked as ``by_trigger``."""
    known = _tables(connection.dialect.name)
    rejected = known.rejected
    for added in (known.sent, known.loaded):
        added.create(connection, checkfirst=True)
    remembered = inspect(connection).get_columns(known.sent.name, schema=known.sent.schema)
    if all(column["name"] != known.sent.c.hashes.name for column in remembered):  # in another form: known no more
        known.sent.drop(connection)
        known.sent.create(connection)
    columns = inspect(connection).get_columns(rejected.name, schema=rejected.schema)
    if any(column["name"] == rejected.c.by_trigger.name for column in columns):
        return
    table, false_ = rejected.fullname, "false" if connection.dialect.name == "postgresql" else "0"
    connection.execute(text(f"ALTER TABLE {table} ADD COLUMN by_trigger BOOLEAN NOT NULL DEFAULT {false_}"))
    connection.execute(rejected.update().where(rejected.c.aggregateid.endswith("/")).values(by_trigger=True))


def exist(engine: Engine) -> bool:
    known = tables(engine)
    return bool(inspect(engine).has_table(known.outbox.name, schema=known.outbox.schema))


@cache
def _tables(dialect: str) -> Tables:
    postgres = dialect == "postgresql"
    metadata = MetaData(schema=SCHEMA if postgres else None)
    prefix = "" if postgres else f"{SCHEMA}_"
    position = BigInteger().with_variant(Integer(), "sqlite")
    payload = Text().with_variant(JSON(), "postgresql")
    time = Text().with_variant(DateTime(timezone=True), "postgresql")
    identifier = Text().with_variant(Uuid(), "postgresql")

    def event_columns() -> list[Column[object]]:
        return [
            Column("id", identifier, nullable=False),
            Column("aggregatetype", Text, nullable=False),  # the connection's slug: the topic
            Column("aggregateid", Text, nullable=False),  # object/key: the record's key
            Column("type", Text, nullable=False),  # the CloudEvents type: writeback.update
            Column("payload", payload, nullable=False),
            Column("timestamp", time, nullable=False),
            Column("subject", Text, nullable=False),  # the CloudEvents subject: connection/object/key
            Column("trigger_name", Text, nullable=False),
            Column("backfill", Boolean, nullable=False, server_default=false()),
        ]

    outbox = Table(
        f"{prefix}outbox",
        metadata,
        Column("position", position, Identity(always=True), primary_key=True),
        *event_columns(),
        Column("refused", Text),  # why it cannot be an event: NaN, no key; the relay sets it aside
        sqlite_autoincrement=True,
    )
    rejected = Table(
        f"{prefix}outbox_rejected",
        metadata,
        Column("position", position, Identity(always=True), primary_key=True),
        *event_columns(),
        Column("refused", Text, nullable=False),
        Column("rejected_at", time, nullable=False, server_default=func.now()),
        Column(
            "by_trigger", Boolean, nullable=False, server_default=false()
        ),  # refused by its trigger: a retry cannot help
        sqlite_autoincrement=True,
    )
    triggers = Table(
        f"{prefix}triggers",
        metadata,
        Column("name", Text, primary_key=True),
        Column("definition", payload, nullable=False),
        Column("paused", Boolean, nullable=False, server_default=false()),
        Column("backfilled", payload),  # the last key of the backfill under way, as JSON; None: there is none
        Column("created_at", time, nullable=False, server_default=func.now()),
    )
    relay = Table(
        f"{prefix}relay",
        metadata,
        Column("one", Integer, primary_key=True, autoincrement=False),
        Column("open", Boolean, nullable=False),
        Column("ends", payload, nullable=False),  # "topic[partition]" → end offset when it began
    )
    sent = Table(
        f"{prefix}sent",
        metadata,
        Column("aggregatetype", Text, primary_key=True),
        Column("aggregateid", Text, primary_key=True),
        Column("hashes", Text, nullable=False),  # field → day and hash, as JSON
        Column("day", Integer, nullable=False),
        # half of each page is for the rows' next versions: no update then touches the index, and the table stays small
        postgresql_with={"fillfactor": 50},
    )
    loaded = Table(
        f"{prefix}loaded",
        metadata,
        Column("position", position, Identity(always=True), primary_key=True),
        Column("aggregatetype", Text, nullable=False),
        Column("object", Text, nullable=False),
        sqlite_autoincrement=True,
    )
    loading = None if postgres else Table(f"{prefix}loading", metadata, Column("since", Text, nullable=False))
    return Tables(metadata, outbox, rejected, triggers, relay, sent, loaded, loading)
