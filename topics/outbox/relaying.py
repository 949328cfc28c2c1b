"""How a relay uses an outbox: it reads rows in order, and removes them once the log has them; one relay at a time.

Before it publishes, a relay notes that it has begun, and the topics' end offsets (``begin``). If it is killed, the next
relay finds that note and reads the topics from there, and so learns which rows were published but not yet removed. The
order within a key needs nothing more: rows are read by ``position``, which was given while the changed row was locked.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from topics.log import Partition
from topics.outbox import postgres
from topics.outbox.errors import WarehouseUnavailable
from topics.outbox.sent import Fields, Record, Sent
from topics.outbox.sqlite import value_of
from topics.outbox.tables import tables, upgrade

_LOCK = 5_714_290_119
"""The key of PostgreSQL's advisory lock that the relay of a database holds: an arbitrary number."""
LOCK_SUFFIX = "-writeback-relay"
"""Ends the name of a file beside a SQLite file. The relay locks it; the system unlocks it when the process ends."""


LOOKED_UP = 50_000
"""How many ids one query looks up."""


class Row(NamedTuple):
    """An event as the trigger wrote it; ``payload`` is a JSON object, ``timestamp`` ISO 8601 with an offset."""

    position: int
    id: str
    aggregatetype: str
    aggregateid: str
    type: str
    payload: str
    timestamp: str
    trigger: str
    backfill: bool
    refused: str | None
    sent: str | None = None
    """What was sent last for its record, as JSON, if that was asked for (``topics/outbox/sent.py``)."""


