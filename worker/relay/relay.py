"""Carries the rows that triggers wrote from the warehouse's outbox to the topics: once each, in order per key."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import lru_cache

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from topics.backlog import event_ids
from topics.errors import LogUnavailable, RecordRefused, StoreUnavailable
from topics.event.codec import TYPE_PREFIX, Stamp
from topics.event.event import Operation, Options
from topics.log import Log, Partition, Position
from topics.outbox.errors import WarehouseUnavailable
from topics.outbox.outbox import Outbox
from topics.outbox.relaying import OutboxReader, Row, fields_of
from topics.warehouse import explained
from worker.clock import Clock
from worker.log_events import logger
from worker.relay.unchanged import DAYS, Memory, record_of

BATCH = 5_000
"""Rows that are published together: what a crash leaves to be looked up in the topics."""
MARK_S = 30.0
"""How old the mark may be from which the topics are read after a crash."""
STANDBY_S = 1.0
SETTLE_S = 1.0
"""What a killed relay had handed to the network may still arrive: it is waited for before the topics are read."""
IDLE_S = 0.5
"""A notification wakes a relay on PostgreSQL; this is the fallback, and how long a stop waits."""
POLL_S = 0.02
"""SQLite notifies nobody: its file's counter is looked at."""
LONGEST_PAUSE_S = 5.0
MAX_KEY = 1_024
DAY_S = 86_400

PartitionsOf = Callable[[str], int | None]
"""How many partitions the topic of a connection has, by its slug; None: there is no such connection."""


