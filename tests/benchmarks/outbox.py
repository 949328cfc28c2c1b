"""What a trigger costs its writer, and how fast its rows are in Kafka: ours against what people write."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import quantiles
from typing import Any

from kafka import KafkaProducer
from sqlalchemy import Engine, text

from tests.benchmarks.figures import Figure
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Stand
from tests.postgres_server import NoPostgres, running_postgres
from topics import names
from topics.event.event import Operation
from topics.log import Partition
from topics.outbox.definition import TableName, Trigger
from topics.outbox.engine import open_engine
from topics.outbox.outbox import Outbox
from worker.clock import SystemClock
from worker.process.gc import collect_rarely
from worker.relay.relay import BATCH, Relay

SLUG = "outbox"
TRIGGER = Trigger(
    name="ours",
    table=TableName(name="contacts"),
    connection=SLUG,
    object="record",
    operations={"insert": Operation.UPSERT, "update": Operation.UPSERT},
    key=("id",),
    fields={"email": "email", "firstname": "first_name", "n": "n"},
    unchanged="drop",
)
TABLE = "CREATE TABLE contacts (id int PRIMARY KEY, email text, first_name text, n int)"
ROWS = "INSERT INTO contacts SELECT i, 'u' || i || '@acme.com', 'name ' || i, 0 FROM generate_series(1, {}) AS i"
CHANGED = " OR ".join(f"n.{column} IS DISTINCT FROM o.{column}" for column in ("email", "first_name", "n"))
EVENT = (
    "INSERT INTO writeback.outbox (id, aggregatetype, aggregateid, type, payload, timestamp, subject, trigger_name)"
    " SELECT gen_random_uuid(), 'outbox', 'record/' || n.id, 'writeback.upsert',"
    " json_strip_nulls(json_build_object('id', n.id,"
    " 'email', CASE WHEN n.email IS DISTINCT FROM o.email THEN n.email END,"
    " 'firstname', CASE WHEN n.first_name IS DISTINCT FROM o.first_name THEN n.first_name END,"
    " 'n', CASE WHEN n.n IS DISTINCT FROM o.n THEN n.n END)),"
    " clock_timestamp(), 'outbox/record/' || n.id, 'by hand'"
)
"""The same row as ours: the key, and the fields that changed."""
BY_HAND = {
    "a statement trigger by hand": (
        f"{EVENT} FROM new_rows AS n JOIN old_rows AS o USING (id) WHERE {CHANGED}",
        "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
        "STATEMENT",
    ),
    "a row trigger by hand": (f"{EVENT} FROM (SELECT NEW.*) AS n, (SELECT OLD.*) AS o WHERE {CHANGED}", "", "ROW"),
}
PAUSE_S = 0.03
WARM = 5
PATIENCE_S = 180.0


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    """Raises ``RuntimeError`` without a PostgreSQL."""
    try:
        with running_postgres("-c synchronous_commit=off") as server:
            engine = open_engine(server.url)
            try:
                _run(engine, TABLE, ROWS.format(sizes.outbox))
                Outbox(engine).create(TRIGGER)
                yield from _overhead(engine, sizes)
                stand.connection(SLUG, "http")
                yield from _relaying(engine, stand, sizes)
                yield from _delay(engine, stand, sizes)
                stand.drop(SLUG)
            finally:
                engine.dispose()
    except NoPostgres as error:
        raise RuntimeError(str(error)) from error


def _overhead(engine: Engine, sizes: Sizes) -> Iterator[Figure]:
    """One update of all rows, in turns: without a trigger, with ours, and with those that people write."""
    case = f"a bulk update of {sizes.outbox:,} rows"
    _run(engine, "ALTER TABLE contacts DISABLE TRIGGER USER")
    for number, (body, tables, each) in enumerate(BY_HAND.values()):
        _run(
            engine,
            f"CREATE FUNCTION hand_{number}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body}; RETURN NULL; END$$",
            f"CREATE TRIGGER hand_{number} AFTER UPDATE ON contacts {tables} FOR EACH {each}"
            f" EXECUTE FUNCTION hand_{number}()",
            f"ALTER TABLE contacts DISABLE TRIGGER hand_{number}",
        )
    triggers = {"no trigger": "", "writeback triggers": "writeback_ours_update"}
    triggers |= {name: f"hand_{number}" for number, name in enumerate(BY_HAND)}
    seconds: dict[str, list[float]] = {name: [] for name in triggers}
    for _ in range(sizes.rounds):
        for name, trigger in triggers.items():
            seconds[name].append(_updated(engine, trigger))
    for name, times in seconds.items():
        yield Figure(case, name, "time", "s", tuple(times))
    ours, hand = seconds["writeback triggers"], seconds["a statement trigger by hand"]
    ratios = tuple(mine / theirs for mine, theirs in zip(ours, hand, strict=True))
    yield Figure(case, "writeback triggers", "x a statement trigger by hand", "", ratios, at_most=1.5)
    _run(engine, *(f"DROP FUNCTION hand_{number}() CASCADE" for number in range(len(BY_HAND))))
    _run(engine, "ALTER TABLE contacts ENABLE TRIGGER USER")


def _updated(engine: Engine, trigger: str) -> float:
    _run(engine, "TRUNCATE writeback.outbox", *([f"ALTER TABLE contacts ENABLE TRIGGER {trigger}"] if trigger else []))
    began = time.perf_counter()
    _run(engine, "UPDATE contacts SET n = n + 1")
    took = time.perf_counter() - began
    _run(engine, "ALTER TABLE contacts DISABLE TRIGGER USER", "VACUUM contacts")
    return took


def _relaying(engine: Engine, stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    """So many rows that wait, until the outbox is empty, in turns. Both have the collector that our processes have."""
    case = f"{sizes.outbox:,} rows from the outbox to Kafka"
    ours, plain = [], []
    thresholds = gc.get_threshold()
    collect_rarely()
    try:
        for _ in range(sizes.rounds):
            ours.append(_rate(engine, sizes, lambda: _relayed(engine, stand, sizes.outbox)))
            plain.append(_rate(engine, sizes, lambda: _looped(engine, stand)))
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    yield Figure(case, "a SKIP LOCKED loop by hand", "rate", "events/s", tuple(plain))
    yield Figure(case, "writeback relay", "rate", "events/s", tuple(ours), at_least=15_000)
    ratios = tuple(mine / theirs for mine, theirs in zip(ours, plain, strict=True))
    yield Figure(case, "writeback relay", "x the loop", "", ratios, at_least=1.0)


def _rate(engine: Engine, sizes: Sizes, empty: Callable[[], None]) -> float:
    _run(
        engine,
        "TRUNCATE writeback.outbox",
        "UPDATE contacts SET n = n + 1",
        "VACUUM contacts",
        "ANALYZE writeback.outbox",
    )
    began = time.perf_counter()
    empty()
    return sizes.outbox / (time.perf_counter() - began)


def _relayed(engine: Engine, stand: Stand, rows: int) -> None:
    with _relay(engine, stand) as relay:
        until = time.monotonic() + PATIENCE_S
        while relay.published < rows:
            if time.monotonic() > until:
                raise RuntimeError(f"{relay.published} of {rows} rows are in the topic")
            time.sleep(0.01)


def _looped(engine: Engine, stand: Stand) -> None:
    """What everybody writes: claim, send, wait for the answers, delete, commit."""
    producer = KafkaProducer(bootstrap_servers=stand.bootstrap, acks="all", enable_idempotence=True, batch_size=131_072)
    topic = names.DEFAULT.events_topic(SLUG)
    with engine.connect() as connection:
        while True:
            with connection.begin():
                rows = connection.exec_driver_sql(_CLAIM).all()
                if not rows:
                    break
                for _position, identifier, key, kind, payload in rows:
                    headers = [("ce_id", identifier.encode()), ("ce_type", kind.encode())]
                    producer.send(topic, key=key.encode(), value=payload.encode(), headers=headers)
                producer.flush()
                connection.execute(_REMOVE, {"positions": [row[0] for row in rows]})
    producer.close()


_CLAIM = (
    "SELECT position, id::text, aggregateid, type, payload::text FROM writeback.outbox"
    f" ORDER BY position LIMIT {BATCH} FOR UPDATE SKIP LOCKED"
)
_REMOVE = text("DELETE FROM writeback.outbox WHERE position = ANY(:positions)")


def _delay(engine: Engine, stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    """From the writer's commit to a consumer of the topic, one row at a time."""
    topic = Partition(names.DEFAULT.events_topic(SLUG), 0)
    reader = stand.log.reader({topic: stand.log.end_offsets([topic])[topic]})
    committed: list[float] = []
    arrived: list[float] = []

    def read() -> None:
        while len(arrived) < sizes.idle + WARM:
            now_there = len(reader.poll(0.5))
            arrived.extend([time.perf_counter()] * now_there)

    with _relay(engine, stand):
        reading = threading.Thread(target=read, daemon=True)
        reading.start()
        for number in range(sizes.idle + WARM):
            time.sleep(PAUSE_S)
            _run(engine, f"UPDATE contacts SET n = n + 1 WHERE id = {number % sizes.outbox + 1}")
            committed.append(time.perf_counter())
        reading.join(30)
    reader.close()
    if len(arrived) != len(committed):
        raise RuntimeError(f"{len(arrived)} of {len(committed)} rows are in the topic")
    delays = [there - gone for gone, there in zip(committed, arrived, strict=True)][WARM:]
    cuts = quantiles(delays, n=100)
    yield Figure("idle: commit to topic", "writeback relay", "p50", "ms", (cuts[49] * 1_000,), at_most=20)
    yield Figure("idle: commit to topic", "writeback relay", "p99", "ms", (cuts[98] * 1_000,), at_most=100)


@contextmanager
def _relay(engine: Engine, stand: Stand) -> Iterator[Relay]:
    """One that works, in a thread of its own."""
    relay = Relay(engine, stand.log, {SLUG: 1}.get, SystemClock())
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(relay.run(stop)))
    thread.start()
    try:
        yield relay
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def _run(engine: Engine, *statements: Any) -> None:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
