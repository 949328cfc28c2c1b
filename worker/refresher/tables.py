"""The refresher's tables in the store: the leases of connections, and the history of runs."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()

LEASES = Table(
    "refresh_leases",
    METADATA,
    Column("connection", String(63), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("pulse", BigInteger, nullable=False),
    Column("holder", String(255), nullable=False),
)
"""``epoch`` grows with every new holder, ``pulse`` with every heartbeat. Without a ``holder`` the lease is free."""

RUNS = Table(
    "refresh_runs",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("connection", String(63), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("state", String(15), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("asked_by", JSON, nullable=False),
    Column("objects", JSON(none_as_null=True)),
    Column("is_full", Boolean, nullable=False),
    Column("pending_writes", Integer, nullable=False),
    Column("rows", JSON, nullable=False),
    Column("started", Float(53), nullable=False),
    Column("ended", Float(53)),
    Column("error", Text, nullable=False),
    Index("refresh_runs_connection", "connection", "started"),
    Index("refresh_runs_started", "started"),
)
