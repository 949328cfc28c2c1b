"""What the workers say of the connections they have, and that they live: for everybody who is not that worker.

A worker writes a row for each connection whose events it has, when that changes, and a sign of life every few seconds.
Both are the worker's own rows, so no two write the same. How long ago a sign of life was is reckoned by the
database's clock alone: the clocks of two machines need not agree. The whole story is on ``writeback.results``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, Float, Integer, String, Table, Text, delete, func, insert, select
from sqlalchemy import Connection as Transaction

from connectors.connections.standing import LiveWorker, Sighting, Standing
from connectors.connections.table import METADATA

KEPT_SECONDS = 86_400.0
"""How long a worker that died without a word is remembered, for "was last heard of"."""

WORKERS = Table(
    "workers",
    METADATA,
    Column("id", String(63), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("owned", Integer, nullable=False),
    Column("beat", DateTime(timezone=True), nullable=False),
)
STATES = Table(
    "connection_states",
    METADATA,
    Column("worker", String(63), primary_key=True),
    Column("connection", String(63), primary_key=True),  # the slug
    Column("state", String(15), nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Float(53), nullable=False),
    Column("until", Float(53)),
)


def beat(transaction: Transaction, worker: str, name: str, owned: int) -> None:
    """It lives, and owns so many partitions."""
    transaction.execute(delete(WORKERS).where(WORKERS.c.id == worker))
    transaction.execute(insert(WORKERS).values(id=worker, name=name, owned=owned, beat=func.current_timestamp()))


def write(transaction: Transaction, worker: str, standings: Iterable[Standing], gone: Iterable[str]) -> None:
    """How it sees these connections now; ``gone``: it has these no longer, by slug."""
    rows = [
        {
            "worker": worker,
            "connection": standing.connection,
            "state": standing.state,
            "reason": standing.reason,
            "since": standing.since or 0.0,
            "until": standing.until,
        }
        for standing in standings
    ]
    old = [*gone, *(str(row["connection"]) for row in rows)]
    if old:
        mine = (STATES.c.worker == worker) & STATES.c.connection.in_(old)
        transaction.execute(delete(STATES).where(mine))
    if rows:
        transaction.execute(insert(STATES), rows)


def leave(transaction: Transaction, worker: str) -> None:
    """It has ended; with it go those that died long ago without saying so."""
    for one in [worker, *(dead.id for dead in workers(transaction) if dead.silent > KEPT_SECONDS)]:
        transaction.execute(delete(STATES).where(STATES.c.worker == one))
        transaction.execute(delete(WORKERS).where(WORKERS.c.id == one))


def workers(transaction: Transaction) -> list[LiveWorker]:
    rows = transaction.execute(select(WORKERS, func.current_timestamp().label("now")).order_by(WORKERS.c.name)).all()
    return [LiveWorker(row.id, row.name, row.owned, (_utc(row.now) - _utc(row.beat)).total_seconds()) for row in rows]


def read(transaction: Transaction) -> list[Sighting]:
    rows = transaction.execute(select(STATES))
    return [
        Sighting(row.worker, Standing(row.connection, row.state, row.reason, row.since or None, row.until))
        for row in rows
    ]


def forget(transaction: Transaction, slug: str) -> None:
    transaction.execute(delete(STATES).where(STATES.c.connection == slug))


def _utc(at: datetime) -> datetime:
    """SQLite keeps no time zone; its clock is UTC's."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)
