"""Publishes the rows that triggers have written into the warehouse's outbox: each once, in order for each key."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from topics.errors import LogError, LogUnavailable, RecordRefused, StoreUnavailable
from topics.event.codec import TYPE_PREFIX, Encoded, Stamp
from topics.event.event import Operation, Options
from topics.log import Failures, Log, Partition, Producer
from topics.log.backlog import event_ids
from topics.outbox.errors import WarehouseUnavailable
from topics.outbox.outbox import Outbox
from topics.outbox.relaying import OutboxReader, Row, fields_of
from topics.outbox.sent import Fields, Record
from topics.warehouse import explained
from worker.clock import Clock
from worker.log_events import logger
from worker.relay.ahead import Ahead
from worker.relay.unchanged import DAYS, Memory, record_of

BATCH = 5_000
"""How many rows are published together: after a crash, this many have to be looked up in the topics."""
PAGES = 10
"""Pages that are read one behind the other; then from the front again, for rows that were committed late."""
MARK_S = 30.0
"""Seconds after which the offsets are noted anew from which the topics would be read after a crash."""
STANDBY_S = 1.0
SETTLE_S = 1.0
"""Seconds to wait before the topics are read: what a killed relay had handed to the network may still arrive."""
STOP_S = 2.0
"""The least time in seconds that a stopping relay waits for the log's answer."""
IDLE_S = 0.5
"""Seconds between two looks on PostgreSQL, where a notification wakes the relay earlier; a stop waits this long too."""
POLL_S = 0.02
"""Seconds between two looks at the change counter of a SQLite file: SQLite has no notifications."""
LONGEST_PAUSE_S = 5.0
MAX_KEY = 1_024
DAY_S = 86_400

T = TypeVar("T")
PartitionsOf = Callable[[str], int | None]
"""The number of partitions of a connection's topic, by its slug; None when there is no such connection."""


@dataclass(slots=True)
class _Page:
    """Rows as the outbox has them, and the triggers whose events were ``comparing`` when they were read.

    ``since``: what the batch before has changed of what was sent last.
    """

    rows: Sequence[Row]
    comparing: Collection[str]
    since: Mapping[Record, Fields | None] = field(default_factory=dict)
    forgotten: Collection[tuple[str, str]] = ()

    def memory(self, today: int) -> Memory | None:
        """None where no trigger's events are compared."""
        if not self.comparing:
            return None
        known = {record_of(row): row.sent for row in self.rows if row.sent is not None}
        return Memory(self._kept(known), self.comparing, today, self._kept(self.since))

    def _kept(self, known: Mapping[Record, T]) -> Mapping[Record, T]:
        for slug, prefix in self.forgotten:
            known = {
                record: fields
                for record, fields in known.items()
                if record.aggregatetype != slug or not record.aggregateid.startswith(prefix)
            }
        return known


