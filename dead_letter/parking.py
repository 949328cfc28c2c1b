"""Parked keys: records whose event died, and whose later events wait in the dead letters behind it.

A row is written before the letter, so a restart does not forget it. ``last`` is the newest letter that was diverted:
closing names the last letter replayed, and takes effect only if that is still the newest.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Boolean, Column, Engine, Float, MetaData, String, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from topics.store import create_tables, reading

METADATA = MetaData()
PARKED = Table(
    "parked_keys",
    METADATA,
    Column("connection", String(63), primary_key=True),
    Column("record_key", String(1_300), primary_key=True),
    Column("first", String(64), nullable=False),
    Column("last", String(64), nullable=False),
    Column("barred", Boolean, nullable=False),
    Column("since", Float(53), nullable=False),
)


@dataclass(frozen=True, slots=True)
class Parked:
    """``record_key``: ``<object>/<key>``. ``first``: the letter that parked it. ``barred``: a replay died again.

    While barred, the replayed events behind the one that died are diverted as well, until their replay is closed.
    """

    connection: str
    record_key: str
    first: str
    last: str
    barred: bool
    since: float


class Parking:
    """Synchronous and thread-safe. Raises ``topics.errors.StoreUnavailable``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ready = False

    def parked(self, connection: str | None = None) -> list[Parked]:
        """The parked keys, the oldest first."""
        self._prepare()
        query = select(PARKED).order_by(PARKED.c.since)
        if connection is not None:
            query = query.where(PARKED.c.connection == connection)
        with reading(self._engine) as transaction:
            return [Parked(**row._mapping) for row in transaction.execute(query)]  # noqa: SLF001 - SQLAlchemy's public API

    def park(self, connection: str, record_key: str, letter: str, *, barred: bool, now: float) -> str:
        """An event of this key goes to the dead letters as ``letter``; returns the letter that parked the key."""
        self._prepare()
        row = {"connection": connection, "record_key": record_key, "first": letter, "last": letter}
        try:
            with self._engine.begin() as transaction:
                transaction.execute(insert(PARKED).values(**row, barred=barred, since=now))
        except IntegrityError:
            return self._divert(connection, record_key, letter, barred=barred)
        return letter

    def close(self, connection: str, record_key: str, letter: str) -> bool:
        """The replay up to ``letter`` is through; True when nothing was diverted since and the key is free."""
        self._prepare()
        mine = (PARKED.c.connection == connection) & (PARKED.c.record_key == record_key)
        with self._engine.begin() as transaction:
            freed = transaction.execute(delete(PARKED).where(mine, PARKED.c.last == letter)).rowcount == 1
            if not freed:
                transaction.execute(update(PARKED).where(mine).values(barred=False))
        return freed

    def _divert(self, connection: str, record_key: str, letter: str, *, barred: bool) -> str:
        mine = (PARKED.c.connection == connection) & (PARKED.c.record_key == record_key)
        values = {"last": letter, **({"barred": True} if barred else {})}
        changing = update(PARKED).where(mine).values(**values).returning(PARKED.c.first)
        with self._engine.begin() as transaction:
            first: str | None = transaction.scalar(changing)
        return first or letter

    def _prepare(self) -> None:
        if not self._ready:
            create_tables(self._engine, METADATA)
            self._ready = True
