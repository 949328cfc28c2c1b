"""How the workers last saw each connection: for listings. The whole story is on ``writeback.results``."""

from __future__ import annotations

from sqlalchemy import Column, Float, String, Table, delete, insert, select
from sqlalchemy import Connection as Transaction

from connectors.connections.table import METADATA
from topics.event.result import StateChange

SIGHTINGS = Table(
    "connections_seen",
    METADATA,
    Column("connection", String(63), primary_key=True),  # the slug
    Column("state", String(15), nullable=False),
    Column("reason", String, nullable=False),
    Column("time", Float, nullable=False),
)


def write(transaction: Transaction, change: StateChange) -> None:
    """The newest stays, in whatever order they are written. Raises ``IntegrityError`` for an older one."""
    older = (SIGHTINGS.c.connection == change.connection) & (SIGHTINGS.c.time <= change.time)
    transaction.execute(delete(SIGHTINGS).where(older))
    transaction.execute(
        insert(SIGHTINGS).values(
            connection=change.connection, state=change.state, reason=change.reason, time=change.time
        )
    )


def read(transaction: Transaction) -> dict[str, StateChange]:
    """By slug."""
    rows = transaction.execute(select(SIGHTINGS))
    return {row.connection: StateChange(row.connection, row.state, row.reason, row.time) for row in rows}


def forget(transaction: Transaction, slug: str) -> None:
    transaction.execute(delete(SIGHTINGS).where(SIGHTINGS.c.connection == slug))
