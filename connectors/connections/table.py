"""The table of connections, and the row of it that the rest of the program sees."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from sqlalchemy import JSON, Column, Integer, MetaData, String, Table
from sqlalchemy.engine import Row

State = Literal["active", "paused", "quarantined"]

METADATA = MetaData()
CONNECTIONS = Table(
    "connections",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("slug", String(63), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("folded_name", String(255), nullable=False, unique=True),
    Column("connector", String(63), nullable=False),
    Column("version", String(31), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("limits", JSON, nullable=False),
    Column("policy", JSON, nullable=False),
    Column("partitions", Integer, nullable=False),
    Column("state", String(15), nullable=False),
    Column("state_reason", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("secrets", JSON, nullable=False),
    sqlite_autoincrement=True,  # an id is never used again: pq.refresh_connection(connection_id=...) names one
)
# One counter for the whole store: a connection that is removed and made again under its old slug has another revision.
REVISION = Table("connections_revision", METADATA, Column("id", Integer, primary_key=True), Column("n", Integer))


@dataclass(frozen=True, slots=True)
class Connection:
    """One SaaS account. ``slug`` names its topic and never changes; ``name`` is a label.

    ``version``: the manifest's version it was made with. ``limits``: rate, per_seconds, concurrency, daily.
    ``policy``: on_unknown {"add": "retry"}, on_dead, coalesce. ``revision`` grows with every change. Secrets
    are not here: ``Connections.secrets`` hands them out.
    """

    id: int
    slug: str
    name: str
    connector: str
    version: str
    settings: dict[str, Any]
    limits: dict[str, Any]
    policy: dict[str, Any]
    partitions: int
    state: State
    state_reason: str
    revision: int


COLUMNS = [CONNECTIONS.c[field.name] for field in fields(Connection)]


def connection_of(row: Row[Any]) -> Connection:
    return Connection(**{field.name: getattr(row, field.name) for field in fields(Connection)})