class OutboxReader:
    """One connection to one outbox. Raises SQLAlchemy's ``DBAPIError`` while the warehouse does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._tables = tables(engine)
        self._postgres = engine.dialect.name == "postgresql"
        self._connection: Connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._file: IO[bytes] | None = None
        self._path = engine.url.database or ""
        self._version: int | None = None
        self._driver_error: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._select = _SELECT_POSTGRES if self._postgres else _SELECT_SQLITE
        self.sent = Sent(self._connection)
        same = "s.aggregatetype = o.aggregatetype AND s.aggregateid = o.aggregateid"
        self._hashes = f"(SELECT s.hashes FROM {self._tables.sent.fullname} AS s WHERE {same})"  # noqa: S608

    def acquire(self) -> bool:
        """Try to become the one relay at work, until ``close`` or the end of the process or connection."""
        held = self._lock()
        if held:
            upgrade(self._connection)
        return held

    def _lock(self) -> bool:
        if self._postgres:
            held = bool(self._connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}))
            if held:
                self._connection.exec_driver_sql(f"LISTEN {postgres.CHANNEL}")
                # a page is read in milliseconds: to start a worker or a compiler for it takes longer
                self._connection.exec_driver_sql("SET max_parallel_workers_per_gather = 0")
                self._connection.exec_driver_sql("SET jit = off")
            return held
        if self._file is None:
            self._file = Path(self._path + LOCK_SUFFIX).open("wb")  # noqa: SIM115 - held for as long as the relay works
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unfinished(self) -> dict[Partition, int] | None:
        """The topics' end offsets when the last relay began, if it did not end cleanly; else None."""
        relay = self._tables.relay
        row = self._connection.execute(relay.select()).one_or_none()
        if row is None or not row.open:
            return None
        ends: dict[str, int] = json.loads(row.ends) if isinstance(row.ends, str) else row.ends
        return {Partition.parse(name): offset for name, offset in ends.items()}

    def begin(self, ends: Mapping[Partition, int]) -> None:
        """Note that rows may from now on be in the log, from these offsets on, and still be in the outbox."""
        self._mark(open_=True, ends=ends)

    def finish(self) -> None:
        """Note that every row which is in the log was removed here."""
        self._mark(open_=False, ends={})

    def fetch(self, limit: int, *, behind: int = 0, sent: bool = False) -> list[Row]:
        """The next rows after the position ``behind``, without those of paused triggers.

        ``sent``: read what was sent last for each one's record as well.
        """
        select = self._select.format(limit=limit, behind=behind, sent=self._hashes if sent else "NULL")
        return [Row(*row) for row in self._connection.exec_driver_sql(select)]

    def last_of(self, ids: Collection[str]) -> int:
        """The highest position of the rows with these ids; 0 without any."""
        last, table = 0, self._tables.outbox.fullname
        those = "id IN (SELECT value FROM json_each(:ids))"
        if self._postgres:
            those = "id::text IN (SELECT json_array_elements_text(CAST(:ids AS json)))"
        query = text(f"SELECT coalesce(max(position), 0) FROM {table} WHERE {those}")  # noqa: S608 - our own names
        left = iter(ids)
        while some := list(islice(left, LOOKED_UP)):
            last = max(last, self._connection.scalar(query, {"ids": json.dumps(some)}) or 0)
        return last

    def settle(self, rows: Sequence[Row], states: Mapping[Record, Fields | None], day: int) -> None:
        """Remove rows and note what was sent for their records, in one transaction."""
        if not states:
            self.remove(rows)
            return
        with self._transaction():
            self.remove(rows)
            self.sent.note(states, day)

    def remove(self, rows: Sequence[Row]) -> None:
        """Remove rows that are in the log, or need not be."""
        if not rows:
            return
        outbox = self._tables.outbox
        positions = [row.position for row in rows]
        if self._postgres:
            self._connection.execute(_REMOVE_POSTGRES, {"positions": f"{{{str(positions)[1:-1]}}}"})
            return
        marks = json.dumps(positions)
        self._connection.exec_driver_sql(
            f"DELETE FROM {outbox.name} WHERE position IN (SELECT value FROM json_each(?))",  # noqa: S608 - our own name
            (marks,),
        )

    def reject(self, row: Row, reason: str) -> None:
        """Set a row aside with the reason; ``writeback triggers rejected`` lists it.

        A row that its trigger refused can never be sent, so ``retry`` does not put it back.
        """
        schema = "writeback.outbox" if self._postgres else "writeback_outbox"
        columns = 'id, aggregatetype, aggregateid, type, payload, "timestamp", subject, trigger_name, backfill'
        move = text(
            f"INSERT INTO {schema}_rejected ({columns}, refused, by_trigger)"  # noqa: S608 - our own names
            f" SELECT {columns}, :reason, refused IS NOT NULL FROM {schema} WHERE position = :position"
        )
        with self._transaction():
            self._connection.execute(move, {"reason": reason, "position": row.position})
            self.remove([row])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute(text("BEGIN"))
        try:
            yield
        except BaseException:
            with suppress(DBAPIError, WarehouseUnavailable):  # when the disk is full, SQLite has rolled back already
                self._connection.execute(text("ROLLBACK"))
            raise
        self._connection.execute(text("COMMIT"))

    def wait(self, seconds: float) -> None:
        """PostgreSQL: wait for a notification that rows were written, or until the time is up.

        Raises ``WarehouseUnavailable`` when the connection breaks meanwhile.
        """
        if self._postgres:
            raw: Any = self._connection.connection.driver_connection
            try:
                for _ in raw.notifies(timeout=seconds, stop_after=1):
                    return
            except self._driver_error as error:
                raise WarehouseUnavailable(f"the connection broke: {error}") from error

    def changed(self) -> bool:
        """SQLite: whether anybody else has written since the last call."""
        version = self._connection.exec_driver_sql("PRAGMA data_version").scalar()
        seen, self._version = self._version, version
        return seen != version

    def close(self) -> None:
        """Give up the lock, so that another relay may begin."""
        with suppress(Exception):  # the connection may be broken
            self._connection.invalidate()
            self._connection.close()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _mark(self, *, open_: bool, ends: Mapping[Partition, int]) -> None:
        relay = self._tables.relay
        named = {str(partition): offset for partition, offset in ends.items()}
        values = {"open": open_, "ends": named if self._postgres else json.dumps(named)}
        if not self._connection.execute(relay.update().values(values)).rowcount:
            self._connection.execute(relay.insert().values(one=1, **values))


def fields_of(row: Row, *, sqlite: bool) -> bytes:
    """The event's value. Raises ``ValueError`` for what JSON cannot hold."""
    if not sqlite or "$writeback." not in row.payload:
        return row.payload.encode()
    from topics.event import exact_json  # noqa: PLC0415 - only for reals and blobs

    return exact_json.dumps(value_of(row.payload))


_SELECT_POSTGRES = """\
SELECT o.position, o.id::text, o.aggregatetype, o.aggregateid, o.type, o.payload::text,
to_char(o."timestamp" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'), o.trigger_name, o.backfill, o.refused,
{sent}
FROM writeback.outbox AS o
WHERE o.trigger_name NOT IN (SELECT t.name FROM writeback.triggers AS t WHERE t.paused)
AND o.position > {behind} ORDER BY o.position LIMIT {limit}"""

_SELECT_SQLITE = """\
SELECT o.position, o.id, o.aggregatetype, o.aggregateid, o.type, o.payload, o.timestamp,
o.trigger_name, o.backfill, o.refused,
{sent}
FROM writeback_outbox AS o
WHERE o.trigger_name NOT IN (SELECT t.name FROM writeback_triggers AS t WHERE t.paused)
AND o.position > {behind} ORDER BY o.position LIMIT {limit}"""

_REMOVE_POSTGRES = text("DELETE FROM writeback.outbox WHERE position = ANY(CAST(:positions AS bigint[]))")