@dataclass(slots=True)
class _Batch:
    """The rows of the outbox that are handled together.

    ``new``: to be published, by connection. ``unchanged``: they repeat what was sent before. ``repeated``: they repeat
    an event of this batch, so they can be removed only when that was published. ``refused``: with the reason.
    """

    memory: Memory | None
    new: dict[str, list[tuple[Row, Encoded]]] = field(default_factory=dict)
    unchanged: list[Row] = field(default_factory=list)
    repeated: list[Row] = field(default_factory=list)
    refused: list[tuple[Row, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a batch ended: what the log has (``done``), what was refused and why, its records' new ``states``."""

    done: Sequence[Row]
    repeated: Sequence[Row]
    refused: Sequence[tuple[Row, str]]
    states: Mapping[Record, Fields | None]
    failure: LogError | None


class Relay:
    """The relay of one warehouse. Any number may run, in any process: one works, the others take over when it ends."""

    batch = BATCH

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
        """Work until ``stop`` is set; then wait for the log's answers, and remove what was published."""
        working = asyncio.create_task(asyncio.to_thread(self._run))
        asked = asyncio.create_task(stop.wait())
        await asyncio.wait([working, asked], return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()
        asked.cancel()
        await working

    def backlog(self) -> tuple[int, float]:
        """How many rows wait, and the age of the oldest in seconds. Raises ``WarehouseUnavailable``."""
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
        """Work as long as this is the one relay at work. Returns the seconds to wait before the next try."""
        reader = OutboxReader(self._engine)
        producer = None
        try:
            if not reader.acquire():
                return STANDBY_S
            producer = self._log.producer(name="relay")
            self._remove_published(reader)
            logger().info("relay.started", warehouse=self._engine.url.render_as_string())
            with Ahead(threaded=self._engine.dialect.name == "postgresql") as ahead:
                self._work(reader, producer, ahead)
            reader.finish()
            return 0.0
        finally:
            reader.close()
            if producer is not None:
                producer.close(LONGEST_PAUSE_S)

    def _work(self, reader: OutboxReader, producer: Producer, ahead: Ahead) -> None:
        """Page after page. While the log works on one, the next is read; while one is removed, the next is judged.

        Nothing is sent before what was sent before it is removed.
        """
        page, pages, marked, settled = self._page(reader), 1, None, None
        while not self._stop.is_set():
            if not page.rows:
                self._wait(reader)
                page, pages = self._page(reader), 1
                continue
            batch = self._judged(page)
            if settled is not None:
                settled.result()
            if page.comparing and (forgotten := reader.sent.forget_loaded()):
                page.forgotten = forgotten
                batch = self._judged(page)
            now = self._clock.monotonic()
            if marked is None or now - marked > MARK_S:
                reader.begin(self._ends())
                marked = now
            # What says only what was sent before is gone before anything is sent: a crash behind the sending makes the
            # relay forget what it knew, and an old value would then go out behind a newer one.
            reader.remove(batch.unchanged)
            self.unchanged += len(batch.unchanged)
            sent = self._handed_over(producer, batch)
            following = None
            if len(page.rows) == self.batch and pages < PAGES:
                following = ahead.submit(partial(self._page, reader, page.rows[-1].position))
            outcome = self._outcome(sent, batch)
            read = following.result() if following is not None else None
            settled = ahead.submit(partial(self._settle, reader, outcome))
            gone = len(outcome.done) + len(outcome.repeated) + len(outcome.refused) + len(batch.unchanged)
            if read is not None and read.rows and gone == len(page.rows):
                page, pages = read, pages + 1
                page.since = outcome.states
            else:
                settled.result()
                page, pages, settled = self._page(reader), 1, None
            if outcome.failure is not None:
                raise outcome.failure
        if settled is not None:
            settled.result()

    def _page(self, reader: OutboxReader, behind: int = 0) -> _Page:
        comparing, today = reader.sent.comparing(), self._today()
        if comparing and self._purged != today:
            reader.sent.purge(today - DAYS)
            self._purged = today
        return _Page(reader.fetch(self.batch, behind=behind, sent=bool(comparing)), comparing)

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
        """After a crash, remove the rows that are in the topics already, so that they are not sent again."""
        starts = reader.unfinished()
        if starts is None or self._stop.wait(SETTLE_S):
            return
        found = event_ids(self._log, {partition: starts.get(partition, 0) for partition in self._ends()})
        behind, missing, last = 0, set[Record](), reader.last_of(found)
        while rows := reader.fetch(self.batch, behind=behind) if behind < last else []:
            published = []
            for row in rows:
                if row.id in found and record_of(row) not in missing:
                    published.append(row)
                elif not row.refused:
                    missing.add(record_of(row))  # its later rows are sent again too, so that the order is right
            reader.settle(
                published, dict.fromkeys(map(record_of, published)), self._today()
            )  # its state was not saved: unknown
            behind = rows[-1].position
        logger().info("relay.recovered", looked_through=len(found))
        reader.finish()

    def _handed_over(self, producer: Producer, batch: _Batch) -> Sequence[tuple[str, Future[Failures]]]:
        return [
            (slug, producer.send_all(self._log.names.events_topic(slug), [encoded for _, encoded in news]))
            for slug, news in batch.new.items()
        ]

    def _outcome(self, sent: Sequence[tuple[str, Future[Failures]]], batch: _Batch) -> _Outcome:
        """Behind a failure, rows of the same record do not count as published: they go again, to keep the order."""
        done, refused, stuck, failure = list[Row](), [*batch.refused], set[Record](), None
        for slug, future in sent:
            failures, rows = self._answer(future), [row for row, _ in batch.new[slug]]
            if not failures:
                done += rows
                continue
            for place, row in enumerate(rows):
                error = failures.get(place)
                if isinstance(error, RecordRefused):
                    refused.append((row, str(error)))
                elif error is not None:
                    stuck.add(record_of(row))
                    failure = error
                elif record_of(row) not in stuck:
                    done.append(row)
        # a row that repeats an event which was not published is compared again next time
        lost = stuck | {record_of(row) for row, _ in refused}
        repeated = [row for row in batch.repeated if record_of(row) not in lost]
        states = batch.memory.states(lost) if batch.memory is not None else {}
        return _Outcome(done, repeated, refused, states, failure)

    def _settle(self, reader: OutboxReader, outcome: _Outcome) -> None:
        reader.settle([*outcome.done, *outcome.repeated], outcome.states, self._today())
        self.published += len(outcome.done)
        self.unchanged += len(outcome.repeated)
        for row, reason in outcome.refused:
            reader.reject(row, reason)
            self.rejected += 1
            logger().warning("relay.rejected", trigger=row.trigger, row=row.position, reason=reason)

    def _answer(self, future: Future[Failures]) -> Failures:
        """The log's answer. Raises ``LogUnavailable`` when the relay is to stop and the log does not answer in time."""
        while True:
            try:
                return future.result(timeout=STOP_S)
            except TimeoutError:
                if self._stop.is_set():
                    raise LogUnavailable("stopped before the log had confirmed what was sent") from None

    def _judged(self, page: _Page) -> _Batch:
        """Sort the rows into a batch, which ends before a row that must wait until a repeated one is removed."""
        memory = page.memory(self._today())
        batch, repeating = _Batch(memory), set[Record]()
        for row in page.rows:
            record = record_of(row)
            if record in repeating:
                break  # not before the record's repeated row is removed: the order of a record is kept
            try:
                value = self._value(row)
                encoded = self._encoded(row, value)
            except ValueError as error:
                batch.refused.append((row, str(error)))
                if memory is not None:
                    memory.forget(record)
                continue
            if memory is None or memory.is_new(record, row, value):
                batch.new.setdefault(row.aggregatetype, []).append((row, encoded))
            elif memory.has_sent(record):
                batch.repeated.append(row)
                repeating.add(record)
            else:
                batch.unchanged.append(row)
        return batch

    def _today(self) -> int:
        return int(self._clock.now() // DAY_S)

    def _value(self, row: Row) -> bytes:
        """Raises ``ValueError`` for what can never be an event."""
        if row.refused:
            raise ValueError(row.refused)
        return fields_of(row, sqlite=self._engine.dialect.name == "sqlite")

    def _encoded(self, row: Row, value: bytes) -> Encoded:
        """Raises ``ValueError`` for what can never be an event."""
        self._know(row.aggregatetype)
        object_name, _, key = row.aggregateid.partition("/")
        if not 0 < len(key) <= MAX_KEY:
            raise ValueError(f"the key has {len(key):,} characters; it has 1 to {MAX_KEY:,}")
        stamp = _stamp(row.type, row.aggregatetype, object_name, row.trigger, row.backfill)
        return stamp.seal(row.id, row.timestamp.encode(), key, value)

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
