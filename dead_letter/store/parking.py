"""Parked keys: records whose event died, and whose later events wait in the dead letters behind it.

A row is written before the letter, so a restart does not forget it. ``last`` is the newest letter that was diverted:
closing names the last letter of a replay, and takes effect only if that is still the newest. ``closing`` is what the
record names that lies on the topic for this key, until something is diverted again: no second one is needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Engine,
    Float,
    MetaData,
    Row,
    String,
    Table,
    Text,
    delete,
    or_,
    select,
    update,
)

from topics.event.unpark import NO_LETTER
from topics.store import inserting, reading

METADATA = MetaData()
PARKED = Table(
    "parked_keys",
    METADATA,
    Column("key_hash", String(64), primary_key=True),  # PostgreSQL takes no index entry over 2.7 kB, and a key has 5
    Column("connection", String(63), nullable=False, index=True),
    Column("record_key", Text, nullable=False),
    Column("first", String(64), nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("last", String(64), nullable=False),
    Column("barred", Boolean, nullable=False),
    Column("since", Float(53), nullable=False),
    Column("closing", String(64)),
)
KEYS_AT_ONCE = 500


class Key(NamedTuple):
    """``record_key``: ``<object>/<key>``."""

    connection: str
    record_key: str

    @property
    def hash(self) -> str:
        return hashlib.sha256(f"{self.connection}/{self.record_key}".encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Parked:
    """``record_key``: ``<object>/<key>``. ``first``: the letter that parked it; ``offset``: its event's.

    What comes before that is not behind it, even when a crash has it read again. ``barred``: a replay died again.
    While barred, the replayed events behind the one that died are diverted as well, until their replay is closed.
    ``closing``: the letter that a closing record names, which the log has and no worker has read yet.
    """

    connection: str
    record_key: str
    first: str
    offset: int
    last: str
    barred: bool
    since: float
    closing: str | None = None

    @property
    def key(self) -> Key:
        return Key(self.connection, self.record_key)


_COLUMNS = [PARKED.c[name] for name in Parked.__dataclass_fields__]


class Parking:
    """Synchronous and thread-safe. Raises ``topics.errors.StoreUnavailable``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def parked(self, connection: str | None = None) -> list[Parked]:
        """The parked keys, the oldest first."""
        query = select(*_COLUMNS).order_by(PARKED.c.since, PARKED.c.key_hash)
        if connection is not None:
            query = query.where(PARKED.c.connection == connection)
        with reading(self._engine) as transaction:
            return [_parked(row) for row in transaction.execute(query)]

    def find(self, keys: Iterable[Key]) -> dict[Key, Parked]:
        """Those of these keys that are parked."""
        hashes = sorted({key.hash for key in keys})
        found: dict[Key, Parked] = {}
        with reading(self._engine) as transaction:
            for start in range(0, len(hashes), KEYS_AT_ONCE):
                query = select(*_COLUMNS).where(PARKED.c.key_hash.in_(hashes[start : start + KEYS_AT_ONCE]))
                rows = [_parked(row) for row in transaction.execute(query)]
                found.update((one.key, one) for one in rows)
        return found

    def park(
        self, connection: str, record_key: str, letter: str, *, offset: int, barred: bool, now: float
    ) -> tuple[str, int]:
        """An event of this key goes to the dead letters as ``letter``; which letter parked the key, and its offset."""
        key = Key(connection, record_key)
        row = {"key_hash": key.hash, **key._asdict(), "first": letter, "offset": offset, "last": letter}
        parking = inserting(self._engine, PARKED).values(**row, barred=barred, since=now)
        changes = {"last": letter, "barred": or_(PARKED.c.barred, parking.excluded.barred), "closing": None}
        parking = parking.on_conflict_do_update(index_elements=["key_hash"], set_=changes)
        with self._engine.begin() as transaction:
            first = transaction.execute(parking.returning(PARKED.c.first, PARKED.c.offset)).one()
        return str(first[0]), int(first[1])

    def closing_sent(self, sent: Mapping[Key, str]) -> None:
        """For each of these keys the log has a record that names this letter."""
        with self._engine.begin() as transaction:
            for key, letter in sent.items():
                still = PARKED.c.barred if letter == NO_LETTER else PARKED.c.last == letter  # else it says nothing now
                naming = update(PARKED).where(PARKED.c.key_hash == key.hash, still)
                transaction.execute(naming.values(closing=letter))

    def close(self, connection: str, record_key: str, letter: str) -> bool:
        """The replay up to ``letter`` is through; True when nothing was diverted since and the key is free."""
        mine = PARKED.c.key_hash == Key(connection, record_key).hash
        with self._engine.begin() as transaction:
            freed = transaction.execute(delete(PARKED).where(mine, PARKED.c.last == letter)).rowcount == 1
            if not freed:
                transaction.execute(update(PARKED).where(mine).values(barred=False))
        return freed

    def clear(self, connection: str) -> None:
        """None of its keys is parked any more."""
        with self._engine.begin() as transaction:
            transaction.execute(delete(PARKED).where(PARKED.c.connection == connection))


def _parked(row: Row[Any]) -> Parked:
    return Parked(**{name: getattr(row, name) for name in Parked.__dataclass_fields__})
