"""From the outbox to the topics: each row once, in order, from SQLite and PostgreSQL, into the embedded log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.connections.store import Connections
from tests.topics.outbox.conftest import Warehouse
from topics.errors import LogUnavailable
from topics.event.codec import decode
from topics.event.event import Event
from topics.log import Content, Failures, Log, Partition
from topics.names import DEFAULT
from topics.open import open_log
from topics.sqlite.producer import SqliteProducer
from topics.store import open_store
from worker.clock import SystemClock
from worker.relay.relay import Relay
from worker.relay.relays import Relays

PATIENCE = 30.0


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = open_log(f"sqlite:///{tmp_path / 'log.db'}")
    yield opened
    opened.close()


def events_in(log: Log, slug: str = "crm", partitions: int = 1) -> list[Event]:
    """Everything that is in the topic of a connection."""
    topic = DEFAULT.events_topic(slug)
    if topic not in log.topics():
        return []
    ends = log.end_offsets([Partition(topic, number) for number in range(partitions)])
    left = {partition: end for partition, end in ends.items() if end}
    if not left:
        return []
    reader, found = log.reader(dict.fromkeys(left, 0)), []
    while left:
        for record in reader.poll(1.0):
            found.append(decode(record))
            if record.offset + 1 >= left.get(record.partition, 0):
                left.pop(record.partition, None)
    reader.close()
    return found


def relay_of(warehouse: Warehouse, log: Log, known: dict[str, int] | None = None) -> Relay:
    return Relay(warehouse.engine, log, (known or {"crm": 1}).get, SystemClock())


@asynccontextmanager
async def running(*relays: Relay | Relays) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(relay.run(stop)) for relay in relays]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - what is waited for is in other threads
            await asyncio.sleep(0.02)


def insert(first: int, last: int) -> str:
    rows = ", ".join(f"({n}, 'u{n}@acme.com', 'U{n}', {n}, NULL)" for n in range(first, last + 1))
    return f"INSERT INTO contacts VALUES {rows}"


async def test_rows_become_events(warehouse: Warehouse, log: Log) -> None:
    """What was written before the relay ran, and while it runs; the outbox is empty afterwards."""
    warehouse.create()
    warehouse.run(insert(1, 3))
    ids = [str(row.id).replace("-", "") for row in warehouse.rows()]
    async with running(relay_of(warehouse, log)):
        await until(lambda: not warehouse.rows())
        warehouse.run("UPDATE contacts SET score = 0.1 WHERE id = 2")
        await until(lambda: len(events_in(log)) == 4 and not warehouse.rows())
    events = events_in(log)
    assert [(event.operation, event.key) for event in events] == [
        ("add", "1"),
        ("add", "2"),
        ("add", "3"),
        ("update", "2"),
    ]
    assert [event.id.replace("-", "") for event in events[:3]] == ids
    last = events[-1]
    assert (last.fields, last.source, last.object) == ({"id": 2, "score": 0.1}, "writeback trigger contacts", "contact")


async def test_rows_that_no_event_can_be_made_of_are_set_aside(warehouse: Warehouse, log: Log) -> None:
    """An unknown connection, a row without a key, one that is too large: each with its reason; the others go on."""
    warehouse.create(key=("email",))
    warehouse.create(name="other", connection="nobody")
    warehouse.run("INSERT INTO contacts (id, email) VALUES (1, 'a@acme.com')")
    warehouse.run("INSERT INTO contacts (id, first_name) VALUES (2, 'no key')")
    warehouse.run(f"INSERT INTO contacts (id, email, first_name) VALUES (3, 'c@acme.com', '{'x' * 1_100_000}')")
    async with running(relay_of(warehouse, log)):
        await until(lambda: not warehouse.rows())
    assert [event.key for event in events_in(log)] == ["a@acme.com"]
    reasons = {(row["trigger_name"], row["refused"].partition(":")[0]) for row in warehouse.outbox.rejected()}
    assert reasons >= {("other", "there is no connection 'nobody'"), ("contacts", "the key email is NULL")}
    assert len(warehouse.outbox.rejected("contacts")) == 2
    assert len(warehouse.outbox.rejected("other")) == 3


async def test_only_what_something_outside_stopped_is_put_back(warehouse: Warehouse, log: Log) -> None:
    """The row whose connection was unknown goes after a retry; the one that its trigger refused stays where it is."""
    warehouse.create(key=("email",), name="other", connection="nobody")
    warehouse.run("INSERT INTO contacts (id, email) VALUES (1, 'a@acme.com'), (2, NULL)")
    async with running(relay_of(warehouse, log)):
        await until(lambda: not warehouse.rows())
    assert [row["by_trigger"] for row in warehouse.outbox.rejected()] == [True, False]
    assert warehouse.outbox.retry("other") == (1, 1)
    async with running(relay_of(warehouse, log, {"nobody": 1})):
        await until(lambda: not warehouse.rows())
    assert [event.key for event in events_in(log, "nobody")] == ["a@acme.com"]
    assert [row["refused"] for row in warehouse.outbox.rejected()] == ["the key email is NULL"]


async def test_rejected_rows_of_the_release_before_are_told_apart(warehouse: Warehouse, log: Log) -> None:
    """Their table gets the column from a relay and from a retry; no key: its trigger refused it."""
    without = f"ALTER TABLE {warehouse.outbox.tables.rejected.fullname} DROP COLUMN by_trigger"
    warehouse.create(key=("email",), connection="nobody")
    warehouse.run(without, "INSERT INTO contacts (id, email) VALUES (1, 'a@acme.com'), (2, NULL)")
    async with running(relay_of(warehouse, log)):
        await until(lambda: not warehouse.rows())
    warehouse.run(without)
    assert warehouse.outbox.retry() == (1, 1)


async def test_a_paused_trigger_keeps_its_rows(warehouse: Warehouse, log: Log) -> None:
    """They wait, and go when it is resumed."""
    warehouse.create()
    warehouse.outbox.pause("contacts", paused=True)
    warehouse.run(insert(1, 2))
    async with running(relay_of(warehouse, log)):
        await asyncio.sleep(1.0)
        assert len(warehouse.rows()) == 2
        warehouse.outbox.pause("contacts", paused=False)
        await until(lambda: not warehouse.rows())
    assert [event.key for event in events_in(log)] == ["1", "2"]


async def test_of_two_relays_one_works_and_the_other_takes_over(warehouse: Warehouse, log: Log) -> None:
    """At no time both; nothing is doubled at the change."""
    warehouse.create()
    first, second = relay_of(warehouse, log), relay_of(warehouse, log)
    async with running(second):
        async with running(first):
            for number in range(1, 21):
                warehouse.run(insert(number, number))
                await asyncio.sleep(0.02)
            await until(lambda: not warehouse.rows())
        assert 0 in {first.published, second.published}
        warehouse.run(insert(21, 25))
        await until(lambda: not warehouse.rows())
    assert [event.key for event in events_in(log)] == [str(n) for n in range(1, 26)]


async def test_what_was_published_and_not_removed_is_not_sent_again(warehouse: Warehouse, log: Log) -> None:
    """A relay that is killed between the log's answer and the removal: the next one looks into the topics."""
    warehouse.create()
    warehouse.run(insert(1, 10))
    dying = relay_of(warehouse, log)

    def die(*_: object) -> None:
        raise LogUnavailable("killed here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("topics.outbox.relaying.OutboxReader.settle", die)
        async with running(dying):
            await until(lambda: len(events_in(log)) == 10)
    assert len(warehouse.rows()) == 10
    async with running(relay_of(warehouse, log)):
        await until(lambda: not warehouse.rows())
        warehouse.run(insert(11, 11))
        await until(lambda: not warehouse.rows())
    assert [event.key for event in events_in(log)] == [str(n) for n in range(1, 12)]


async def test_a_transaction_that_commits_late_is_not_skipped(postgres_warehouse: Warehouse, log: Log) -> None:
    """Its rows have lower positions than rows that were relayed long before."""
    warehouse = postgres_warehouse
    warehouse.run("CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, first_name TEXT, score NUMERIC)")
    warehouse.create()
    async with running(relay_of(warehouse, log)):
        with warehouse.engine.connect() as late, late.begin():
            late.exec_driver_sql("INSERT INTO contacts VALUES (1, 'late', NULL, 1)")
            warehouse.run("INSERT INTO contacts VALUES (2, 'early', NULL, 1)")
            await until(lambda: [event.key for event in events_in(log)] == ["2"])
        await until(lambda: [event.key for event in events_in(log)] == ["2", "1"])


async def test_a_warehouse_without_triggers_is_waited_for(warehouse: Warehouse, log: Log, tmp_path: Path) -> None:
    """The first trigger is noticed without a restart."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    connections = Connections(store, "a long random text for the tests")
    connections.add("crm", "hubspot", secrets={"access_token": "t"})
    relays = Relays(log, connections, lambda: iter([warehouse.engine.url]), SystemClock())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.relay.relays.LOOK_S", 0.1)
        async with running(relays):
            await until(lambda: not asyncio.run(relays.unready()))
            assert not relays.running
            warehouse.create()
            warehouse.run(insert(1, 1))
            await until(lambda: len(events_in(log)) == 1)
    store.dispose()


async def test_what_came_behind_a_failure_goes_once_more(warehouse: Warehouse, log: Log) -> None:
    """The log has not taken the first row of a record and has the second: the second is last, and others are alone."""
    warehouse.create()
    warehouse.run(insert(1, 2))
    warehouse.run("UPDATE contacts SET score = 5 WHERE id = 1")
    real = SqliteProducer.send_all

    def send_all(self: SqliteProducer, topic: str, contents: Sequence[Content]) -> Future[Failures]:
        real(self, topic, contents[1:]).result(PATIENCE)
        failed: Future[Failures] = Future()
        failed.set_result({0: LogUnavailable("gave up")})
        return failed

    relay = relay_of(warehouse, log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteProducer, "send_all", send_all)
        async with running(relay):
            await until(lambda: relay.failures)
            patch.undo()
            await until(lambda: not warehouse.rows())
    assert [(event.key, event.operation) for event in events_in(log)] == [
        ("2", "add"),
        ("1", "update"),
        ("1", "add"),
        ("1", "update"),
    ]
    assert len({event.id for event in events_in(log)}) == 3


async def test_published_rows_are_found_behind_many_that_are_not(warehouse: Warehouse, log: Log) -> None:
    """After a crash they are removed, although a page of rows that a paused trigger had kept lies before them."""
    warehouse.create()
    warehouse.create(name="above", connection="other")  # its rows come first
    warehouse.outbox.pause("above", paused=True)
    warehouse.run(insert(1, 6))
    relay = relay_of(warehouse, log)

    def die(*_: object) -> None:
        raise LogUnavailable("killed here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Relay, "batch", 2)
        patch.setattr("topics.outbox.relaying.OutboxReader.settle", die)
        async with running(relay):
            await until(lambda: len(events_in(log)) == 2)
        patch.undo()
        patch.setattr(Relay, "batch", 2)
        warehouse.run(insert(7, 8))
        warehouse.outbox.pause("above", paused=False)
        async with running(relay_of(warehouse, log, {"crm": 1, "other": 1})):
            await until(lambda: not warehouse.rows())
    for slug in ("crm", "other"):
        assert [event.key for event in events_in(log, slug)] == [str(n) for n in range(1, 9)]