class Relay:
    """Of one warehouse. Any number may run, in any processes: one works, and the others take over when it ends."""

    def __init__(self, engine: Engine, log: Log, partitions_of: PartitionsOf, clock: Clock) -> None:
        self._engine = engine
        self._outbox = Outbox(engine)
        self._log = log
        self._partitions_of = partitions_of
        self._clock = clock
        self._stop = threading.Event()
        self._known: set[str] = set()
        self._purged = 0
        self.published = 0
        self.rejected = 0
        self.unchanged = 0
        self.failures = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set: what is out by then is awaited and removed."""
        working = asyncio.create_task(asyncio.to_thread(self._run))
        asked = asyncio.create_task(stop.wait())
        await asyncio.wait([working, asked], return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()
        asked.cancel()
        await working

    def backlog(self) -> tuple[int, float]:
        """Rows that wait, and how many seconds the oldest has. Raises ``WarehouseUnavailable``."""
        count, oldest = self._outbox.backlog()
        return count, max(0.0, self._clock.now() - oldest.timestamp()) if oldest else 0.0

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                pause = self._relay()
            except (WarehouseUnavailable, DBAPIError) as error:
                logger().warning("relay.warehouse_unavailable", error=explained(error))
                self.failures += 1
                pause = min(LONGEST_PAUSE_S, 2 * pause + 0.2)
            except (LogUnavailable, StoreUnavailable) as error:
                logger().warning("relay.log_unavailable", error=str(error))
                self.failures += 1
                pause = min(LONGEST_PAUSE_S, 2 * pause + 0.2)

    def _relay(self) -> float:
        """Work as long as this is the one relay; answers how long to wait before the next try."""
        reader = OutboxReader(self._engine)
        producer = None
        try:
            if not reader.acquire():
                return STANDBY_S
            producer = self._log.producer(name="relay")
            self._remove_published(reader)
            logger().info("relay.started", warehouse=self._engine.url.render_as_string())
            marked: float | None = None
            while not self._stop.is_set():
                rows = reader.fetch(BATCH)
                if not rows:
                    self._wait(reader)
                    continue
                now = self._clock.monotonic()
                if marked is None or now - marked > MARK_S:
                    reader.begin(self._ends())
                    marked = now
                self._publish(reader, producer.send, rows)
            reader.finish()
            return 0.0
        finally:
            reader.close()
            if producer is not None:
                producer.close(LONGEST_PAUSE_S)

    def _wait(self, reader: OutboxReader) -> None:
        if self._engine.dialect.name == "postgresql":
            reader.wait(IDLE_S)
            return
        while not self._stop.wait(POLL_S):
            if reader.changed():
                return

    def _ends(self) -> dict[Partition, int]:
        topics = self._log.topics(self._log.names.events_prefix)
        return self._log.end_offsets(
            [Partition(name, number) for name, count in topics.items() for number in range(count)]
        )

    def _remove_published(self, reader: OutboxReader) -> None:
        """After a crash: what is in the topics already must not be sent again."""
        starts = reader.unfinished()
        if starts is None or self._stop.wait(SETTLE_S):
            return
        found = event_ids(self._log, {partition: starts.get(partition, 0) for partition in self._ends()})
        while rows := [row for row in reader.fetch(BATCH) if row.id in found]:
            reader.settle(rows, dict.fromkeys(map(record_of, rows)), self._today())  # None: their fields were not noted
        logger().info("relay.recovered", looked_through=len(found))
        reader.finish()

    def _publish(self, reader: OutboxReader, send: Callable[..., Future[Position]], rows: Sequence[Row]) -> None:
        """Hand them all to the log, and remove those that it has."""
        memory = self._memory(reader, rows)
        sent, refused, unchanged = self._hand_over(send, rows, memory)
        done, lost, failure = [], [row for row, _ in refused], None
        for row, future in sent:
            problem = future.exception()
            if problem is None:
                done.append(row)
                continue
            lost.append(row)
            if isinstance(problem, RecordRefused):
                refused.append((row, str(problem)))
            else:
                failure = problem
        # what was compared with an event that did not get through is compared anew
        without = {record_of(row) for row in lost}
        unchanged = [row for row in unchanged if record_of(row) not in without]
        states = memory.states(without) if memory is not None else {}
        reader.settle([*done, *unchanged], states, self._today())
        self.published += len(done)
        self.unchanged += len(unchanged)
        for row, reason in refused:
            reader.reject(row, reason)
            self.rejected += 1
            logger().warning("relay.rejected", trigger=row.trigger, row=row.position, reason=reason)
        if failure is not None:
            raise failure

    def _hand_over(
        self, send: Callable[..., Future[Position]], rows: Sequence[Row], memory: Memory | None
    ) -> tuple[list[tuple[Row, Future[Position]]], list[tuple[Row, str]], list[Row]]:
        """What is on its way, what can never be an event and why, and what says nothing new."""
        sent, refused, unchanged = [], [], []
        for row in rows:
            try:
                value = self._value(row)
                if memory is not None and not memory.is_new(row, value):
                    unchanged.append(row)
                else:
                    sent.append((row, self._send(send, row, value)))
            except (RecordRefused, ValueError) as error:
                refused.append((row, str(error)))
        return sent, refused, unchanged

    def _memory(self, reader: OutboxReader, rows: Sequence[Row]) -> Memory | None:
        """None where no trigger's events are compared."""
        comparing, today = reader.sent.comparing(), self._today()
        if not comparing:
            return None
        if self._purged != today:
            reader.sent.purge(today - DAYS)
            self._purged = today
        reader.sent.forget_loaded()
        return Memory(reader.sent.known({record_of(row) for row in rows}), comparing, today)

    def _today(self) -> int:
        return int(self._clock.now() // DAY_S)

    def _value(self, row: Row) -> bytes:
        """Raises ``ValueError`` for what can never be an event."""
        if row.refused:
            raise ValueError(row.refused)
        return fields_of(row, sqlite=self._engine.dialect.name == "sqlite")

    def _send(self, send: Callable[..., Future[Position]], row: Row, value: bytes) -> Future[Position]:
        """Raises ``RecordRefused`` or ``ValueError`` for what can never be an event."""
        self._know(row.aggregatetype)
        object_name, _, key = row.aggregateid.partition("/")
        if not 0 < len(key) <= MAX_KEY:
            raise ValueError(f"the key has {len(key):,} characters; it has 1 to {MAX_KEY:,}")
        stamp = _stamp(row.type, row.aggregatetype, object_name, row.trigger, row.backfill)
        encoded = stamp.seal(row.id, row.timestamp.encode(), key, value)
        topic = self._log.names.events_topic(row.aggregatetype)
        return send(topic, key=encoded.key, value=encoded.value, headers=encoded.headers)

    def _know(self, slug: str) -> None:
        if slug in self._known:
            return
        partitions = self._partitions_of(slug)
        if partitions is None:
            raise ValueError(f"there is no connection {slug!r}: add it, then `writeback triggers retry`")
        self._log.ensure_topics([self._log.names.events_spec(slug, partitions)])
        self._known.add(slug)


@lru_cache(maxsize=1_024)
def _stamp(kind: str, slug: str, object_name: str, trigger: str, backfill: bool) -> Stamp:
    operation = Operation(kind.removeprefix(TYPE_PREFIX))
    return Stamp(operation, slug, object_name, f"writeback trigger {trigger}", Options(backfill=backfill))
